// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

// words is a memory of 8-byte words, 0 where none was written. It counts the reads of each address.
type words struct {
	at    map[uint64]uint64
	reads map[uint64]int
}

func (w words) Read(addr uint64, p []byte) error {
	w.reads[addr]++
	var b [8]byte
	for i := 0; i < len(p); i += 8 {
		binary.NativeEndian.PutUint64(b[:], w.at[addr+uint64(i)])
		copy(p[i:], b[:])
	}
	return nil
}

// Where the made-up parent has its things.
const (
	runtimeAt = uint64(0x1000)
	interpAt  = uint64(0x2000)
	threadsAt = uint64(0x10000)
	framesAt  = uint64(0x1000000)
)

func threadAt(i int) uint64 { return threadsAt + uint64(i)*0x100 }

// parentOf is a process whose threads, from the oldest to the newest, have these stacks of code objects.
func parentOf(stacks [][]uint64) (*Process, words) {
	l := release.Layout{RuntimeInterpreters: 8, InterpThreads: 0x20, InterpNext: 0x28, ThreadNext: 8, ThreadInterp: 0x18}
	l.ThreadID, l.ThreadFrame, l.FrameBack, l.FrameInstr, l.InstrKind = 0x20, 0x10, 8, 0x10, release.InstrUnits
	m := words{at: map[uint64]uint64{runtimeAt + 8: interpAt, interpAt + 0x20: threadAt(len(stacks) - 1)}, reads: make(map[uint64]int)}
	frame := framesAt
	for i, stack := range stacks {
		m.at[threadAt(i)+0x18], m.at[threadAt(i)+0x20] = interpAt, uint64(i+1)
		if i > 0 {
			m.at[threadAt(i)+8] = threadAt(i - 1)
		}
		m.at[threadAt(i)+0x10] = frame
		for n, code := range stack {
			m.at[frame] = code
			if n < len(stack)-1 {
				m.at[frame+8] = frame + 0x100
			}
			frame += 0x100
		}
	}
	return &Process{Process: &process.Process{PID: gone, StartTime: 5}, Runtime: &cpython.Runtime{Addr: runtimeAt, Reader: object.Reader{Layout: l}}, Memory: m}, m
}

// walked counts the threads whose stacks were read, those that were read more than once as one.
func (w words) walked() (n int) {
	for addr := range w.reads {
		if addr >= threadsAt && addr < framesAt && (addr-threadsAt)%0x100 == 0x10 {
			n++
		}
	}
	return n
}

// forkedStack is of a child that was forked in a nested loop: the codes from 4 on, outwards, are the parent's.
func forkedStack() Stack {
	const base = "/usr/lib/python3.11/asyncio/base_events.py"
	names := []model.Frame{
		{Function: "sleeps", File: "/srv/app.py"},
		{Function: "child", File: "/srv/app.py"},
		{Function: "forks", File: "/srv/app.py"},
		{Function: "BaseEventLoop._run_once", File: base},
		{Function: "BaseEventLoop.run_forever", File: base},
		{Function: "inner", File: "/srv/app.py"},
		{Function: "BaseEventLoop._run_once", File: base},
		{Function: "BaseEventLoop.run_forever", File: base},
		{Function: "<module>", File: "/srv/app.py"},
	}
	s := Stack{Frames: names, Main: true}
	for _, code := range []uint64{1, 2, 3, 20, 21, 5, 20, 21, 6} {
		s.Raw = append(s.Raw, cpython.RawFrame{Code: code})
	}
	return s
}

