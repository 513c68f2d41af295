// SPDX-License-Identifier: Apache-2.0

package track

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/application"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/python"
)

// layoutKernel has room for a few layouts that are not usual.
type layoutKernel struct {
	Kernel
	room int
	held map[probes.Layout]int
	by   []probes.Layout // index
}

func (k *layoutKernel) AddLayout(l probes.Layout, usual bool) (uint32, error) {
	if k.held[l] == 0 && !usual && len(k.held) >= k.room {
		return 0, probes.ErrLayouts
	}
	k.held[l]++
	k.by = append(k.by, l)
	return uint32(len(k.by) - 1), nil
}

func (k *layoutKernel) ReleaseLayout(index uint32) bool {
	l := k.by[index]
	if k.held[l]--; k.held[l] > 0 {
		return false
	}
	delete(k.held, l)
	return true
}

func (*layoutKernel) SetProcess(int, probes.Verdict) error       { return nil }
func (*layoutKernel) SetPython(int, probes.Interp, uint32) error { return nil }
func (*layoutKernel) ForgetProcess(int) error                    { return nil }
func (*layoutKernel) Loops() int                                 { return 1 }
func (*layoutKernel) ThreadPointers(int) (map[uint64]int, error) { return nil, nil }

// madeUp is a process with a layout of its own.
func madeUp(t *testing.T, pid int, frameCode uint32) python.Opened {
	t.Helper()
	self, err := process.Open(os.Getpid())
	require.NoError(t, err)
	self.PID = pid
	rt := &cpython.Runtime{}
	rt.Layout.FrameCode = frameCode
	return python.Opened{Process: python.NewOpener(application.Patterns{}).New(self, rt)}
}

// TestMadeUpLayouts: processes with layouts of their own making are watched as far as there is room, then listed with the
// reason; what a process had is free when it has ended, and the others are looked at again.
func TestMadeUpLayouts(t *testing.T) {
	k := &layoutKernel{room: 2, held: make(map[probes.Layout]int)}
	c := New(k, Options{})
	const first = 1 << 22 // no process has such an id
	for i := range 5 {
		c.meet(first+i, madeUp(t, first+i, uint32(1000+i)))
	}
	assert.Len(t, c.procs, 2)
	assert.Len(t, c.unwatched.PIDs(), 3)
	assert.EqualValues(t, 3, c.lost[reasonLayouts])
	assert.Equal(t, probes.ErrLayouts.Error(), c.Unsupported()[0].Reason)
	c.meet(first+5, madeUp(t, first+5, 1000))
	assert.Len(t, c.procs, 3, "one that is laid out as another needs no room")
	c.meet(first, madeUp(t, first, 1000))
	require.Len(t, c.procs, 3, "met twice, entered once")

	c.forgetProcess(first)
	assert.Len(t, k.held, 2, "another has it still")
	again := func() bool { _, again := c.unwatched.Listed(first + 4); return again }
	assert.False(t, again())
	c.forgetProcess(first + 5)
	assert.Len(t, k.held, 1)
	assert.True(t, again())
	assert.Len(t, c.unwatched.PIDs(), 3, "listed until it is looked at again")
	c.forgetProcess(first + 1)
	assert.Empty(t, k.held)
}
