// SPDX-License-Identifier: Apache-2.0

// Package live keeps the recent past of every loop while an observation goes on. In go the loops as
// track finds them about once a second, and every block; out comes a View with what
// each loop did in the last interval, ten seconds, minute, and altogether. observe drives it, on one
// goroutine; what comes out is for views, on any.
package live

import (
	"math"
	"slices"

	"github.com/loopwatch/loopwatch/internal/advice"
	"github.com/loopwatch/loopwatch/internal/histogram"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/summary"
	"github.com/loopwatch/loopwatch/internal/track"
)

// Bounds of what is kept.
const (
	maxIntervals       = 600  // of one loop: a minute in tenths of a second
	maxLoopBlockers    = 32   // different blockers of one loop
	maxLoopFrames      = 2048 // in the stacks of those
	maxBlockers        = 4096 // of all loops together
	maxEnded           = 100  // loops that have ended in the last ten seconds
	stacksOfBlock      = 8
	reasonUngrouped    = "blocks_of_blockers_over_limit"
	reasonEndedDropped = "ended_loops_not_shown"
)

// Tracker holds the recent past of all loops. It is not safe for concurrent use.
type Tracker struct {
	loops    map[model.LoopID]*loop
	ended    []*loop
	blockers int
	lost     map[string]int64
}

// New returns a tracker that has seen nothing yet.
func New() *Tracker {
	return &Tracker{loops: make(map[model.LoopID]*loop), lost: make(map[string]int64)}
}

// loop is one loop and its recent past.
type loop struct {
	who        model.Loop
	statistics probes.Statistics // at the last view
	sums       [Windows]sum
	past       []interval // oldest first
	// starts[w] is the first interval in past that is in window w.
	starts [Windows]int

	state State
	since int64
	block *model.Block

	blockers  *summary.Blockers
	advised   []model.Blocker // blockers as views show them; nil where that is out of date
	ungrouped int64
	blockedNS int64 // in blocks that have ended
	counted   int64 // of time in blocks, entered into past
	late      bool  // a block seems to have ended of which nothing was told yet
	fresh     interval
}

// interval is what happened between two views.
type interval struct {
	end        int64
	statistics delta
	histogram  []cell
	ready      []cell // the same of events, by how long they were ready
	maxNS      int64
	blocks     int64
	blockedNS  int64
	countedNS  int64 // in which blocks were counted
	blockers   []tally
}

// delta are differences of probes.Statistics. They may be below zero: what the kernel could not know is
// taken out later.
type delta struct{ iterations, idleNS, lateNS, activeNS int64 }

type cell struct {
	bucket uint16
	n      int32
}

// tally counts the blocks of one blocker in an interval.
type tally struct {
	blocker    *model.Blocker
	count, sum int64
}

// sum is a window's worth of intervals.
type sum struct {
	delta
	histogram                    histogram.Histogram
	bins                         [maxBins]int64 // the same, coarser
	ready                        histogram.Histogram
	readyEvents                  int64 // in it
	blocks, blockedNS, countedNS int64
}

func (s *sum) add(i *interval, sign int64) {
	s.iterations += sign * i.statistics.iterations
	s.idleNS += sign * i.statistics.idleNS
	s.lateNS += sign * i.statistics.lateNS
	s.activeNS += sign * i.statistics.activeNS
	s.blocks += sign * i.blocks
	s.blockedNS += sign * i.blockedNS
	s.countedNS += sign * i.countedNS
	for _, c := range i.histogram {
		s.histogram[c.bucket] += sign * int64(c.n)
		s.bins[binOf[c.bucket]] += sign * int64(c.n)
	}
	for _, c := range i.ready {
		s.ready[c.bucket] += sign * int64(c.n)
		s.readyEvents += sign * int64(c.n)
	}
}

// Block enters a block that has ended. who is its loop.
func (t *Tracker) Block(b model.Block, who model.Loop) {
	l := t.loop(who)
	summary.Normalise(&b, stacksOfBlock)
	l.blockedNS += b.DurationNS
	l.fresh.blocks++
	l.fresh.maxNS = max(l.fresh.maxNS, b.WholeNS())
	known := l.blockers.Len()
	if l.blockers.Of(&b) == nil && t.blockers >= maxBlockers {
		l.ungrouped++
		t.lost[reasonUngrouped]++
		return
	}
	blocker, heaviest := l.blockers.Add(&b)
	if blocker == nil {
		l.ungrouped++
		t.lost[reasonUngrouped]++
		return
	}
	t.blockers += l.blockers.Len() - known
	l.advised = nil
	if heaviest {
		blocker.Advice = advice.For(blocker, l.who.Loop)
	}
	for i := range l.fresh.blockers {
		if x := &l.fresh.blockers[i]; x.blocker == blocker {
			x.count++
			x.sum += b.DurationNS
			return
		}
	}
	l.fresh.blockers = append(l.fresh.blockers, tally{blocker, 1, b.DurationNS})
}

func (t *Tracker) loop(who model.Loop) *loop {
	id := model.LoopID{PID: who.PID, TID: who.TID}
	l := t.loops[id]
	if l == nil {
		l = &loop{blockers: summary.NewBlockers(maxLoopBlockers, maxLoopFrames)}
		t.loops[id] = l
	}
	l.who = who
	return l
}

// Recount forgets the blocks counted so far: those to come are counted by another threshold.
func (t *Tracker) Recount() {
	for _, l := range t.loops {
		l.recount()
	}
	t.blockers, t.lost[reasonUngrouped] = 0, 0
	for _, l := range t.ended {
		l.recount()
	}
}