func TestInheritedFrames(t *testing.T) {
	other := []uint64{9, 8, 7}
	outer := []uint64{30, 20, 21, 6}            // in the outer loop
	inner := []uint64{30, 20, 21, 5, 20, 21, 6} // in the inner one, too
	many := func(n int, last ...[]uint64) [][]uint64 { return append(slices.Repeat([][]uint64{other}, n), last...) }
	looped := []LoopThread{{Since: 6}} // a thread that ran one before the fork, and cannot be read
	for _, c := range []struct {
		what   string
		stacks [][]uint64
		loops  []LoopThread // known to run one
		own    bool         // it is taken for a loop of the child's own
		frames int          // inherited
		cut    bool
		walked int
	}{
		{what: "the main thread is asked first", stacks: append([][]uint64{inner}, many(99)...), loops: looped, frames: 6, walked: 1},
		{what: "one that shares more is looked for as long as a loop is left", stacks: append([][]uint64{outer, inner}, many(8)...), loops: looped, frames: 6, walked: 2},
		{what: "nothing is shared", stacks: many(10), loops: looped, own: true, walked: 10},
		{what: "too many threads", stacks: many(99, inner), loops: looped, own: true, cut: true, walked: maxAsked - 1},
		{what: "too many threads, but no epoll object is shared", stacks: many(99, inner), own: true, walked: maxAsked},
		{what: "the thread of the loop is asked first", stacks: many(99, inner), loops: []LoopThread{{State: threadAt(99), Since: 6}}, frames: 6, walked: 1},
		{what: "and only once", stacks: many(10, outer), loops: []LoopThread{{State: threadAt(10), Since: 6}}, own: true, frames: 3, walked: 11},
	} {
		parent, memory := parentOf(c.stacks)
		child := &Process{
			Process: &process.Process{PID: gone, PPID: 7, StartTime: 10}, Runtime: parent.Runtime,
			Modules: NewModules(func() ([]process.Mapping, error) { return nil, nil }, parent.Runtime),
		}
		known := Known{Process: parent, Loops: c.loops}
		s := forkedStack()
		v := child.FindLoop(s, func(pid int) Known {
			assert.Equal(t, 7, pid)
			return known
		})
		assert.Equal(t, c.own, v.Running, c.what)
		assert.Equal(t, c.frames > 0, v.Forked, c.what)
		assert.Len(t, child.inherited, c.frames, c.what)
		assert.Equal(t, c.cut, child.ParentCut(), c.what)
		assert.Equal(t, c.walked, memory.walked(), c.what)

		clear(memory.reads)
		assert.Equal(t, v, child.FindLoop(s, func(int) Known { panic("it is asked once") }), c.what)
		assert.Zero(t, memory.walked(), c.what)
	}
}

// Where the parent does not answer, a process that shares no epoll object with it runs a loop of its own, one that has ended
// does not.
func TestParentThatDoesNotAnswer(t *testing.T) {
	self, err := process.Open(os.Getpid())
	require.NoError(t, err)
	self.PPID = gone
	for of, own := range map[*process.Process]bool{self: true, {PID: gone, PPID: gone, StartTime: self.StartTime}: false} {
		parent, _ := parentOf([][]uint64{{30, 20, 21, 5, 20, 21, 6}})
		parent.Memory = silent{}
		child := &Process{
			Process: of, Runtime: parent.Runtime, Modules: NewModules(func() ([]process.Mapping, error) { return nil, nil }, parent.Runtime),
		}
		v := child.FindLoop(forkedStack(), func(int) Known {
			return Known{Process: parent, Loops: []LoopThread{{State: threadAt(0), Since: 1}}}
		})
		assert.Equal(t, own, v.Running)
		assert.Equal(t, !own, v.Forked)
	}
}

// silent is a memory that does not answer.
type silent struct{}

func (silent) Read(uint64, []byte) error { return process.ErrNoAnswer }

