// SPDX-License-Identifier: Apache-2.0

package html

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/profile"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// graphs is what the script draws from. Rows are arrays to keep the file small; script.js
// names their columns.
type graphs struct {
	What      string   `json:"what"`           // is drawn
	Unit      string   `json:"unit,omitempty"` // of seconds, where they are no plain ones
	StartedAt string   `json:"startedAt"`
	WindowNS  int64    `json:"window"`
	Causes    []string `json:"causes"`
	Classes   []string `json:"classes"`
	Lanes     []lane   `json:"lanes"`
	Blocks    [][]any  `json:"blocks"` // lane, start, duration, cause, blocker, culprit, bound, task, events, longest wait, length of the period
	Strings   []string `json:"strings"`
	Frames    [][]any  `json:"frames"` // function, file, line, application code
	Tree      []any    `json:"tree"`   // frame, ns, causes of its own time, children
	strings   map[string]int
	causes    map[model.Cause]int
	frames    map[profile.Frame]int
	kind      func(model.Cause) causeView
}

type lane struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Blocks    int64  `json:"blocks"`
	BlockedNS int64  `json:"blocked"`
}

func newGraphs(r *model.Report, v *view) *graphs {
	g := emptyGraphs(blockedTime, causeOf)
	g.StartedAt, g.WindowNS = clean(r.StartedAt), max(r.EndedNS-r.StartedNS, 0)
	g.timeline(r, v)
	g.flame(profile.Samples(r), &v.leftOut)
	return g
}

// emptyGraphs returns graphs of something, with nothing drawn yet. kind says how a kind of it is shown.
func emptyGraphs(what string, kind func(model.Cause) causeView) *graphs {
	return &graphs{
		What: what, kind: kind, Causes: []string{}, Classes: []string{}, Lanes: []lane{}, Blocks: [][]any{}, Strings: []string{}, Frames: [][]any{},
		strings: map[string]int{}, causes: map[model.Cause]int{}, frames: map[profile.Frame]int{},
	}
}

func (g *graphs) string(s string) int {
	i, known := g.strings[s]
	if !known {
		i = len(g.Strings)
		g.strings[s] = i
		g.Strings = append(g.Strings, s)
	}
	return i
}

func (g *graphs) cause(c model.Cause) int {
	c = cmp.Or(c, model.CauseUnknown)
	i, known := g.causes[c]
	if !known {
		i = len(g.Causes)
		g.causes[c] = i
		named := g.kind(c)
		g.Causes, g.Classes = append(g.Causes, named.Name), append(g.Classes, named.Class)
	}
	return i
}

func (g *graphs) frame(f profile.Frame) int {
	i, known := g.frames[f]
	if !known {
		i = len(g.Frames)
		g.frames[f] = i
		app := 0
		if f.App {
			app = 1
		}
		g.Frames = append(g.Frames, []any{clean(f.Function), clean(f.File), f.Line, app})
	}
	return i
}

func (g *graphs) timeline(r *model.Report, v *view) {
	lanes := make(map[model.LoopID]int)
	drawable, hidden := 0, 0
	for _, l := range r.Loops {
		if l.Blocks == 0 {
			continue
		}
		if len(g.Lanes) >= maxLanes {
			hidden++
			continue
		}
		lanes[model.LoopID{PID: l.PID, TID: l.TID}] = len(g.Lanes)
		g.Lanes = append(g.Lanes, lane{words.LoopName(l), clean(l.Loop), l.Blocks, l.BlockedNS})
	}
	if hidden > 0 {
		v.Limits = append(v.Limits, fmt.Sprintf("The timeline shows the %d most blocked loops; %s with blocks are not drawn.",
			maxLanes, words.Plural(int64(hidden), "more loop")))
	}
	numbers := make(map[model.BlockerKey]int)
	for i := range r.Blockers {
		numbers[r.Blockers[i].Key()] = i + 1
	}
	var drawn []*model.Block
	for i := range r.Blocks {
		if _, listed := lanes[model.LoopID{PID: r.Blocks[i].PID, TID: r.Blocks[i].TID}]; listed {
			drawn = append(drawn, &r.Blocks[i])
		}
	}
	if drawable = len(drawn); drawable > maxDrawn {
		slices.SortStableFunc(drawn, func(x, y *model.Block) int { return cmp.Compare(y.DurationNS, x.DurationNS) })
		drawn = drawn[:maxDrawn]
		slices.SortStableFunc(drawn, func(x, y *model.Block) int { return cmp.Compare(x.StartNS, y.StartNS) })
		v.Limits = append(v.Limits, fmt.Sprintf("The timeline shows the %d longest of %d blocks.", maxDrawn, drawable))
	}
	for _, b := range drawn {
		blocker := numbers[b.Key()]
		if blocker > maxBlockers {
			blocker = 0
		}
		row := []any{lanes[model.LoopID{PID: b.PID, TID: b.TID}], b.StartNS - r.StartedNS, b.DurationNS, g.cause(b.Cause), blocker,
			g.string(words.CulpritName(b.Culprit))}
		bound := 0 // bits: it went on, it began at a time not known
		if b.Ongoing {
			bound |= 1
		}
		if b.AtLeast {
			bound |= 2
		}
		switch { // what most blocks do not have stands last and is left away
		case b.PeriodNS > 0:
			d := cmp.Or(b.Delayed, &model.Delayed{})
			row = append(row, bound, g.string(clean(b.Task)), d.Events, d.MaxNS, b.PeriodNS)
		case b.Delayed != nil:
			row = append(row, bound, g.string(clean(b.Task)), b.Delayed.Events, b.Delayed.MaxNS)
		case b.Task != "":
			row = append(row, bound, g.string(clean(b.Task)))
		case bound != 0:
			row = append(row, bound)
		}
		g.Blocks = append(g.Blocks, row)
	}
	if n := r.Lost.Reasons[summary.ReasonBlocksOverLimit]; n > 0 {
		v.Limits = append(v.Limits, fmt.Sprintf("%s, the shortest, were not kept one by one: they are in the figures of loops and blockers, but neither in the timeline nor in the flame graph.",
			words.Plural(n, "block")))
	}
}

