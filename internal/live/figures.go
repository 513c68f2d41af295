// SPDX-License-Identifier: Apache-2.0

package live

import (
	"cmp"
	"fmt"
	"math"
	"path"
	"slices"
	"time"

	"github.com/loopwatch/loopwatch/internal/histogram"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// show makes the loop's row.
func (l *loop) show(now int64) Loop {
	out := Loop{Loop: l.who, State: l.state, For: time.Duration(max(now-l.since, 0)), Block: l.block, Ungrouped: l.ungrouped}
	for w := range out.Figures {
		out.Figures[w] = l.figures(Window(w), now)
	}
	if l.advised == nil {
		all := l.blockers.All()
		l.advised = make([]model.Blocker, 0, len(all))
		for _, b := range all {
			l.advised = append(l.advised, *b)
		}
	}
	out.Blockers = l.advised
	return out
}

func (l *loop) figures(w Window, now int64) Figures {
	s := &l.sums[w]
	f := Figures{
		Observed: time.Duration(max(s.idleNS+s.activeNS, 0)), Iterations: max(s.iterations, 0), Active: time.Duration(max(s.activeNS, 0)), Late: time.Duration(max(s.lateNS, 0)),
		Blocks: max(s.blocks, 0), Blocked: time.Duration(max(s.blockedNS, 0)), Counted: time.Duration(max(s.countedNS, 0)),
	}
	if s.iterations > 0 {
		f.Histogram = s.shown()
		f.P50, f.P99 = time.Duration(s.quantile(.5)), time.Duration(s.quantile(.99))
	}
	if s.readyEvents > 0 {
		f.Lag = time.Duration(min(s.ready.Quantile(.99), l.statistics.ReadyMaxNS))
	}
	f.Max = l.longest(w, now)
	f.P50, f.P99 = min(f.P50, f.Max), min(f.P99, f.Max)
	f.Active, f.Blocked = min(f.Active, f.Observed), min(f.Blocked, f.Counted, f.Active+f.Late) // an early block may be older than the statistics
	f.Worst = l.worst(w)
	if l.block != nil {
		f.Blocks++
	}
	return f
}

// longest returns the longest active period that ended in a window or goes on.
func (l *loop) longest(w Window, now int64) time.Duration {
	var ns int64
	if l.state == Active || l.state == Blocked {
		ns = max(now-l.since, 0)
	}
	if w == Whole {
		return time.Duration(max(ns, l.statistics.MaxNS))
	}
	for i := l.starts[w]; i < len(l.past); i++ {
		ns = max(ns, l.past[i].maxNS)
	}
	return time.Duration(ns)
}

// worst returns who blocked the loop most in a window.
func (l *loop) worst(w Window) *model.Blocker {
	if l.block == nil && l.sums[w].blocks == 0 {
		return nil
	}
	sums := make(map[*model.Blocker]tally)
	if w == Whole {
		for _, b := range l.blockers.All() {
			sums[b] = tally{b, b.Count, b.TotalNS}
		}
	} else {
		for _, i := range l.past[l.starts[w]:] {
			for _, x := range i.blockers {
				s := sums[x.blocker]
				sums[x.blocker] = tally{x.blocker, s.count + x.count, s.sum + x.sum}
			}
		}
	}
	if l.block != nil {
		b := l.blockers.Of(l.block)
		if b == nil {
			b, _ = summary.NewBlockers(1, maxLoopFrames).Add(l.block)
			b.Count, b.TotalNS = 0, 0
		}
		s := sums[b]
		sums[b] = tally{b, s.count + 1, s.sum + l.block.DurationNS}
	}
	var worst tally
	for _, x := range sums {
		if worst.blocker == nil || cmp.Or(cmp.Compare(x.sum, worst.sum), cmp.Compare(x.blocker.MaxNS, worst.blocker.MaxNS),
			cmp.Compare(nameOf(worst.blocker.Culprit), nameOf(x.blocker.Culprit))) > 0 {
			worst = x
		}
	}
	if worst.blocker == nil {
		return nil
	}
	b := *worst.blocker
	b.Count, b.TotalNS = worst.count, worst.sum
	return &b
}

// maxBins is how many bins there are.
const maxBins = 1 + 3*8

// bounds are where bins begin.
var bounds = func() (out [maxBins]int64) {
	power := int64(10_000)
	for i := 1; i < maxBins; i += 3 {
		out[i], out[i+1], out[i+2] = power, 2*power, 5*power
		power *= 10
	}
	return out
}()

// binOf is the bin of each bucket.
var binOf = func() (out [len(histogram.Histogram{})]int) {
	for n := range out {
		middle := histogram.Middle(n)
		out[n] = sortedBefore(bounds[:], middle)
	}
	return out
}()

// sortedBefore returns the last i with sorted[i] <= x.
func sortedBefore(sorted []int64, x int64) int {
	i, found := slices.BinarySearch(sorted, x)
	if !found {
		i--
	}
	return i
}

// firstOf is the first bucket of each bin, and the end of all.
var firstOf = func() (out [maxBins + 1]int) {
	for i := range out {
		out[i] = len(binOf) // beyond what the kernel tells apart there is none
	}
	for n := len(binOf) - 1; n >= 0; n-- {
		out[binOf[n]] = n
	}
	return out
}()

// quantile is histogram.Histogram.Quantile; the bins spare it most buckets.
func (s *sum) quantile(q float64) int64 {
	var total int64
	for _, n := range s.bins {
		total += max(n, 0)
	}
	rank := max(int64(math.Ceil(q*float64(total))), 1)
	var below int64
	for i, n := range s.bins {
		if n <= 0 || below+n < rank {
			below += max(n, 0)
			continue
		}
		for bucket := firstOf[i]; bucket < firstOf[i+1]; bucket++ {
			if below += max(s.histogram[bucket], 0); below >= rank {
				return histogram.Middle(bucket)
			}
		}
	}
	return 0
}

// shown returns the bins from the first that counts anything to the last.
func (s *sum) shown() []Bin {
	first, last := -1, -1
	for i, n := range s.bins {
		if n > 0 {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first < 0 {
		return nil
	}
	out := make([]Bin, 0, last-first+1)
	for i := first; i <= last; i++ {
		out = append(out, Bin{time.Duration(bounds[i]), max(s.bins[i], 0)})
	}
	return out
}

// nameOf orders culprits of which nothing else does.
func nameOf(f *model.Frame) string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("%s %s:%d", f.Function, path.Base(f.File), f.Line)
}
