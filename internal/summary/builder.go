// SPDX-License-Identifier: Apache-2.0

// Package summary adds up the blocks of an observation. Blocks go in as they end, a report comes out: its longest blocks,
// its loops with exact totals, and its blockers. Memory is bounded however many blocks there are. Every foreign string is
// cut to 4 KiB of valid UTF-8.
package summary

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Limits bound what a report keeps; totals are exact all the same. Zero means the default.
type Limits struct {
	Blocks   int // blocks listed one by one, the longest stay; default 10,000
	Frames   int // frames in the stacks of those blocks, together, and in those of all blockers; default 200,000
	Bytes    int // of those blocks, together; default 24 MiB
	Stacks   int // stacks of one block, the heaviest stay; default 8
	Blockers int // different blockers; default 10,000
}

func (l Limits) withDefaults() Limits {
	l.Blocks = cmp.Or(l.Blocks, 10_000)
	l.Frames = cmp.Or(l.Frames, 200_000)
	l.Bytes = cmp.Or(l.Bytes, 24<<20)
	l.Stacks = cmp.Or(l.Stacks, defaultStacks)
	l.Blockers = cmp.Or(l.Blockers, 10_000)
	return l
}

// maxBlockerLoops bounds the loops listed with one blocker.
const maxBlockerLoops = 1000

// Reasons under which a builder counts what its limits kept out of a report (Lost.Reasons).
const (
	ReasonBlocksOverLimit   = "blocks_over_limit"   // counted in every total, but not listed
	ReasonStacksOverLimit   = "stacks_over_limit"   // lightest stacks of a listed block
	ReasonBlockersOverLimit = "blockers_over_limit" // blocks counted for their loop, but under no blocker
	ReasonLoopsOverLimit    = "loops_over_limit"    // loops not listed with a blocker
)

// Meta is what a report says about the observation as a whole. Times are nanoseconds of
// CLOCK_MONOTONIC except StartedAt, the wall clock at StartedNS.
type Meta struct {
	StartedAt   time.Time
	StartedNS   int64
	EndedNS     int64
	ThresholdNS int64
	Processes   int // Python processes watched
	Host        model.Host
	Lost        model.Lost
	Unsupported []model.Unsupported
}

// Builder turns blocks into a report, in memory bounded by its limits however many there
// are. It is not safe for concurrent use.
type Builder struct {
	limits   Limits
	kept     blockHeap
	frames   int // in the stacks of kept
	bytes    int // of kept
	blockers *Blockers
	blocked  map[*model.Blocker]map[model.LoopID]struct{}
	loops    map[model.LoopID]*loopSum
	lost     map[string]int64
}

type loopSum struct {
	blocks    int64
	blockedNS int64
	inBlockNS int64
}

// NewBuilder returns a builder that has seen no block yet.
func NewBuilder(limits Limits) *Builder {
	limits = limits.withDefaults()
	return &Builder{
		limits:   limits,
		blockers: NewBlockers(limits.Blockers, limits.Frames),
		blocked:  map[*model.Blocker]map[model.LoopID]struct{}{},
		loops:    map[model.LoopID]*loopSum{},
		lost:     map[string]int64{},
	}
}

// Add takes one block, in any order, each once. The builder owns it from then on.
func (b *Builder) Add(block model.Block) {
	if cut := Normalise(&block, b.limits.Stacks); cut > 0 {
		b.lost[ReasonStacksOverLimit] += cut
	}
	b.addLoop(&block)
	b.addBlocker(&block)

	heap.Push(&b.kept, block)
	b.frames, b.bytes = b.frames+frameCount(&block), b.bytes+block.Size()
	for b.kept.Len() > b.limits.Blocks || (b.frames > b.limits.Frames || b.bytes > b.limits.Bytes) && b.kept.Len() > 1 {
		shortest := heap.Pop(&b.kept).(model.Block)
		b.frames, b.bytes = b.frames-frameCount(&shortest), b.bytes-shortest.Size()
		b.lost[ReasonBlocksOverLimit]++
	}
}

func (b *Builder) addLoop(block *model.Block) {
	id := model.LoopID{PID: block.PID, TID: block.TID}
	sum := b.loops[id]
	if sum == nil {
		sum = &loopSum{}
		b.loops[id] = sum
	}
	sum.blocks++
	sum.blockedNS += block.DurationNS
	if block.Ongoing {
		sum.inBlockNS = max(sum.inBlockNS, block.WholeNS())
	}
}

func (b *Builder) addBlocker(block *model.Block) {
	blocker, _ := b.blockers.Add(block)
	if blocker == nil {
		b.lost[ReasonBlockersOverLimit]++
		return
	}
	loops := b.blocked[blocker]
	if loops == nil {
		loops = map[model.LoopID]struct{}{}
		b.blocked[blocker] = loops
	}
	id := model.LoopID{PID: block.PID, TID: block.TID}
	if _, known := loops[id]; !known && len(loops) >= maxBlockerLoops {
		b.lost[ReasonLoopsOverLimit]++
	} else {
		loops[id] = struct{}{}
	}
}

