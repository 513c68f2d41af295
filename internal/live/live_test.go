// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/histogram"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/track"
)

const second = int64(time.Second)

var who = model.Loop{PID: 1, TID: 1, Command: "python3 app.py", Loop: "asyncio"}

// script plays one loop second by second, and keeps the statistics a kernel would.
type script struct {
	t          *Tracker
	now        int64
	statistics probes.Statistics
	waiting    bool
	since      int64
	block      *model.Block
}

func newScript() *script {
	return &script{t: New(), now: 1000 * second, waiting: true, since: 1000 * second}
}

// active lets the loop be active for so long, from now on, and wait again.
func (s *script) active(d time.Duration) {
	s.statistics.IdleNS += s.now - s.since
	s.now += int64(d)
	s.statistics.Add(int64(d))
	s.since = s.now
}

func (s *script) idle(d time.Duration) { s.now += int64(d) }

func (s *script) look() Loop {
	statistics := s.statistics
	if open := s.now - s.since; s.waiting {
		statistics.IdleNS += open
	} else {
		statistics.ActiveNS += open
		statistics.MaxNS = max(statistics.MaxNS, open)
	}
	view := s.t.Update(s.now, []track.Present{{Loop: who, Statistics: &statistics, Waiting: s.waiting, Since: s.since, Block: s.block}})
	return view.Loops[0]
}

func blockOf(start, ns int64, function string) model.Block {
	return model.Block{PID: 1, TID: 1, StartNS: start, DurationNS: ns, Cause: model.CauseNet,
		Culprit: &model.Frame{Function: function, File: "/srv/app.py", Line: 7, App: true},
		Stacks:  []model.Stack{{NS: ns, Frames: []model.Frame{{Function: function, File: "/srv/app.py", Line: 7, App: true}}}}}
}

func (s *script) blocked(d time.Duration, function string) {
	start := s.now
	s.active(d)
	s.t.Block(blockOf(start, int64(d), function), who)
}

// Figures of a window are those of its intervals, whatever was before.
func TestWindows(t *testing.T) {
	s := newScript()
	s.look()
	for range 100 { // busy at first
		for range 10 {
			s.active(50 * time.Millisecond)
			s.idle(50 * time.Millisecond)
		}
		s.look()
	}
	for range 20 { // then hardly
		s.active(20 * time.Millisecond)
		s.idle(980 * time.Millisecond)
		s.look()
	}
	l := s.look()
	require.Equal(t, Idle, l.State)
	assert.EqualValues(t, 980*time.Millisecond, l.For)
	for _, c := range []struct {
		window     Window
		observed   time.Duration
		iterations int64
		active     time.Duration
		median     time.Duration
	}{
		{TenSeconds, 10 * time.Second, 10, 200 * time.Millisecond, 20 * time.Millisecond},
		{Minute, time.Minute, 20 + 400, 400*time.Millisecond + 20*time.Second, 50 * time.Millisecond},
		{Whole, 120 * time.Second, 20 + 1000, 400*time.Millisecond + 50*time.Second, 50 * time.Millisecond},
	} {
		f := l.Figures[c.window]
		assert.InDelta(t, c.observed, f.Observed, float64(time.Second), "window %d", c.window)
		assert.InDelta(t, c.iterations, f.Iterations, 10, "window %d", c.window)
		assert.InDelta(t, c.active, f.Active, float64(500*time.Millisecond), "window %d", c.window)
		assert.InEpsilon(t, c.median, f.P50, .07, "window %d", c.window)
	}
	assert.Zero(t, l.Figures[LastInterval].Iterations, "two looks at the same moment")
	assert.InEpsilon(t, 20*time.Millisecond, l.Figures[TenSeconds].Max, .07)
	assert.InEpsilon(t, 50*time.Millisecond, l.Figures[Minute].Max, .07)
	assert.InDelta(t, 0.02, l.Figures[TenSeconds].Utilization(), .005)
	assert.InDelta(t, 1, l.Figures[TenSeconds].Rate(), .1)
}

