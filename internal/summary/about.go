// SPDX-License-Identifier: Apache-2.0

package summary

import (
	"cmp"
	"maps"
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
)

// About is what the listed blocks of one blocker say together.
type About struct {
	Blocks  int
	SplitNS map[model.Cause]int64
	Tasks   map[string]int // how often each asyncio task was the one that blocked
	Delayed model.Delayed  // all events, and how long the one that waited longest did
	Many    int            // blocks made of many short callbacks
	InWait  int            // blocks that began inside the wait
}

// AboutBlockers gathers it for each blocker that has listed blocks.
func AboutBlockers(r *model.Report) map[model.BlockerKey]*About {
	out := make(map[model.BlockerKey]*About)
	for i := range r.Blocks {
		b := &r.Blocks[i]
		a := out[b.Key()]
		if a == nil {
			a = &About{SplitNS: map[model.Cause]int64{}, Tasks: map[string]int{}}
			out[b.Key()] = a
		}
		a.Blocks++
		for c, ns := range b.BreakdownNS {
			a.SplitNS[c] += ns
		}
		if b.Task != "" {
			a.Tasks[b.Task]++
		}
		if b.Shape == model.ShapeMany {
			a.Many++
		}
		if b.InWait {
			a.InWait++
		}
		if d := b.Delayed; d != nil {
			a.Delayed.Events += d.Events
			a.Delayed.MaxNS = max(a.Delayed.MaxNS, d.MaxNS)
			a.addWaiters(d.By)
		}
	}
	return out
}

// maxWaiters bounds the sorts of waiters that are added up.
const maxWaiters = 64

func (a *About) addWaiters(by []model.DelayedBy) {
	all := a.Delayed.By
	for _, b := range by {
		i := slices.IndexFunc(all, func(x model.DelayedBy) bool { return x.Target == b.Target })
		switch {
		case i >= 0:
			all[i].Events += b.Events
		case len(all) < maxWaiters:
			all = append(all, b)
		}
	}
	slices.SortStableFunc(all, func(x, y model.DelayedBy) int { return cmp.Compare(y.Events, x.Events) })
	a.Delayed.By = all
}

// Part is a cause's part of a split.
type Part struct {
	Cause model.Cause
	NS    int64
	Share float64 // of the whole
}

// Parts returns a split, largest part first. Parts of nothing are left out.
func Parts(split map[model.Cause]int64) []Part {
	var all int64
	for _, ns := range split {
		all += max(ns, 0)
	}
	var parts []Part
	for _, c := range slices.SortedFunc(maps.Keys(split), func(x, y model.Cause) int {
		return cmp.Or(cmp.Compare(split[y], split[x]), cmp.Compare(x, y))
	}) {
		if ns := split[c]; ns > 0 {
			parts = append(parts, Part{c, ns, float64(ns) / float64(all)})
		}
	}
	return parts
}
