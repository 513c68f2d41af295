// SPDX-License-Identifier: Apache-2.0

package dump

import (
	"errors"
	"reflect"
	"slices"

	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes/listing"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/syscalls"
	"github.com/loopwatch/loopwatch/internal/target"
)

// proc is one Python process and what was read of it.
type proc struct {
	*python.Process
	threads map[uint64]*thread // by the address of their thread state
	interps map[uint64]*interp // by address
	states  []cpython.Thread
	cut     bool // the list of threads had no end

	budget *asyncio.Budget // of what is read of its tasks
	frames int             // of its threads, kept now
}

func newProc(p *python.Process) *proc {
	return &proc{Process: p, threads: make(map[uint64]*thread), interps: make(map[uint64]*interp), budget: asyncio.NewBudget()}
}

// interp is one interpreter of a process.
type interp struct {
	python.Interpreter
	holder     uint64         // thread state that holds the GIL, 0 none
	collecting bool           // the garbage collector runs
	tasks      *asyncio.Tasks // nil where asyncio is not there, or cannot be understood
	looked     bool           // for tasks
	unreadable bool           // the tasks are
	listed     asyncio.Listed
	agreed     bool // two lists in a row were equal
}

// thread is one thread of Python's.
type thread struct {
	state   cpython.Thread
	kernel  listing.Thread
	raw     []cpython.RawFrame
	addrs   []uint64 // of the frames
	frames  []model.Frame
	err     error
	agreed  bool   // two stacks in a row were equal
	intact  bool   // so it was read as it is
	settled bool   // and need not be read again
	torn    bool   // it never was intact
	over    bool   // it has more frames than its process may have
	loop    uint64 // address of the event loop it runs, as asyncio has it
	running *asyncio.Task
	pool    string         // name of the pool that it belongs to
	queue   *asyncio.Queue // of that loop, nil where it cannot be read
	held    []asyncio.Held // by the task that runs

	status status          // see judge
	object target.Object   // what its syscall works on
	target syscalls.Target // of that what counts
	ticks  ticks
}

// read reads all of the process that is not settled yet. listed are its threads by thread pointer.
func (p *proc) read(listed map[uint64]listing.Thread) {
	states, err := p.ThreadStates()
	p.cut = err != nil
	p.states = states
	seen := make(map[uint64]bool, len(states))
	busy := false
	for pointer, s := range p.ByThreadID(states) {
		d, ok := listed[pointer]
		if !ok {
			continue // it has just ended, or just begun
		}
		seen[s.Addr] = true
		t := p.threads[s.Addr]
		if t == nil {
			t = &thread{}
			p.threads[s.Addr] = t
		}
		busy = busy || d.Running
		if t.settled && !d.Running && t.kernel.Still(d) {
			continue
		}
		last := *t
		p.frames -= len(last.raw)
		*t = thread{state: s, kernel: d}
		p.readStack(t)
		// One that waits for the GIL wakes up every few milliseconds, and where it stands stays the same.
		t.agreed = t.agreed || t.err == nil && len(t.raw) > 0 && slices.Equal(t.raw, last.raw) && slices.Equal(t.addrs, last.addrs)
		if p.interps[s.Interp] == nil {
			p.interps[s.Interp] = &interp{Interpreter: p.Interpreter(s.Interp)}
		}
	}
	for addr := range p.threads {
		if !seen[addr] {
			p.frames -= len(p.threads[addr].raw)
			delete(p.threads, addr)
		}
	}
	for _, i := range p.interps {
		p.readInterp(i, busy)
	}
	for _, t := range p.threads {
		if i := p.interps[t.state.Interp]; i != nil && i.tasks != nil && !t.settled {
			t.loop = i.tasks.RunningLoop(p.Memory, t.state)
			t.running, _ = i.tasks.Running(p.Memory, t.state.Addr)
			p.readQueue(t, i)
		}
	}
}

// tries is how often the stack of a thread that runs is read to find it twice the same.
const tries = 8

// maxStackFrames bounds the frames of all threads of one process.
const maxStackFrames = 1 << 17

// stack reads the frames of a thread, and says whether there are more than its process may have.
func (p *proc) stack(tstate uint64) (raw []cpython.RawFrame, addrs []uint64, over bool, err error) {
	room := maxStackFrames - p.frames
	raw, addrs, err = p.Stack(tstate)
	if len(raw) > room {
		return slices.Clone(raw[:room]), slices.Clone(addrs[:room]), true, err
	}
	return raw, addrs, false, err
}