// Windows forget, and what they forget they forget exactly.
func TestWindowsEndEmpty(t *testing.T) {
	s := newScript()
	s.look()
	for n := range 300 {
		if n < 200 {
			s.blocked(time.Duration(n%7+1)*100*time.Millisecond, fmt.Sprint("f", n%5))
		}
		s.idle(time.Second)
		s.look()
	}
	l := s.look()
	for _, w := range []Window{LastInterval, TenSeconds, Minute} {
		f := l.Figures[w]
		assert.Zero(t, f.Iterations)
		assert.Zero(t, f.Blocks)
		assert.Zero(t, f.Blocked)
		assert.Zero(t, f.P99)
		assert.Zero(t, f.Max)
		assert.Empty(t, f.Histogram)
		assert.Nil(t, f.Worst)
	}
	f := l.Figures[Whole]
	assert.EqualValues(t, 200, f.Iterations)
	assert.EqualValues(t, 200, f.Blocks)
	assert.Len(t, l.Blockers, 5)
	assert.Less(t, len(s.t.loops[model.LoopID{PID: 1, TID: 1}].past), 2*64+2, "the past is bounded")
}

// A block counts with the part of it that lies in the window, while it goes on and after.
func TestLongBlockIsSharedAmongWindows(t *testing.T) {
	s := newScript()
	s.look()
	s.idle(5 * time.Second)
	s.statistics.IdleNS += s.now - s.since
	start := s.now
	s.since, s.waiting = start, false
	for n := range 30 {
		s.now += second
		b := blockOf(start, s.now-start, "stuck")
		b.Ongoing = true
		s.block = &b
		l := s.look()
		require.Equal(t, Blocked, l.State)
		require.Equal(t, time.Duration(n+1)*time.Second, l.For)
		for _, w := range []Window{TenSeconds, Minute} {
			f := l.Figures[w]
			require.EqualValues(t, 1, f.Blocks)
			require.InDelta(t, min(time.Duration(n+1)*time.Second, max(lengths[w], time.Second)), f.Blocked, float64(time.Second))
			require.Equal(t, "stuck", f.Worst.Culprit.Function)
			require.Equal(t, l.For, f.Max)
		}
	}
	s.waiting, s.block = true, nil
	s.statistics.Add(s.now - start)
	s.since = s.now
	s.t.Block(blockOf(start, s.now-start, "stuck"), who)
	s.idle(4 * time.Second)
	l := s.look()
	assert.InDelta(t, 6*time.Second, l.Figures[TenSeconds].Blocked, float64(time.Second))
	assert.InDelta(t, .6, l.Figures[TenSeconds].BlockedShare(), .1)
	assert.EqualValues(t, 30*time.Second, l.Figures[Minute].Blocked)
	assert.EqualValues(t, 1, l.Figures[Minute].Blocks, "it is one block, and no other")
}

// The kernel may say that a block has ended before the block is told.
func TestLateBlock(t *testing.T) {
	s := newScript()
	s.look()
	start := s.now
	s.waiting = false
	s.now += 2 * second
	b := blockOf(start, 2*second, "f")
	s.block = &b
	s.look()
	s.block, s.waiting = nil, true
	s.statistics.Add(2 * second)
	s.since = s.now
	s.idle(time.Second)
	assert.EqualValues(t, 2*time.Second, s.look().Figures[TenSeconds].Blocked)
	s.t.Block(blockOf(start, 2*second, "f"), who)
	s.idle(time.Second)
	assert.EqualValues(t, 2*time.Second, s.look().Figures[TenSeconds].Blocked)
}

func TestWorstIsOfItsWindow(t *testing.T) {
	s := newScript()
	s.look()
	s.blocked(5*time.Second, "old")
	s.look()
	for range 30 {
		s.blocked(100*time.Millisecond, "often")
		s.blocked(150*time.Millisecond, "rarely")
		s.blocked(100*time.Millisecond, "often")
		s.idle(650 * time.Millisecond)
		s.look()
	}
	l := s.look()
	assert.Equal(t, "often", l.Figures[TenSeconds].Worst.Culprit.Function)
	assert.InDelta(t, 20, l.Figures[TenSeconds].Worst.Count, 2)
	assert.InDelta(t, 2*second, l.Figures[TenSeconds].Worst.TotalNS, 2e8)
	assert.Equal(t, "often", l.Figures[Minute].Worst.Culprit.Function)
	assert.Equal(t, "often", l.Blockers[0].Culprit.Function)
	assert.EqualValues(t, 60, l.Blockers[0].Count)
	assert.NotEmpty(t, l.Blockers[0].Stack)
}

