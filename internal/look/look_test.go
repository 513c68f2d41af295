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
		if o, ok := l.Ask(pid); ok {
			return o
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
	_, ok := l.Ask(1)
	require.False(t, ok)
	assert.Equal(t, 2, untilDone(t, l, 2).Refusal.PID)
	_, ok = l.Ask(1)
	require.False(t, ok, "it is one look, however often it is asked for")
	assert.Len(t, l.underWay, 1)

	for tid := range 2 * maxKeptWaits {
		assert.Equal(t, tid < maxKeptWaits, l.Keep(&wire.Wait{PID: 1, TID: tid}))
	}
	again := &wire.Wait{PID: 1, TID: 3}
	assert.True(t, l.Keep(again))
	assert.Same(t, again, l.underWay[1].waits[3])
	l.EndThread(1, 3)
	assert.Len(t, l.underWay[1].waits, maxKeptWaits-1)
	assert.False(t, l.Keep(&wire.Wait{PID: 2, TID: 9}), "that look has ended")

	close(answer)
	assert.Equal(t, 1, untilDone(t, l, 1).Refusal.PID)
	assert.Empty(t, l.underWay)
}

// TestLooksAreBounded: as many as there may be are under way, and those that were given up hold nobody up.
func TestLooksAreBounded(t *testing.T) {
	answer := make(chan struct{})
	l := New(func(int) (*python.Process, *python.Refusal) { <-answer; return nil, &python.Refusal{} })
	for pid := range 2 * maxLooks {
		_, ok := l.Ask(pid)
		require.False(t, ok)
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
