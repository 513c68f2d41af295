// SPDX-License-Identifier: Apache-2.0

package track

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/crash"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/python"
)

// untilDone asks for a look until it has ended.
func untilDone(t *testing.T, l *looks, pid int) python.Opened {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if o, ok := l.ask(pid); ok {
			return o
		}
		require.True(t, time.Now().Before(deadline))
	}
}

// TestALookThatDoesNotEnd: others do, and the waits of the process's threads are kept for it, each thread's last one.
func TestALookThatDoesNotEnd(t *testing.T) {
	answer := make(chan struct{})
	l := newLooks(func(pid int) (*python.Process, *python.Refusal) {
		if pid == 1 {
			<-answer
		}
		return nil, &python.Refusal{PID: pid}
	})
	_, ok := l.ask(1)
	require.False(t, ok)
	assert.Equal(t, 2, untilDone(t, l, 2).Refusal.PID)
	_, ok = l.ask(1)
	require.False(t, ok, "it is one look, however often it is asked for")
	assert.Len(t, l.underWay, 1)

	for tid := range 2 * maxKeptWaits {
		assert.Equal(t, tid < maxKeptWaits, l.keep(&wire.Wait{PID: 1, TID: tid}))
	}
	again := &wire.Wait{PID: 1, TID: 3}
	assert.True(t, l.keep(again))
	assert.Same(t, again, l.underWay[1].waits[3])
	l.endThread(1, 3)
	assert.Len(t, l.underWay[1].waits, maxKeptWaits-1)
	assert.False(t, l.keep(&wire.Wait{PID: 2, TID: 9}), "that look has ended")

	close(answer)
	assert.Equal(t, 1, untilDone(t, l, 1).Refusal.PID)
	assert.Empty(t, l.underWay)
}

// TestLooksAreBounded: as many as there may be are under way, and those that were given up hold nobody up.
func TestLooksAreBounded(t *testing.T) {
	answer := make(chan struct{})
	l := newLooks(func(int) (*python.Process, *python.Refusal) { <-answer; return nil, &python.Refusal{} })
	for pid := range 2 * maxLooks {
		_, ok := l.ask(pid)
		require.False(t, ok)
	}
	assert.Len(t, l.underWay, maxLooks)
	for pid := range maxLooks {
		l.drop(pid)
	}
	assert.Empty(t, l.underWay)
	close(answer)
	untilDone(t, l, 1)
}

// TestALookThatPanics: whoever asks gets to know.
func TestALookThatPanics(t *testing.T) {
	l := newLooks(func(int) (*python.Process, *python.Refusal) { panic("a fault") })
	err := crash.Guard(func() error { untilDone(t, l, 1); return nil })
	assert.ErrorContains(t, err, "a fault")
}

// TestStacksOfAllLoopsAreBounded: each loop has room for one stack, and all together for so many frames.
func TestStacksOfAllLoopsAreBounded(t *testing.T) {
	c := &Tracker{threads: make(map[int]*thread), lost: make(map[string]int64)}
	deep := func(tid int, period uint64) *wire.Sample {
		s := &wire.Sample{TID: tid, Period: period}
		s.Stack.Frames = make([]wire.Frame, maxFrames/4)
		return s
	}
	for tid := range 8 {
		c.threads[tid] = &thread{tid: tid, slot: probes.NoSlot}
		for range 2 {
			c.onSample(deep(tid, 1))
		}
	}
	assert.EqualValues(t, 6, c.lost[reasonSamples], "the second ones of all but two loops")
	for tid := range 8 {
		assert.NotEmpty(t, c.threads[tid].samples)
	}
	assert.Len(t, c.takeSamples(c.threads[0], 1), 2)
	c.onSample(deep(1, 2)) // begins another period
	for tid := range 8 {
		c.dropThread(tid)
	}
	assert.Zero(t, c.frames)
}

// TestLastPlacesAreForOthers: a process with many loops leaves some places to those that have none.
func TestLastPlacesAreForOthers(t *testing.T) {
	c := &Tracker{threads: make(map[int]*thread), slots: probes.NewSlots(8), kernel: &moving{}}
	greedy, modest := &proc{}, &proc{}
	assigned := 0
	for tid := range 8 {
		c.threads[tid] = &thread{tid: tid, slot: probes.NoSlot, proc: greedy}
		if c.assignSlot(c.threads[tid]) == nil {
			assigned++
		}
	}
	assert.Equal(t, 6, assigned)
	c.threads[100] = &thread{tid: 100, slot: probes.NoSlot, proc: modest}
	assert.NoError(t, c.assignSlot(c.threads[100]))
}
