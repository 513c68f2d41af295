// SPDX-License-Identifier: Apache-2.0

package track

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/delayed"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/slots"
)

const ms = 1_000_000

// moving is a kernel in which one loop goes on while it is looked at: each read of its thread is
// the next of states, and its statistics are those of the state read last.
type moving struct {
	Kernel
	states     []probes.Thread
	statistics []probes.Statistics
	reads      int
}

func (m *moving) step() probes.Thread {
	at := min(m.reads, len(m.states)-1)
	m.reads++
	return m.states[at]
}

func (m *moving) Threads() ([]probes.Thread, error) { return []probes.Thread{m.step()}, nil }
func (m *moving) Thread(int) (probes.Thread, bool, error) {
	return m.step(), true, nil
}

// The statistics are read after the thread: they may be ahead of it.
func (m *moving) Statistics(uint32) (*probes.Statistics, error) {
	b := m.statistics[min(m.reads, len(m.statistics)-1)]
	return &b, nil
}

func (m *moving) AllStatistics(uint32) ([]*probes.Statistics, error) {
	b, err := m.Statistics(0)
	return []*probes.Statistics{b}, err
}

func present(t *testing.T, m *moving, now int64) Present {
	t.Helper()
	c := &Tracker{kernel: m, threads: map[int]*thread{}, opts: Options{Threshold: 100 * time.Millisecond}, slots: slots.New(1), delayed: delayed.New(nil)}
	c.slots.Take(7)
	c.threads[7] = &thread{tid: 7, loop: block.Loop{Kind: "asyncio"}, proc: newProc(python.NewOpener(nil).New(&process.Process{PID: 7}, &cpython.Runtime{}), nil)}
	out, err := c.Present(now)
	require.NoError(t, err)
	require.Len(t, out, 1)
	return out[0]
}

// What goes on counts up to the moment of the look.
func TestPresentCountsWhatGoesOn(t *testing.T) {
	wait := probes.Thread{TID: 7, InWait: true, Slept: true, Period: 4, Since: 1000 * ms}
	p := present(t, &moving{states: []probes.Thread{wait}, statistics: []probes.Statistics{{Iterations: 4, IdleNS: 10 * ms, ActiveNS: 5 * ms, MaxNS: 2 * ms}}}, 1900*ms)
	assert.True(t, p.Waiting)
	assert.EqualValues(t, 910*ms, p.Statistics.IdleNS)
	assert.EqualValues(t, 5*ms, p.Statistics.ActiveNS)
	assert.Nil(t, p.Block)

	// One in which the thread has not slept is no rest.
	looking := probes.Thread{TID: 7, InWait: true, Period: 4, Since: 1880 * ms}
	p = present(t, &moving{states: []probes.Thread{looking}, statistics: []probes.Statistics{{Iterations: 4, IdleNS: 10 * ms, ActiveNS: 5 * ms, MaxNS: 2 * ms}}}, 1900*ms)
	assert.False(t, p.Waiting)
	assert.EqualValues(t, 10*ms, p.Statistics.IdleNS)
	assert.EqualValues(t, 25*ms, p.Statistics.ActiveNS)
	assert.EqualValues(t, 2*ms, p.Statistics.MaxNS)

	active := probes.Thread{TID: 7, Period: 5, Since: 1880 * ms}
	p = present(t, &moving{states: []probes.Thread{active}, statistics: []probes.Statistics{{Iterations: 4, IdleNS: 10 * ms, ActiveNS: 5 * ms, MaxNS: 2 * ms}}}, 1900*ms)
	assert.False(t, p.Waiting)
	assert.EqualValues(t, 10*ms, p.Statistics.IdleNS)
	assert.EqualValues(t, 25*ms, p.Statistics.ActiveNS)
	assert.EqualValues(t, 20*ms, p.Statistics.MaxNS)
	assert.EqualValues(t, 4, p.Statistics.Iterations)
}

// A long wait that ends between the reads counts once: it is in the statistics by then.
func TestPresentCountsNothingTwice(t *testing.T) {
	wait := probes.Thread{TID: 7, InWait: true, Slept: true, Period: 4, Since: 1000 * ms}
	active := probes.Thread{TID: 7, Period: 5, Since: 1899 * ms}
	after := probes.Statistics{Iterations: 4, IdleNS: 909 * ms, ActiveNS: 5 * ms}
	m := &moving{states: []probes.Thread{wait, active}, statistics: []probes.Statistics{{}, after, after}}
	p := present(t, m, 1900*ms)
	assert.False(t, p.Waiting)
	assert.EqualValues(t, 909*ms, p.Statistics.IdleNS)
	assert.EqualValues(t, 6*ms, p.Statistics.ActiveNS)
}

// A loop that never holds still is not looked at for ever, and what it does not show is little.
func TestPresentEndsWithALoopThatNeverHoldsStill(t *testing.T) {
	m := &moving{}
	for i := range 20 {
		m.states = append(m.states, probes.Thread{TID: 7, InWait: i%2 == 0, Slept: i%4 == 0, Period: uint64(i), Since: 1900*ms + int64(i)*1000})
		m.statistics = append(m.statistics, probes.Statistics{Iterations: int64(i), IdleNS: 900*ms + int64(i)*500, ActiveNS: 5*ms + int64(i)*500})
	}
	p := present(t, m, 1900*ms)
	assert.LessOrEqual(t, m.reads, 6)
	assert.InDelta(t, 900*ms, p.Statistics.IdleNS, float64(ms))
	assert.InDelta(t, 5*ms, p.Statistics.ActiveNS, float64(ms))
}

// A loop that is woken and not let run is blocked, since it was woken.
func TestPresentSeesALateLoop(t *testing.T) {
	late := probes.Thread{TID: 7, InWait: true, Slept: true, Period: 4, Since: 1000 * ms, LateFrom: 1700 * ms}
	p := present(t, &moving{states: []probes.Thread{late}, statistics: []probes.Statistics{{Iterations: 4, IdleNS: 10 * ms, LateNS: ms}}}, 1900*ms)
	assert.EqualValues(t, 910*ms, p.Statistics.IdleNS)
	assert.EqualValues(t, 201*ms, p.Statistics.LateNS)
	require.NotNil(t, p.Block)
	assert.False(t, p.Waiting)
	assert.EqualValues(t, 1700*ms, p.Since)
	assert.True(t, p.Block.InWait)
	assert.True(t, p.Block.Ongoing)
	assert.EqualValues(t, 1700*ms, p.Block.StartNS)
	assert.EqualValues(t, 200*ms, p.Block.DurationNS)

	late.LateFrom = 1810 * ms
	p = present(t, &moving{states: []probes.Thread{late}, statistics: []probes.Statistics{{}}}, 1900*ms)
	assert.Nil(t, p.Block)
	assert.True(t, p.Waiting)
}
