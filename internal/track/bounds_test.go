// SPDX-License-Identifier: Apache-2.0

package track

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

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