// Report returns the report on everything added so far. The loops bring their statistics; how
// often and how long each was blocked is counted from the blocks. The loops and meta are
// copied, the frames are shared with the builder.
func (b *Builder) Report(meta Meta, loops []model.Loop) *model.Report {
	r := &model.Report{
		Schema:      model.SchemaReport,
		StartedAt:   meta.StartedAt.Format(time.RFC3339Nano),
		StartedNS:   meta.StartedNS,
		EndedNS:     meta.EndedNS,
		ThresholdNS: meta.ThresholdNS,
		Processes:   meta.Processes,
		Host:        meta.Host,
		Loops:       make([]model.Loop, 0, len(loops)),
		Blockers:    make([]model.Blocker, 0, b.blockers.Len()),
		Blocks:      slices.Clone([]model.Block(b.kept)),
		Lost:        meta.Lost,
		Unsupported: make([]model.Unsupported, 0, len(meta.Unsupported)),
	}
	if r.Blocks == nil {
		r.Blocks = []model.Block{}
	}
	listed := map[model.LoopID]bool{}
	for _, l := range loops {
		listed[model.LoopID{PID: l.PID, TID: l.TID}] = true
		r.Loops = append(r.Loops, b.finishLoop(l))
	}
	for id := range b.loops {
		if !listed[id] { // or the blocks of all loops would not add up to those of the report
			r.Loops = append(r.Loops, b.finishLoop(model.Loop{PID: id.PID, TID: id.TID, Loop: "unknown"}))
		}
	}
	slices.SortFunc(r.Loops, func(x, y model.Loop) int {
		return cmp.Or(cmp.Compare(y.BlockedNS, x.BlockedNS), cmp.Compare(y.Utilization, x.Utilization),
			cmp.Compare(x.PID, y.PID), cmp.Compare(x.TID, y.TID))
	})
	for _, group := range b.blockers.All() {
		blocker := *group
		blocker.Loops = slices.SortedFunc(maps.Keys(b.blocked[group]), model.LoopID.Compare)
		r.Blockers = append(r.Blockers, blocker)
	}
	slices.SortFunc(r.Blocks, func(x, y model.Block) int {
		return cmp.Or(cmp.Compare(x.StartNS, y.StartNS), cmp.Compare(x.PID, y.PID), cmp.Compare(x.TID, y.TID))
	})
	for _, u := range meta.Unsupported {
		u.Command, u.Reason = bound(u.Command), bound(u.Reason)
		r.Unsupported = append(r.Unsupported, u)
	}
	if len(b.lost) > 0 {
		reasons := maps.Clone(meta.Lost.Reasons)
		if reasons == nil {
			reasons = map[string]int64{}
		}
		for reason, n := range b.lost {
			reasons[reason] += n
		}
		r.Lost.Reasons = reasons
	}
	return r
}

func (b *Builder) finishLoop(l model.Loop) model.Loop {
	l.Blocks, l.BlockedNS, l.InBlockNS = 0, 0, 0
	if sum := b.loops[model.LoopID{PID: l.PID, TID: l.TID}]; sum != nil {
		l.Blocks, l.BlockedNS, l.InBlockNS = sum.blocks, sum.blockedNS, sum.inBlockNS
	}
	l.Utilization = 0
	if whole := l.ActiveNS + l.IdleNS; whole > 0 {
		l.Utilization = float64(l.ActiveNS) / float64(whole)
	}
	l.Command, l.Container, l.Unit = bound(l.Command), bound(l.Container), bound(l.Unit)
	l.Python, l.Loop = bound(l.Python), bound(l.Loop)
	return l
}

// Assemble returns the report on blocks under the default limits.
func Assemble(meta Meta, loops []model.Loop, blocks []model.Block) *model.Report {
	b := NewBuilder(Limits{})
	for _, block := range blocks {
		b.Add(block)
	}
	return b.Report(meta, loops)
}

// compareBlockers puts the largest total first; the rest only makes the order the same in
// every run.
func compareBlockers(x, y model.Blocker) int {
	if c := cmp.Or(cmp.Compare(y.TotalNS, x.TotalNS), cmp.Compare(y.MaxNS, x.MaxNS), cmp.Compare(x.Cause, y.Cause)); c != 0 {
		return c
	}
	var fx, fy model.Frame
	if x.Culprit != nil {
		fx = *x.Culprit
	}
	if y.Culprit != nil {
		fy = *y.Culprit
	}
	return cmp.Or(cmp.Compare(fx.File, fy.File), cmp.Compare(fx.Line, fy.Line), cmp.Compare(fx.Function, fy.Function))
}

func frameCount(b *model.Block) int {
	n := 0
	for i := range b.Stacks {
		n += len(b.Stacks[i].Frames)
	}
	return n
}

// blockHeap is a min-heap by duration: the shortest block leaves first.
type blockHeap []model.Block

func (h blockHeap) Len() int           { return len(h) }
func (h blockHeap) Less(i, j int) bool { return h[i].DurationNS < h[j].DurationNS }
func (h blockHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *blockHeap) Push(x any)        { *h = append(*h, x.(model.Block)) }
func (h *blockHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = model.Block{} // let go of its stacks
	*h = (*h)[:last]
	return x
}