// node is a box of the flame graph.
type node struct {
	frame    int
	ns       int64
	all      map[int]int64 // by cause
	own      map[int]int64 // by cause, without the children's
	children map[int]*node
	order    []*node
}

func newNode(frame int) *node {
	return &node{frame: frame, all: map[int]int64{}, own: map[int]int64{}}
}

func (n *node) child(frame int) *node {
	c := n.children[frame]
	if c == nil {
		c = newNode(frame)
		if n.children == nil {
			n.children = map[int]*node{}
		}
		n.children[frame] = c
		n.order = append(n.order, c)
	}
	return c
}

func (n *node) add(cause int, ns int64) {
	n.ns += ns
	n.all[cause] += ns
}

// flame builds the tree: all, its loops, their frames outermost first. Of a tree too large the
// smallest boxes go; their time stays in the box above.
func (g *graphs) flame(samples []profile.Sample, v *leftOut) {
	root := newNode(g.frame(profile.Frame{Function: "all loops"}))
	nodes := 1
	for _, s := range samples {
		cause := g.cause(model.Cause(s.Kind))
		at := root
		at.add(cause, s.NS)
		label := s.Loop.Process + " " + s.Loop.Name
		for i := -1; i < len(s.Frames); i++ {
			f := profile.Frame{Function: label}
			if i >= 0 {
				f = s.Frames[i]
			}
			before := len(at.order)
			next := at.child(g.frame(f))
			if len(at.order) > before {
				nodes++
			}
			at = next
			at.add(cause, s.NS)
		}
		at.own[cause] += s.NS
	}
	least := int64(0)
	if nodes > maxNodes {
		weights := make([]int64, 0, nodes)
		var collect func(*node)
		collect = func(n *node) {
			weights = append(weights, n.ns)
			for _, c := range n.order {
				collect(c)
			}
		}
		collect(root)
		slices.SortFunc(weights, func(x, y int64) int { return cmp.Compare(y, x) })
		least = weights[maxNodes] + 1
		v.Limits = append(v.Limits, fmt.Sprintf("The flame graph leaves out boxes below %s; their time stays in the box above them.", words.HumanDuration(least)))
	}
	names := g.Frames
	g.Frames, g.frames = [][]any{}, nil
	renumbered := make(map[int]int)
	var rows func(*node) []any
	rows = func(n *node) []any {
		f, known := renumbered[n.frame]
		if !known {
			f = len(g.Frames)
			renumbered[n.frame] = f
			g.Frames = append(g.Frames, names[n.frame])
		}
		slices.SortStableFunc(n.order, func(x, y *node) int { return cmp.Compare(y.ns, x.ns) })
		children := []any{}
		for _, c := range n.order {
			if c.ns >= least {
				children = append(children, rows(c))
				continue
			}
			for cause, ns := range c.all {
				n.own[cause] += ns
			}
		}
		row := []any{f, n.ns, n.causes()}
		if len(children) > 0 {
			row = append(row, children)
		}
		return row
	}
	g.Tree = rows(root)
}

// causes returns what a box's own time went to: a cause, or pairs of cause and time.
func (n *node) causes() any {
	causes := slices.Sorted(maps.Keys(n.own))
	switch len(causes) {
	case 0:
		return 0 // has no time of its own
	case 1:
		return causes[0]
	}
	var pairs [][2]int64
	for _, c := range causes {
		pairs = append(pairs, [2]int64{int64(c), n.own[c]})
	}
	return pairs
}
