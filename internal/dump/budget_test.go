// SPDX-License-Identifier: Apache-2.0

package dump

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/application"
	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/python"
)

// endless is memory in which every word is the address of the next: every stack goes on for ever.
type endless struct{}

func (endless) Read(addr uint64, p []byte) error {
	for i := 0; i+8 <= len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], addr+uint64(i)+8)
	}
	return nil
}

// fakeProc is this process with such a memory.
func fakeProc(t *testing.T) *proc {
	t.Helper()
	self, err := process.Open(os.Getpid())
	require.NoError(t, err)
	rt := &cpython.Runtime{}
	rt.Layout.FrameBack = 8
	p := newProc(python.NewOpener(application.Patterns{}).New(self, rt))
	p.Memory = endless{}
	return p
}

// TestEndlessStacks: forty threads have 4,096 frames each. Of a process a number is kept, and what is beyond is counted.
func TestEndlessStacks(t *testing.T) {
	p := fakeProc(t)
	frames, over := 0, 0
	for i := range 40 {
		th := &thread{state: cpython.Thread{Addr: 1<<32 + uint64(i)<<24}}
		p.readStack(th)
		require.NoError(t, th.err)
		require.Len(t, th.frames, len(th.raw))
		require.LessOrEqual(t, cap(th.raw), 8192)
		frames += len(th.raw)
		if th.over {
			over++
		}
	}
	assert.Equal(t, maxStackFrames, frames)
	assert.Equal(t, maxStackFrames, p.frames)
	assert.Equal(t, 40-maxStackFrames/4096, over)
}

// TestLongNames: tasks and stacks whose names are long are shown as far as there is space, and the others counted.
func TestLongNames(t *testing.T) {
	p := fakeProc(t)
	const loop = 0x1000
	i := &interp{tasks: &asyncio.Tasks{}}
	p.interps[0] = i
	long := strings.Repeat("n", 16<<10)
	for n := range asyncio.MaxTasks {
		task := asyncio.Pending{Addr: uint64(n), Loop: loop, Name: long, Executing: true}
		if n > 0 {
			task.AwaitedBy = []uint64{0}
		}
		i.listed.Tasks = append(i.listed.Tasks, task)
	}
	w := &writer{proc: p, lost: make(losses), frames: maxTaskFrames, space: maxShown}
	frames := []model.Frame{{Function: long, File: long}}
	var rows []model.DumpLoop
	for range 2 { // of which each says that it runs the same loop
		th := &thread{loop: loop, frames: frames, agreed: true, intact: true}
		th.status.idle = true
		rows = append(rows, w.loop(th))
	}
	bytes, shown, more := 0, 0, int64(0)
	for _, row := range rows {
		bytes += sizeOf(row.Frames)
		for _, task := range row.Tasks {
			bytes += len(task.Name) + sizeOf(task.Frames)
			for _, id := range task.Awaits {
				bytes += len(id)
			}
		}
		shown += len(row.Tasks)
		more += row.MoreTasks
	}
	assert.LessOrEqual(t, bytes, maxShown)
	assert.Greater(t, bytes, maxShown*9/10)
	assert.EqualValues(t, 2*asyncio.MaxTasks-shown, more)
	assert.Equal(t, more, w.lost[reasonMoreTasks])
	assert.Len(t, w.awaits, 1, "who awaits whom is found out once")

	th := &thread{frames: frames}
	th.status.idle = true
	for range maxShown / len(long) {
		w.thread(th)
	}
	assert.Positive(t, w.lost[reasonStacks])
	assert.Nil(t, w.thread(th).Frames)
}
