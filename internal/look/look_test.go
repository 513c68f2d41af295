// SPDX-License-Identifier: Apache-2.0

package look

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/crash"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/python"
)

// untilDone asks for a look until it has ended.
func untilDone(t *testing.T, l *Looks, pid int) python.Opened {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		var out python.Opened
		if l.Ask(pid, func(_ int, o python.Opened, _ []*wire.Wait, _ []wire.Event) { out = o }) {
			return out
		}
		require.True(t, time.Now().Before(deadline))
	}
}

// TestALookThatDoesNotEnd: others do, and the waits of the process's threads are kept for it, each thread's last one.
func TestALookThatDoesNotEnd(t *testing.T) {
	answer := make(chan struct{})
	l := New(func(pid int) (*python.Process, *python.Refusal) {
		if pid == 1 {
			<-answer
		}
		return nil, &python.Refusal{PID: pid}
	})
	require.False(t, l.Ask(1, nil))
	assert.Equal(t, 2, untilDone(t, l, 2).Refusal.PID)
	require.False(t, l.Ask(1, nil), "it is one look, however often it is asked for")
	assert.Len(t, l.underWay, 1)

	for tid := range 2 * maxKeptWaits {
		assert.Equal(t, tid < maxKeptWaits, l.Keep(&wire.Wait{PID: 1, TID: tid}))
	}
	again := &wire.Wait{PID: 1, TID: 3}
	assert.True(t, l.Keep(again))
	assert.Same(t, again, l.underWay[1].waits[3])
	assert.False(t, l.Keep(&wire.Wait{PID: 2, TID: 9}), "that look has ended")

	// What happens to its threads meanwhile is kept, too, in its order.
	block, exit := &wire.Block{PID: 1, TID: 3}, &wire.Exit{PID: 1, TID: 3}
	assert.True(t, l.Hold(1, 3, block))
	assert.True(t, l.Hold(0, 3, exit))
	assert.False(t, l.Hold(0, 1000, &wire.Block{TID: 1000}), "a thread of no such process")
	for range maxHeld {
		assert.True(t, l.Hold(1, 4, &wire.Block{PID: 1, TID: 4}))
	}
	assert.Equal(t, int64(2), l.TakeLost(), "those there was no room for")

	close(answer)
	var waits []*wire.Wait
	var held []wire.Event
	require.Eventually(t, func() bool {
		return l.Ask(1, func(_ int, _ python.Opened, w []*wire.Wait, h []wire.Event) { waits, held = w, h })
	}, time.Minute, time.Millisecond)
	assert.Len(t, waits, maxKeptWaits)
	require.Len(t, held, maxHeld)
	assert.Same(t, block, held[0])
	assert.Same(t, exit, held[1])
	assert.False(t, l.Hold(1, 3, block), "it has been handed over")
	assert.Zero(t, l.held)
	assert.Empty(t, l.underWay)
}

// TestALookThatIsGivenUp: the blocks that were kept for it are counted.
func TestALookThatIsGivenUp(t *testing.T) {
	answer := make(chan struct{})
	defer close(answer)
	l := New(func(int) (*python.Process, *python.Refusal) { <-answer; return nil, &python.Refusal{} })
	require.False(t, l.Ask(1, nil))
	require.True(t, l.Keep(&wire.Wait{PID: 1, TID: 1}))
	require.True(t, l.Hold(1, 1, &wire.Block{PID: 1, TID: 1}))
	require.True(t, l.Hold(0, 1, &wire.Sample{TID: 1}))
	l.Drop(1)
	assert.Equal(t, int64(1), l.TakeLost())
	assert.Zero(t, l.TakeLost())
	assert.Empty(t, l.threads)
}

// TestLooksAreBounded: as many as there may be are under way, and those that were given up hold nobody up.
func TestLooksAreBounded(t *testing.T) {
	answer := make(chan struct{})
	l := New(func(int) (*python.Process, *python.Refusal) { <-answer; return nil, &python.Refusal{} })
	for pid := range 2 * maxLooks {
		require.False(t, l.Ask(pid, nil))
	}
	assert.Len(t, l.underWay, maxLooks)
	for pid := range maxLooks {
		l.Drop(pid)
	}
	assert.Empty(t, l.underWay)
	close(answer)
	untilDone(t, l, 1)
}

// TestALookThatPanics: whoever asks gets to know.
func TestALookThatPanics(t *testing.T) {
	l := New(func(int) (*python.Process, *python.Refusal) { panic("a fault") })
	err := crash.Guard(func() error { untilDone(t, l, 1); return nil })
	assert.ErrorContains(t, err, "a fault")
}