// What cannot be the parent is not asked, and of the child only the main thread is a copy.
func TestNoParent(t *testing.T) {
	find := func(change func(parent *Process, child *Process, s *Stack)) (eventloop.Verdict, *Process) {
		parent, _ := parentOf([][]uint64{{30, 20, 21, 5, 20, 21, 6}})
		child := &Process{
			Process: &process.Process{PID: gone, PPID: gone, StartTime: 10}, Runtime: parent.Runtime,
			Modules: NewModules(func() ([]process.Mapping, error) { return nil, nil }, parent.Runtime),
		}
		s := forkedStack()
		loops := []LoopThread{{State: threadAt(0), Since: 6}}
		known := func(int) Known { return Known{Process: parent, Loops: loops} }
		if change != nil {
			change(parent, child, &s)
		}
		return child.FindLoop(s, known), child
	}
	v, _ := find(nil)
	assert.True(t, v.Forked)
	for what, change := range map[string]func(parent, child *Process, s *Stack){
		"a thread begun since":            func(_, _ *Process, s *Stack) { s.Main = false },
		"its process id was used again":   func(parent, _ *Process, _ *Stack) { parent.StartTime = 11 },
		"the child has called exec":       func(_, child *Process, _ *Stack) { child.Runtime = &cpython.Runtime{Addr: 0x9000} },
		"its loop is younger than a fork": func(_, child *Process, _ *Stack) { child.StartTime = 6 }, // and no epoll object is shared
	} {
		v, child := find(change)
		assert.True(t, v.Running, what)
		assert.False(t, v.Forked, what)
		assert.False(t, child.ParentCut(), what)
	}
}

// forkedProgram forks in a callback, with a hundred threads beside its loop.
const forkedProgram = `
import asyncio, json, os, sys, threading, time
first = os.getpid()
for _ in range(100):
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
over = threading.Event()
async def main():
    await asyncio.sleep(0.01)
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(tell, b".")
        while os.getppid() == first:
            time.sleep(0.05)
        os._exit(0)
    os.read(ready, 1)
    print(json.dumps(pid), flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    over.set()
if sys.argv[1] == "main":
    asyncio.run(main())
else:
    threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
    over.wait()
`

// mainStack returns the stack of the main thread of a process.
func mainStack(t *testing.T, p *Process) Stack {
	t.Helper()
	states, err := p.ThreadStates()
	require.NoError(t, err)
	require.NotEmpty(t, states)
	raw, _, err := p.Stack(states[len(states)-1].Addr)
	require.NoError(t, err)
	return Stack{Raw: raw, Frames: p.Names.Frames(raw), Main: true}
}

// loopOf returns the thread of a process that runs a loop.
func loopOf(t *testing.T, p *Process) LoopThread {
	t.Helper()
	var found LoopThread
	require.Eventually(t, func() bool { // it goes on meanwhile
		states, _ := p.ThreadStates()
		for _, s := range states {
			if raw, _, err := p.Stack(s.Addr); err == nil && eventloop.Classify(p.Names.Frames(raw), nil).Running {
				found.State = s.Addr
			}
		}
		return found.State != 0
	}, time.Minute, 10*time.Millisecond)
	return found
}

// TestForkedAmongManyThreads forks in the loop of the main thread, which is found without being told, and in that of the
// youngest of a hundred threads, which is not.
func TestForkedAmongManyThreads(t *testing.T) {
	for _, py := range testpython.All(t) {
		script := py.Script(t, "many.py", forkedProgram)
		for _, where := range []string{"main", "thread"} {
			what := fmt.Sprintf("%s, %s", py, where)
			program := testpython.Start(t, py.Command(script, where))
			var pid int
			require.NoError(t, json.Unmarshal([]byte(program.ReadLine(t)), &pid), what)
			open := func(pid int) *Process {
				p, refusal := NewOpener(nil).Open(pid)
				require.Nil(t, refusal, what)
				return p
			}
			child, parent := open(pid), open(program.PID)
			v := child.FindLoop(mainStack(t, child), nil)
			assert.Equal(t, where == "main", v.Forked, what)
			assert.Equal(t, where == "thread", v.Running, what)
			assert.Equal(t, where == "thread", child.ParentCut(), what)

			child = open(pid)
			known := Known{Process: parent, Loops: []LoopThread{loopOf(t, parent)}}
			v = child.FindLoop(mainStack(t, child), func(int) Known { return known })
			assert.True(t, v.Forked, what)
			assert.False(t, v.Running, what)
			assert.False(t, child.ParentCut(), what)

			require.NoError(t, program.Stdin.Close())
			<-program.Exited()
		}
	}
}
