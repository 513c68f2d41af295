// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"encoding/binary"
	"errors"
	"reflect"
	"slices"

	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/symbolize"
	"github.com/loopwatch/loopwatch/internal/target"
)

// proc is one Python process.
type proc struct {
	process  *process.Process
	runtime  *cpython.Runtime
	memory   process.Memory
	resolver *symbolize.Resolver
	modules  *symbolize.Modules

	threads map[uint64]*thread // by the address of their thread state
	interps map[uint64]*interp
	states  []cpython.Thread
	cut     bool              // the list of threads had no end
	names   map[uint64]string // of threads, by thread pointer, as threading has them
}

// interp is one interpreter of a process.
type interp struct {
	tasks      *asyncio.Tasks // nil where asyncio is not there, or cannot be understood
	looked     bool           // for tasks
	unreadable bool
	listed     asyncio.Listed
	agreed     bool // two lists in a row were equal
	gil        uint64
	holder     uint64 // thread state that holds the GIL, 0 none
	collecting bool
}

// thread is one thread of Python's.
type thread struct {
	state   cpython.Thread
	doing   probes.Doing
	raw     []cpython.RawFrame
	addrs   []uint64 // of the frames
	frames  []model.Frame
	err     error
	agreed  bool   // two stacks in a row were equal
	good    bool   // so it was read as it is
	settled bool   // and need not be read again
	torn    bool   // it never was good
	loop    uint64 // address of the event loop it runs, as asyncio has it
	running *asyncio.Task

	verdict verdict // see judge
	target  probes.Target
	object  target.Object // what its syscall works on
	ip      sampled
}

func newProc(p *process.Process, rt *cpython.Runtime) *proc {
	out := &proc{
		process: p, runtime: rt, memory: p.Memory(), threads: make(map[uint64]*thread), interps: make(map[uint64]*interp),
	}
	out.resolver = symbolize.New(rt, out.memory)
	return out
}

// mappings returns what is mapped, read when first asked for.
func (p *proc) mappings() *symbolize.Modules {
	if p.modules == nil {
		maps, _ := p.process.Maps() // without them nothing is known of modules
		p.modules = symbolize.NewModules(maps, p.runtime)
	}
	return p.modules
}

// Extension makes a proc what eventloop asks for modules.
func (p *proc) Extension(dir string) bool { return p.mappings().Extension(dir) }

// maxWalk bounds the frames of one stack.
const maxWalk = 4096

// read reads all of the process that is not settled yet. doing are its threads by thread pointer.
func (p *proc) read(doing map[uint64]probes.Doing) {
	states, err := p.runtime.Threads(p.memory)
	p.cut = err != nil
	p.states = states
	// The list is newest first, and while a thread starts its state carries the thread pointer of the thread
	// that made it: the last match counts.
	byPointer := make(map[uint64]cpython.Thread, len(states))
	for _, s := range states {
		byPointer[s.ThreadID] = s
	}
	seen := make(map[uint64]bool, len(states))
	busy := false
	for pointer, s := range byPointer {
		d, ok := doing[pointer]
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
		if t.settled && !d.Running && t.doing.Still(d) {
			continue
		}
		last := *t
		*t = thread{state: s, doing: d}
		p.readStack(t)
		// One that waits for the GIL wakes up every few milliseconds, and where it stands stays the same.
		t.agreed = t.agreed || t.err == nil && len(t.raw) > 0 && slices.Equal(t.raw, last.raw) && slices.Equal(t.addrs, last.addrs)
		if p.interps[s.Interp] == nil {
			p.interps[s.Interp] = &interp{}
		}
	}
	for addr := range p.threads {
		if !seen[addr] {
			delete(p.threads, addr)
		}
	}
	for addr, i := range p.interps {
		p.readInterp(addr, i, busy)
	}
	for _, t := range p.threads {
		if i := p.interps[t.state.Interp]; i != nil && i.tasks != nil && !t.settled {
			t.loop = i.tasks.RunningLoop(p.memory, t.state)
			t.running, _ = i.tasks.Running(p.memory, t.state.Addr)
		}
	}
}

// tries is how often the stack of a thread that runs is read to find it twice the same.
const tries = 8

