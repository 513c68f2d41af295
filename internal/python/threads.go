// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/process"
)

// maxFrames bounds the frames of one stack.
const maxFrames = 4096

// ThreadStates lists the thread states of all interpreters. With an error come those found so far.
func (p *Process) ThreadStates() ([]cpython.Thread, error) { return p.Runtime.Threads(p.Memory) }

// LearnStart learns from the main thread's stack which package the program was started as. What it learns decides which
// frames of later stacks are the application's.
func (p *Process) LearnStart() {
	states, _ := p.ThreadStates() // those read so far where the list is cut
	if len(states) == 0 {
		return
	}
	raw, _, _ := p.Stack(states[len(states)-1].Addr) // the oldest; with an error, what could be read
	frames := p.Names.Frames(raw)
	if v := p.Classify(Stack{Raw: raw, Frames: frames, Main: true}); v.Running && v.Root >= 0 {
		frames = frames[v.Root:]
	}
	p.app.LearnStart(frames)
}

// TryStack reads and names the main thread's stack, and forgets it: a process whose memory does not answer is known as such afterwards,
// and nobody else waits for it.
func (p *Process) TryStack() {
	if states, _ := p.ThreadStates(); len(states) > 0 {
		raw, _, _ := p.Stack(states[len(states)-1].Addr)
		p.Names.Frames(raw)
	}
}

// FindThread looks for the state of the thread with this thread pointer. The list of states may change while it is read,
// so there is more than one try. shared says that the thread has a state in each of several interpreters, of which this is
// the one it runs in now, as far as that can be told.
func (p *Process) FindThread(pointer uint64) (state cpython.Thread, shared, ok bool) {
	for range 3 {
		states, err := p.ThreadStates()
		if err != nil {
			continue
		}
		own := slices.DeleteFunc(states, func(s cpython.Thread) bool { return !cpython.IsThread(pointer, s.ThreadID) })
		if own = perInterpreter(own); len(own) > 0 {
			return p.running(own), len(own) > 1, true
		}
	}
	return cpython.Thread{}, false, false
}

// ByThreadID sorts thread states by what pthread_self returns in their threads. It chooses among several of one thread as
// FindThread does.
func (p *Process) ByThreadID(states []cpython.Thread) map[uint64]cpython.Thread {
	own := make(map[uint64][]cpython.Thread, len(states))
	for _, s := range states {
		own[s.ThreadID] = append(own[s.ThreadID], s)
	}
	out := make(map[uint64]cpython.Thread, len(own))
	for id, states := range own {
		out[id] = p.running(perInterpreter(states))
	}
	return out
}

// perInterpreter chooses among the states of one thread, newest first, one of each interpreter. While a thread starts its
// state carries the thread pointer of the thread that made it: the last one counts.
func perInterpreter(states []cpython.Thread) (out []cpython.Thread) {
	for _, s := range states {
		if n := len(out); n > 0 && out[n-1].Interp == s.Interp {
			out[n-1] = s
		} else {
			out = append(out, s)
		}
	}
	return out
}

// running chooses the state that a thread runs in among those it has in several interpreters, newest first. An interpreter
// that calls another one keeps its frames meanwhile, and the one called is the newer one, as a rule.
func (p *Process) running(states []cpython.Thread) cpython.Thread {
	if len(states) > 1 {
		for _, s := range states {
			if frames, _, _ := p.Runtime.StackAt(p.Memory, s.Addr, 1); len(frames) > 0 {
				return s
			}
		}
	}
	return states[len(states)-1]
}

// Stack walks the frames of a thread state, innermost first, and returns their addresses with them. It returns
// cpython.ErrCut where there are more than 4,096.
func (p *Process) Stack(tstate uint64) (frames []cpython.RawFrame, addrs []uint64, err error) {
	return p.Runtime.StackAt(p.Memory, tstate, maxFrames)
}

// ThreadNames returns the names that threading has for the threads of some interpreters, by what pthread_self returns in
// them.
func (p *Process) ThreadNames(interps []uint64) map[uint64]string {
	out := make(map[uint64]string)
	for _, addr := range interps {
		maps.Copy(out, p.Runtime.ThreadNames(p.Memory, addr))
	}
	return out
}

// Interpreter is where one interpreter of a process keeps its state: addresses, 0 unknown.
type Interpreter struct {
	Addr       uint64 // of its PyInterpreterState
	GIL        uint64 // the structure of its GIL
	GILSize    uint64 // of that, in bytes
	Collecting uint64 // int32, not 0 while the garbage collector runs
	Threads    uint64 // pointer to the first PyThreadState
}

// Interpreter finds the state of the interpreter at an address. Of address 0, where none is known, it finds what the
// whole process shares.
func (p *Process) Interpreter(addr uint64) Interpreter {
	l := &p.Runtime.Layout
	out := Interpreter{Addr: addr, GILSize: uint64(l.GILSize)}
	if l.RuntimeGIL != 0 {
		out.GIL = p.Runtime.Addr + uint64(l.RuntimeGIL)
	}
	if l.RuntimeGCCollecting != 0 {
		out.Collecting = p.Runtime.Addr + uint64(l.RuntimeGCCollecting)
	}
	if addr == 0 {
		return out
	}
	out.Threads = addr + uint64(l.InterpThreads)
	if l.InterpGCCollecting != 0 {
		out.Collecting = addr + uint64(l.InterpGCCollecting)
	}
	if l.InterpGIL != 0 {
		// 0 where it cannot be read: then no futex is known to be the GIL's.
		out.GIL, _ = readPointer(p.Memory, addr+uint64(l.InterpGIL))
	}
	return out
}

// FirstInterpreter returns the address of the newest interpreter of the process, nearly always the only one, 0 where it
// cannot be read.
func (p *Process) FirstInterpreter() uint64 {
	addr, err := readPointer(p.Memory, p.Runtime.Addr+uint64(p.Runtime.Layout.RuntimeInterpreters))
	if err != nil {
		return 0
	}
	return addr
}

// IsGIL reports whether a futex belongs to the interpreter's GIL.
func (i Interpreter) IsGIL(address uint64) bool { return i.GIL != 0 && address-i.GIL < i.GILSize }

// GILHolder returns the thread state that holds the interpreter's GIL, 0 where none does or that cannot be read.
func (p *Process) GILHolder(i Interpreter) uint64 {
	l := &p.Runtime.Layout
	if i.GIL == 0 || !p.isSet(i.GIL+uint64(l.GILLocked)) {
		return 0
	}
	holder, err := readPointer(p.Memory, i.GIL+uint64(l.GILLastHolder))
	if err != nil {
		return 0
	}
	return holder
}

// Collects reports whether the interpreter's garbage collector runs.
func (p *Process) Collects(i Interpreter) bool { return i.Collecting != 0 && p.isSet(i.Collecting) }

// isSet reports whether the int32 at an address is read and not 0.
func (p *Process) isSet(addr uint64) bool {
	var b [4]byte
	return p.Memory.Read(addr, b[:]) == nil && b != [4]byte{}
}

func readPointer(m process.Memory, addr uint64) (uint64, error) {
	var b [8]byte
	err := m.Read(addr, b[:])
	return binary.NativeEndian.Uint64(b[:]), err
}
