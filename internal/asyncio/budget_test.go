// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/process"
)

// crowd is the memory of a process with MaxTasks tasks, made up as a thread of CPython 3.14 has them. All say that they are
// awaited by one set, which has all of them, and all have one coroutine: it awaits one after the other and the first again.
type crowd struct {
	coroutines uint64 // that await one another; 0: the tasks' own has ended
	bytes      int
}

// Where the memory has what.
const (
	crowdThread = 0x10000
	crowdInterp = 0x11000
	crowdType   = 0x20000
	crowdName   = 0x21000
	crowdSet    = 0x30000
	crowdTable  = 1 << 32
	crowdTasks  = 2 << 32
	crowdCoros  = 3 << 32
	taskSpan    = 256
	coroSpan    = 256
	places      = 1 << 16 // of the set's table
)

var crowdDebug = cpython.AsyncioDebug{TaskNode: 64, TaskAwaitedBy: 80, TaskBySet: 88, TaskCoro: 96, TaskName: 104, ThreadTasks: 8, RunningTask: 16}

func crowdRuntime() *cpython.Runtime {
	return &cpython.Runtime{Reader: object.Reader{
		Version: release.MakeVersion(3, 14, 0),
		Layout: release.Layout{
			FrameLayout: release.FrameLayout{
				ObjectType: 8, FrameCode: 0, FrameBack: 8, FrameInstr: 16, FrameOwner: 24, FrameLocals: 40, InstrKind: release.InstrPointer,
				CodeFile: 16, CodeLine: 24, CodeInstrs: 32,
			},
			TypeFlags: 16, TypeName: 24, CoroState: 32, CoroFrame: 48, FrameStack: 32, FrameStackKind: release.StackPointer,
			StrLength: 16, StrState: 32, StrASCII: 40,
		},
	}}
}

// word returns the 8 bytes at an address.
func (c *crowd) word(addr uint64) uint64 {
	switch {
	case addr >= crowdCoros:
		n, at := (addr-crowdCoros)/coroSpan, (addr-crowdCoros)%coroSpan
		frame := addr - at + 48
		switch at {
		case 8:
			return crowdType
		case 32: // the state: has ended, or awaits
			if c.coroutines == 0 {
				return 1
			}
			return 0xff
		case 48:
			return crowdCoros // whatever the code is
		case 48 + 16:
			return crowdCoros + 32 // the instruction
		case 48 + 32:
			return frame + 56 // the end of its values
		case 48 + 48:
			return crowdCoros + (n+1)%max(c.coroutines, 1)*coroSpan // what it awaits
		}
	case addr >= crowdTasks:
		n, at := (addr-crowdTasks)/taskSpan, (addr-crowdTasks)%taskSpan
		switch at {
		case 64:
			if n+1 < MaxTasks {
				return addr + taskSpan
			}
			return crowdThread + 8
		case 80:
			return crowdSet
		case 88:
			return 1
		case 96:
			return crowdCoros
		}
	case addr >= crowdTable:
		if n := (addr - crowdTable) / 16; (addr-crowdTable)%16 == 0 && n < MaxTasks {
			return crowdTasks + n*taskSpan
		}
		return 1
	case addr == crowdSet+32:
		return places - 1
	case addr == crowdSet+40:
		return crowdTable
	case addr == crowdType+24:
		return crowdName
	case addr == crowdName:
		return binary.LittleEndian.Uint64([]byte("coroutin"))
	case addr == crowdName+8:
		return 'e'
	case addr == crowdThread+8:
		return crowdTasks + 64
	}
	return 0
}

func (c *crowd) Read(addr uint64, p []byte) error {
	if addr < 4096 {
		return errors.New("nothing there")
	}
	c.bytes += len(p)
	var b [8]byte
	for i := range p {
		a := addr + uint64(i)
		if i == 0 || a%8 == 0 {
			binary.LittleEndian.PutUint64(b[:], c.word(a&^7))
		}
		p[i] = b[a%8]
	}
	return nil
}

func list(t *testing.T, m process.Memory, budget *Budget, space int) Listed {
	t.Helper()
	tasks := &Tasks{runtime: crowdRuntime(), debug: crowdDebug, interp: crowdInterp, Layout: Layout{InThread: 16, Name: crowdDebug.TaskName, Coro: crowdDebug.TaskCoro}}
	out, err := tasks.List(m, []cpython.Thread{{Addr: crowdThread, Interp: crowdInterp}}, budget, space)
	require.NoError(t, err)
	return out
}

// TestTasksThatShareTheirAwaiters: 2^15 tasks say that all of them await each: 2^30 edges.
func TestTasksThatShareTheirAwaiters(t *testing.T) {
	m, budget := &crowd{}, NewBudget()
	out := list(t, m, budget, MaxKept)
	assert.Len(t, out.Tasks, MaxTasks)
	edges := 0
	for _, task := range out.Tasks {
		edges += len(task.AwaitedBy)
	}
	t.Logf("%d edges, %d of %d tasks incomplete, %d MiB kept, %d MiB read", edges, out.Dropped, len(out.Tasks), out.Size>>20, m.bytes>>20)
	assert.LessOrEqual(t, edges*costAwaiting, MaxKept)
	assert.LessOrEqual(t, out.Size, MaxKept)
	assert.LessOrEqual(t, m.bytes, maxRead)
	assert.Greater(t, out.Dropped, MaxTasks-100)
	assert.True(t, budget.Spent())
	before := m.bytes
	_, err := (&Tasks{runtime: crowdRuntime(), debug: crowdDebug, interp: crowdInterp}).List(m, nil, budget, MaxKept)
	assert.Error(t, err, "what is spent for one interpreter is spent for all")
	assert.Equal(t, before, m.bytes)
}

// TestTasksThatShareALongWait: 2^15 tasks await a thousand coroutines each.
func TestTasksThatShareALongWait(t *testing.T) {
	m := &crowd{coroutines: cpython.MaxAwaits - 1}
	out := list(t, m, NewBudget(), MaxKept)
	frames := 0
	for _, task := range out.Tasks {
		frames += len(task.Awaits)
	}
	t.Logf("%d frames of %d tasks, %d dropped, %d MiB kept, %d MiB read", frames, len(out.Tasks), out.Dropped, out.Size>>20, m.bytes>>20)
	assert.Positive(t, frames)
	assert.LessOrEqual(t, frames*costSuspended, MaxKept)
	assert.LessOrEqual(t, m.bytes, maxRead)
	assert.Equal(t, MaxTasks, len(out.Tasks)+out.Dropped-dropped(out.Tasks))
}

func dropped(tasks []Pending) (n int) {
	for _, task := range tasks {
		if task.dropped {
			n++
		}
	}
	return n
}

// TestLittleSpace: where other interpreters have taken the space, tasks are counted and not kept.
func TestLittleSpace(t *testing.T) {
	out := list(t, &crowd{}, NewBudget(), 1000)
	assert.Len(t, out.Tasks, 1000/costTask)
	assert.Equal(t, MaxTasks, out.Dropped+len(out.Tasks)-dropped(out.Tasks))
	assert.LessOrEqual(t, out.Size, 1000)
}