// readStack reads a stack, and names it. Of a thread that sleeps once is enough: whether it slept all the time shows
// afterwards.
func (p *proc) readStack(t *thread) {
	t.raw, t.addrs, t.err = p.runtime.StackAt(p.memory, t.state.Addr, maxWalk)
	if errors.Is(t.err, cpython.ErrCut) {
		t.err = nil
	}
	for i := 0; t.doing.Running && i < tries && !t.agreed; i++ {
		raw, addrs, err := p.runtime.StackAt(p.memory, t.state.Addr, maxWalk)
		if errors.Is(err, cpython.ErrCut) {
			err = nil
		}
		t.agreed = err == nil && t.err == nil && slices.Equal(addrs, t.addrs) && sameCode(raw, t.raw)
		t.raw, t.addrs, t.err = raw, addrs, err
	}
	t.frames = p.resolver.Frames(t.raw)
}

func sameCode(a, b []cpython.RawFrame) bool {
	return slices.EqualFunc(a, b, func(a, b cpython.RawFrame) bool { return a.Code == b.Code })
}

// readInterp reads the tasks of an interpreter and who holds its GIL. Where a thread runs, the tasks are read until
// they are twice the same.
func (p *proc) readInterp(addr uint64, i *interp, busy bool) {
	l := &p.runtime.Layout
	if i.gil == 0 {
		if l.RuntimeGIL != 0 {
			i.gil = p.runtime.Addr + uint64(l.RuntimeGIL)
		} else if l.InterpGIL != 0 {
			i.gil, _ = readU64(p.memory, addr+uint64(l.InterpGIL)) // 0: not known
		}
	}
	i.holder = 0
	if i.gil != 0 {
		var locked [4]byte
		if p.memory.Read(i.gil+uint64(l.GILLocked), locked[:]) == nil && locked != [4]byte{} {
			i.holder, _ = readU64(p.memory, i.gil+uint64(l.GILLastHolder))
		}
	}
	collecting := p.runtime.Addr + uint64(l.RuntimeGCCollecting)
	if l.InterpGCCollecting != 0 {
		collecting = addr + uint64(l.InterpGCCollecting)
	}
	var flag [4]byte
	i.collecting = p.memory.Read(collecting, flag[:]) == nil && flag != [4]byte{}

	if !i.looked {
		tasks, err := asyncio.Find(p.process, p.runtime, addr)
		i.looked = err == nil || errors.Is(err, asyncio.ErrNone)
		i.unreadable = !i.looked
		i.tasks = tasks
		if err != nil {
			i.tasks = nil
		}
	}
	if i.tasks == nil {
		return
	}
	var err error
	i.agreed = false
	i.listed, err = i.tasks.List(p.memory, p.states)
	for n := 0; busy && n < tries/2 && !i.agreed; n++ {
		again, againErr := i.tasks.List(p.memory, p.states)
		i.agreed = err == nil && againErr == nil && reflect.DeepEqual(again, i.listed)
		i.listed, err = again, againErr
	}
	i.unreadable = err != nil
}

// settle marks what was at rest while it was read, and tells whether that is all of the process.
func (p *proc) settle(before, after map[int]probes.Doing) bool {
	all := !p.cut
	for _, t := range p.threads {
		now, ok := after[t.doing.TID]
		then := before[t.doing.TID]
		t.good = ok && t.err == nil && (then.Still(now) || t.agreed && then.Running == now.Running)
		if t.good {
			t.doing = now
		}
		// Who wants the GIL that another holds is just trying, and will be seen asleep at the next look.
		i := p.interps[t.state.Interp]
		trying := now.Running && i != nil && i.holder != 0 && i.holder != t.state.Addr
		t.settled = t.good && !trying
		all = all && t.settled
	}
	for _, i := range p.interps {
		all = all && !i.unreadable
	}
	return all && p.tasksSettled()
}

// tasksSettled tells whether the tasks of every loop were read while its thread was at rest, or twice the same.
func (p *proc) tasksSettled() bool {
	for _, t := range p.threads {
		if t.loop != 0 && !p.tasksTrue(t) {
			return false
		}
	}
	return true
}

// tasksTrue tells whether the tasks of the loop that a thread runs are what they were read as.
func (p *proc) tasksTrue(t *thread) bool {
	i := p.interps[t.state.Interp]
	return i == nil || i.tasks == nil || i.agreed || t.good && !t.doing.Running
}

// settleForGood takes what is not settled as it is.
func (p *proc) settleForGood() {
	for _, t := range p.threads {
		t.torn = !t.good
	}
}

func readU64(m process.Memory, addr uint64) (uint64, error) {
	var b [8]byte
	err := m.Read(addr, b[:])
	return binary.LittleEndian.Uint64(b[:]), err
}