// After a change of the threshold blocks are counted anew, and shares are of the time since.
func TestRecount(t *testing.T) {
	s := newScript()
	s.look()
	s.blocked(3*time.Second, "before")
	s.idle(time.Second)
	require.EqualValues(t, 1, s.look().Figures[TenSeconds].Blocks)
	s.t.Recount()
	l := s.look()
	assert.Zero(t, l.Figures[TenSeconds].Blocks)
	assert.Zero(t, l.Figures[Whole].Blocked)
	assert.Empty(t, l.Blockers)
	assert.EqualValues(t, 1, l.Figures[TenSeconds].Iterations, "statistics are not blocks")
	s.blocked(time.Second, "after")
	s.idle(time.Second)
	l = s.look()
	assert.EqualValues(t, 1, l.Figures[TenSeconds].Blocks)
	assert.InDelta(t, .5, l.Figures[TenSeconds].BlockedShare(), .01)
	assert.Equal(t, "after", l.Figures[TenSeconds].Worst.Culprit.Function)
	for range 70 { // what was before is forgotten without a trace
		s.idle(time.Second)
		l = s.look()
	}
	assert.Zero(t, l.Figures[Minute].Blocked)
	assert.EqualValues(t, time.Second, l.Figures[Whole].Blocked)
}

// A loop that was blocked lately is still there for a while after its process was killed.
func TestEndedLoops(t *testing.T) {
	s := newScript()
	s.look()
	s.blocked(time.Second, "f")
	s.look()
	s.t.Block(blockOf(s.now, second, "last"), who)
	s.now += second
	view := s.t.Update(s.now, nil)
	require.Len(t, view.Loops, 1)
	assert.Equal(t, Ended, view.Loops[0].State)
	assert.EqualValues(t, 2, view.Loops[0].Figures[TenSeconds].Blocks)
	assert.Len(t, s.t.Update(s.now+9*second, nil).Loops, 1)
	assert.Empty(t, s.t.Update(s.now+10*second, nil).Loops)
	assert.Zero(t, s.t.blockers)

	s = newScript()
	s.look()
	s.idle(time.Second)
	s.look()
	assert.Empty(t, s.t.Update(s.now+second, nil).Loops, "one that was not blocked goes at once")
}

// A process may start under the number of one that has just ended.
func TestBooksThatBeginAnew(t *testing.T) {
	s := newScript()
	s.look()
	for range 50 {
		s.active(time.Millisecond)
	}
	s.idle(time.Second)
	s.look()
	s.statistics = probes.Statistics{}
	s.since = s.now
	s.active(3 * time.Millisecond)
	s.idle(time.Second)
	l := s.look()
	assert.EqualValues(t, 1, l.Figures[LastInterval].Iterations)
	assert.EqualValues(t, 3*time.Millisecond, l.Figures[LastInterval].Active)
}

// Blocks that cannot be grouped are counted.
func TestBlockersAreBounded(t *testing.T) {
	s := newScript()
	s.look()
	const n = 3 * maxLoopBlockers
	for i := range n {
		s.blocked(time.Millisecond, fmt.Sprint("f", i))
	}
	l := s.look()
	assert.Len(t, l.Blockers, maxLoopBlockers)
	assert.EqualValues(t, n-maxLoopBlockers, l.Ungrouped)
	assert.EqualValues(t, n, l.Figures[TenSeconds].Blocks)
	assert.EqualValues(t, n*time.Millisecond, l.Figures[TenSeconds].Blocked)
	assert.EqualValues(t, n-maxLoopBlockers, s.t.Update(s.now, nil).Lost.Reasons[reasonUngrouped])

	tracker := New()
	for pid := range 2 * maxBlockers / maxLoopBlockers {
		for i := range maxLoopBlockers {
			tracker.Block(blockOf(0, second, fmt.Sprint("f", i)), model.Loop{PID: pid, TID: pid})
		}
	}
	assert.Equal(t, maxBlockers, tracker.blockers)
}