func (l *loop) recount() {
	l.blockers, l.advised, l.ungrouped = summary.NewBlockers(maxLoopBlockers, maxLoopFrames), nil, 0
	l.blockedNS, l.counted = 0, 0
	for i := range l.past {
		l.past[i].blocks, l.past[i].blockedNS, l.past[i].countedNS, l.past[i].blockers = 0, 0, 0, nil
	}
	l.fresh.blocks, l.fresh.blockers = 0, nil
	for w := range l.sums {
		l.sums[w].blocks, l.sums[w].blockedNS, l.sums[w].countedNS = 0, 0, 0
	}
}

// Update enters the state of all loops at the time now (CLOCK_MONOTONIC nanoseconds) and returns it
// with the recent past. What the view says of the observation as a whole, and of what was lost
// elsewhere, is the caller's to fill in.
func (t *Tracker) Update(now int64, present []track.Present) *View {
	seen := make(map[model.LoopID]bool, len(present))
	for i := range present {
		p := &present[i]
		l := t.loop(p.Loop)
		l.advance(now, p)
		seen[model.LoopID{PID: p.Loop.PID, TID: p.Loop.TID}] = true
	}
	for id, l := range t.loops {
		if !seen[id] {
			delete(t.loops, id)
			t.end(l, now)
		}
	}
	t.ended = slices.DeleteFunc(t.ended, func(l *loop) bool {
		gone := now-l.since >= int64(lengths[TenSeconds])
		if gone {
			t.blockers -= l.blockers.Len()
		}
		return gone
	})
	s := &View{Loops: make([]Loop, 0, len(t.loops)+len(t.ended)), Lost: model.Lost{Reasons: make(map[string]int64)}}
	for reason, n := range t.lost {
		if n > 0 {
			s.Lost.Reasons[reason] = n
		}
	}
	for _, l := range t.loops {
		s.Loops = append(s.Loops, l.show(now))
	}
	for _, l := range t.ended {
		if l.since != now {
			l.advance(now, nil)
		}
		s.Loops = append(s.Loops, l.show(now))
	}
	return s
}

// end keeps a loop that is gone for a while where it was blocked lately: that may be why.
func (t *Tracker) end(l *loop, now int64) {
	l.advance(now, nil)
	l.state, l.since, l.block = Ended, now, nil
	if l.sums[TenSeconds].blocks == 0 {
		t.blockers -= l.blockers.Len()
		return
	}
	if len(t.ended) >= maxEnded {
		t.lost[reasonEndedDropped]++
		t.blockers -= l.blockers.Len()
		return
	}
	t.ended = append(t.ended, l)
}

// advance enters what happened since the last view. p is nil where the loop has ended.
func (l *loop) advance(now int64, p *track.Present) {
	i := l.fresh
	i.end = now
	l.fresh = interval{}
	inBlock := int64(0)
	if p != nil {
		l.state, l.since, l.block = Active, p.Since, p.Block
		switch {
		case p.Waiting:
			l.state = Idle
		case p.Block != nil:
			l.state = Blocked
			summary.Normalise(l.block, stacksOfBlock)
			inBlock = p.Block.DurationNS + p.EndedNS
		}
		if p.Statistics.Iterations < l.statistics.Iterations { // another loop, of the same number
			l.statistics = probes.Statistics{}
		}
		i.enter(p.Statistics, &l.statistics)
		l.statistics = *p.Statistics
	}
	blocked := l.blockedNS + inBlock
	if l.late = blocked < l.counted && !l.late; !l.late {
		i.blockedNS, l.counted = blocked-l.counted, blocked
	}

	if len(l.past) >= maxIntervals {
		l.drop(1)
	}
	l.past = append(l.past, i)
	for w := range l.sums {
		s := &l.sums[w]
		s.add(&i, 1)
		if w := Window(w); w == Whole {
			continue
		}
		from := now - int64(lengths[w])
		for l.starts[w] < len(l.past)-1 && (Window(w) == LastInterval || l.past[l.starts[w]].end <= from) {
			s.add(&l.past[l.starts[w]], -1)
			l.starts[w]++
		}
	}
	if n := l.starts[Minute]; n > 64 || n == len(l.past)-1 {
		l.drop(n)
	}
}

// drop lets go of the n oldest intervals.
func (l *loop) drop(n int) {
	for w := range l.starts {
		if Window(w) == Whole {
			continue
		}
		for ; l.starts[w] < n; l.starts[w]++ {
			l.sums[w].add(&l.past[l.starts[w]], -1)
		}
		l.starts[w] -= n
	}
	l.past = slices.Delete(l.past, 0, n)
}

// enter fills in what has changed from one state of the statistics to the next.
func (i *interval) enter(to, from *probes.Statistics) {
	i.statistics = delta{to.Iterations - from.Iterations, to.IdleNS - from.IdleNS, to.LateNS - from.LateNS, to.ActiveNS - from.ActiveNS}
	i.countedNS = i.statistics.idleNS + i.statistics.activeNS
	longest := 0
	i.histogram, i.ready = cells(&to.Histogram, &from.Histogram), cells(&to.Ready, &from.Ready)
	if n := len(i.histogram); n > 0 {
		longest = int(i.histogram[n-1].bucket)
	}
	switch {
	case to.MaxNS > from.MaxNS:
		i.maxNS = max(i.maxNS, to.MaxNS)
	case len(i.histogram) > 0:
		// The bucket is all that is known. A block in it is known exactly.
		if i.maxNS < histogram.From(longest) {
			i.maxNS = min(histogram.Middle(longest), to.MaxNS)
		}
	}
}

// cells are the buckets in which two histograms differ.
func cells(to, from *histogram.Histogram) (out []cell) {
	for n := range to {
		if d := to[n] - from[n]; d != 0 {
			out = append(out, cell{uint16(n), int32(min(max(d, math.MinInt32), math.MaxInt32))})
		}
	}
	return out
}
