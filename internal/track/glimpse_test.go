// SPDX-License-Identifier: Apache-2.0

package track

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// glimpsed is a thread seen asleep once, in period 7 since 100, in futex 0x10.
func glimpsed() *thread {
	g := &glimpse{
		sample: &wire.Sample{Period: 7, Kind: wire.Off, At: 100, Syscall: 202, Args: [3]uint64{0x10}, Target: wire.Target{FD: -1}},
		raw:    []cpython.RawFrame{{Code: 1}},
	}
	g.sample.Stack.Frames = []wire.Frame{{Code: 1}}
	return &thread{tid: 5, glimpses: []*glimpse{g}}
}

// A stack read from user space belongs to the stretch it was read in, and to no other.
func TestGlimpseIsOfOneStretch(t *testing.T) {
	th := glimpsed()
	bare := func(at int64) *wire.Sample {
		return &wire.Sample{Period: 7, Kind: wire.Off, At: at, NS: 50, Syscall: -1, Target: wire.Target{FD: -1}}
	}
	out := th.complete(7, []*wire.Sample{bare(100), bare(200)}, wire.Stackless{})
	require.Len(t, out, 2)
	assert.Len(t, out[0].Stack.Frames, 1)
	assert.Equal(t, 202, out[0].Syscall)
	assert.EqualValues(t, 50, out[0].NS)
	assert.Empty(t, out[1].Stack.Frames, "it has slept elsewhere since")
	assert.Empty(t, th.complete(8, []*wire.Sample{bare(100)}, wire.Stackless{})[0].Stack.Frames, "another period")

	walked := bare(100)
	walked.Stack.Frames = []wire.Frame{{Code: 2}}
	assert.EqualValues(t, 2, th.complete(7, []*wire.Sample{walked}, wire.Stackless{})[0].Stack.Frames[0].Code, "the kernel's own stack counts")
}

// Time without a stack stays apart: it adds up, and no sample with a stack has it.
func TestStacklessTimeStaysApart(t *testing.T) {
	th := glimpsed()
	out := th.complete(7, nil, wire.Stackless{TotalNS: 90, At: 100, NS: 60, Syscall: 202, Args: [3]uint64{0x10}})
	require.Len(t, out, 2)
	assert.EqualValues(t, 60, out[0].NS)
	assert.Len(t, out[0].Stack.Frames, 1, "the longest stretch was glimpsed")
	assert.EqualValues(t, 30, out[1].NS)
	assert.Empty(t, out[1].Stack.Frames)
	assert.Equal(t, -1, out[1].Syscall, "of the others nothing is known")
	assert.Empty(t, th.complete(7, nil, wire.Stackless{}))
}