// A view does not change when the tracker goes on.
func TestSnapshotsAreFrozen(t *testing.T) {
	s := newScript()
	s.look()
	s.blocked(time.Second, "f")
	l := s.look()
	s.blocked(2*time.Second, "f")
	s.look()
	assert.EqualValues(t, 1, l.Blockers[0].Count)
	assert.EqualValues(t, 1, l.Figures[TenSeconds].Worst.Count)
	assert.EqualValues(t, second, l.Blockers[0].MaxNS)
}

func TestBins(t *testing.T) {
	var b probes.Statistics
	for _, ns := range []int64{100, 15_000, 15_000, 3_000_000, 700_000_000} {
		b.Add(ns)
	}
	var s sum
	var i interval
	i.enter(&b, &probes.Statistics{})
	s.add(&i, 1)
	out := s.shown()
	require.NotEmpty(t, out)
	assert.Equal(t, Bin{0, 1}, out[0])
	assert.Equal(t, Bin{500 * time.Millisecond, 1}, out[len(out)-1])
	var all int64
	for i, bin := range out {
		all += bin.Count
		if i > 0 {
			assert.Greater(t, bin.From, out[i-1].From, "no bin is left out")
		}
	}
	assert.EqualValues(t, 5, all)
	assert.Contains(t, out, Bin{10 * time.Microsecond, 2})
	assert.Contains(t, out, Bin{2 * time.Millisecond, 1})
	s.add(&i, -1)
	assert.Empty(t, s.shown())
}

// The quick way to a quantile is no other than the slow one.
func TestQuantile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var s sum
		var statistics probes.Statistics
		for range r.IntN(300) + 1 {
			before := statistics
			ns := int64(math.Exp(r.Float64() * 26))
			statistics.Add(ns)
			var i interval
			i.enter(&statistics, &before)
			s.add(&i, 1)
		}
		for _, q := range []float64{0, .01, .5, .9, .99, 1} {
			require.Equal(t, statistics.Histogram.Quantile(q), s.quantile(q), "%v", q)
		}
	}
	assert.Zero(t, new(sum).quantile(.5))
}

func BenchmarkUpdate(b *testing.B) {
	const loops = 500
	tracker := New()
	statistics := make([]probes.Statistics, loops)
	now := 1000 * second
	for b.Loop() {
		now += second
		present := make([]track.Present, loops)
		for i := range present {
			for n := range int64(20) {
				statistics[i].Add(20_000 * (n + 1))
			}
			statistics[i].IdleNS += second
			copied := statistics[i]
			present[i] = track.Present{Loop: model.Loop{PID: i + 1, TID: i + 1}, Statistics: &copied, Waiting: true, Since: now}
		}
		tracker.Update(now, present)
	}
}

// The lag of a window is that of the events in it.
func TestLag(t *testing.T) {
	s := newScript()
	s.look()
	ready := func(ns int64, n int64) {
		s.statistics.Ready[histogram.BucketOf(ns)] += n
		s.statistics.ReadyMaxNS = max(s.statistics.ReadyMaxNS, ns)
	}
	assert.Zero(t, s.look().Figures[Whole].Lag, "nothing is known")
	ready(50_000_000, 10)
	s.active(10 * time.Millisecond)
	s.idle(time.Second)
	s.look()
	for range 15 {
		ready(20_000, 1)
		s.active(10 * time.Millisecond)
		s.idle(time.Second)
		s.look()
	}
	l := s.look()
	assert.InEpsilon(t, 20*time.Microsecond, l.Figures[TenSeconds].Lag, 0.04)
	assert.InEpsilon(t, 50*time.Millisecond, l.Figures[Whole].Lag, 0.04)
	assert.LessOrEqual(t, l.Figures[Whole].Lag, 50*time.Millisecond)
	assert.Zero(t, l.Figures[LastInterval].Lag)
}