// readStack reads a stack, and names it. Of a thread that sleeps once is enough: whether it slept all the time shows
// afterwards.
func (p *proc) readStack(t *thread) {
	t.raw, t.addrs, t.over, t.err = p.stack(t.state.Addr)
	if errors.Is(t.err, cpython.ErrCut) {
		t.err = nil
	}
	for i := 0; t.kernel.Running && i < tries && !t.agreed; i++ {
		raw, addrs, over, err := p.stack(t.state.Addr)
		if errors.Is(err, cpython.ErrCut) {
			err = nil
		}
		t.agreed = err == nil && t.err == nil && slices.Equal(addrs, t.addrs) && sameCode(raw, t.raw)
		t.raw, t.addrs, t.over, t.err = raw, addrs, over, err
	}
	p.frames += len(t.raw)
	t.frames = p.Names.Frames(t.raw)
}

func sameCode(a, b []cpython.RawFrame) bool {
	return slices.EqualFunc(a, b, func(a, b cpython.RawFrame) bool { return a.Code == b.Code })
}

// readInterp reads the tasks of an interpreter and who holds its GIL. Where a thread runs, the tasks are read until
// they are twice the same.
func (p *proc) readInterp(i *interp, busy bool) {
	if i.GIL == 0 {
		i.Interpreter = p.Interpreter(i.Addr)
	}
	i.holder, i.collecting = p.GILHolder(i.Interpreter), p.Collects(i.Interpreter)
	if !i.looked {
		tasks, err := p.FindTasks(i.Addr)
		i.looked = err == nil || errors.Is(err, asyncio.ErrNone)
		i.unreadable = !i.looked
		i.tasks = tasks
	}
	if i.tasks == nil {
		return
	}
	var err error
	i.agreed = false
	space := asyncio.MaxKept + i.listed.Size
	for _, other := range p.interps {
		space -= other.listed.Size
	}
	i.listed, err = i.tasks.List(p.Memory, p.states, p.budget, space)
	for n := 0; busy && n < tries/2 && !i.agreed && !p.budget.Spent(); n++ {
		again, againErr := i.tasks.List(p.Memory, p.states, p.budget, space)
		i.agreed = err == nil && againErr == nil && reflect.DeepEqual(again, i.listed)
		i.listed, err = again, againErr
	}
	i.unreadable = err != nil
}

// settle marks what was at rest while it was read, and reports whether that is all of the process.
func (p *proc) settle(before, after map[int]listing.Thread) bool {
	all := !p.cut
	for _, t := range p.threads {
		now, ok := after[t.kernel.TID]
		then := before[t.kernel.TID]
		t.intact = ok && t.err == nil && (then.Still(now) || t.agreed && then.Running == now.Running)
		if t.intact {
			t.kernel = now
		}
		t.settled = t.intact && !(now.Running && p.wantsGIL(t))
		all = all && t.settled
	}
	for _, i := range p.interps {
		all = all && !i.unreadable
	}
	if p.budget.Spent() { // the rest is not going to be read
		p.giveUp()
		return true
	}
	return all && p.tasksSettled()
}

// wantsGIL reports whether another thread holds the GIL of a thread. One that wants it is awake for a moment every few
// milliseconds, and asleep at most of the looks.
func (p *proc) wantsGIL(t *thread) bool {
	i := p.interps[t.state.Interp]
	return i != nil && i.holder != 0 && i.holder != t.state.Addr
}

// sleepsForGIL reports whether a thread that was found awake sleeps now until it gets the GIL, and stands where it stood.
func (p *proc) sleepsForGIL(t *thread, now listing.Thread) bool {
	if now.Running || syscalls.Lookup(now.Syscall).Waits != syscalls.Futex || !p.interps[t.state.Interp].IsGIL(now.Args[0]) {
		return false
	}
	raw, addrs, err := p.Stack(t.state.Addr)
	return (err == nil || errors.Is(err, cpython.ErrCut)) && slices.Equal(addrs, t.addrs) && slices.Equal(raw, t.raw)
}

// tasksSettled reports whether the tasks of every loop were read while its thread was at rest, or twice the same.
func (p *proc) tasksSettled() bool {
	for _, t := range p.threads {
		if t.loop != 0 && !p.tasksTrue(t) {
			return false
		}
	}
	return true
}

// tasksTrue reports whether the tasks of the loop that a thread runs are what they were read as.
func (p *proc) tasksTrue(t *thread) bool {
	i := p.interps[t.state.Interp]
	return i == nil || i.tasks == nil || i.agreed || t.intact && !t.kernel.Running
}

// giveUp takes what is not settled as it was read.
func (p *proc) giveUp() {
	for _, t := range p.threads {
		t.torn = !t.intact
	}
}
