// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Inherited tells how many of the outermost frames of a stack a process has from its parent: those
// that it has in common with a stack of the parent. A process forked in a callback has the frames of
// the parent's loop, which it does not run.
func Inherited(raw []cpython.RawFrame, parent [][]cpython.RawFrame) int {
	most := 0
	for _, other := range parent {
		n := 0
		for n < len(raw) && n < len(other) && raw[len(raw)-1-n].Code == other[len(other)-1-n].Code {
			n++
		}
		most = max(most, n)
	}
	return most
}

// Stacks walks all threads of a process, as far as they can be read.
func Stacks(rt *cpython.Runtime, memory process.Memory) (stacks [][]cpython.RawFrame) {
	threads, _ := rt.Threads(memory) // those read so far where the list is cut
	for _, t := range threads {
		if raw, err := rt.Stack(memory, t.Addr, maxWalk); err == nil && len(raw) > 0 {
			stacks = append(stacks, raw)
		}
	}
	return stacks
}

// classifyOwn tells which loop of the process's own a stack belongs to.
func (p *proc) classifyOwn(raw []cpython.RawFrame, frames []model.Frame) eventloop.Verdict {
	n := len(p.inherited)
	if n == 0 || n > len(frames) || Inherited(raw, [][]cpython.RawFrame{p.inherited}) < n {
		return p.classify(frames)
	}
	return eventloop.ClassifyForked(frames, n, p)
}

// classify is classifyOwn for a thread that is judged. Where a loop is seen outside its wait for the first
// time, it finds out whether that is the parent's, copied by fork.
func (c *Correlator) classify(t *thread, raw []cpython.RawFrame, frames []model.Frame) eventloop.Verdict {
	p := t.proc
	v := p.classifyOwn(raw, frames)
	if p.lookedAbove || !v.Running || v.AtRest {
		return v
	}
	p.lookedAbove = true
	parent := c.procs[p.process.PPID]
	if parent == nil {
		parent = look(p.process.PPID).proc
	}
	if parent == nil {
		return v
	}
	p.inherited = FromParent(p.process, p.runtime, raw, frames, p, &Parent{parent.process, parent.runtime, c.forkedInLoop(p)})
	return p.classifyOwn(raw, frames)
}

// Parent is the process that another was forked from.
type Parent struct {
	Process *process.Process
	Runtime *cpython.Runtime
	// Looped says that it is known to have run its loop before the fork.
	Looped bool
}

// FromParent returns the outermost frames of a stack of p that are its parent's, if those reach to the
// frame of the loop that the stack shows; else nil. Both may also have come to the same line after the
// fork, each with a loop of its own: then p has epoll objects of its own alone, and no other loop further in.
func FromParent(p *process.Process, rt *cpython.Runtime, raw []cpython.RawFrame, frames []model.Frame, mods eventloop.Modules, parent *Parent) []cpython.RawFrame {
	v := eventloop.Classify(frames, mods)
	if !v.Running || v.AtRest || v.Root < 0 || parent.Runtime.Addr != rt.Addr { // another address: started by exec
		return nil
	}
	n := Inherited(raw, Stacks(parent.Runtime, parent.Process.Memory()))
	if n < len(raw)-v.Root || n > len(frames) {
		return nil
	}
	rest := eventloop.Classify(frames[:len(frames)-n], mods)
	another := rest.Running && rest.Root < len(frames)-n-1
	if !parent.Looped && !another && p.OwnEpolls(parent.Process.PID) {
		return nil
	}
	return raw[len(raw)-n:]
}

// forkedInLoop tells whether a process began after a loop was known in its parent.
func (c *Correlator) forkedInLoop(p *proc) bool {
	for _, t := range c.threads {
		if t.proc.process.PID == p.process.PPID && t.isLoop() && t.loopSince != 0 && p.process.StartTime > t.loopSince {
			return true
		}
	}
	return false
}

// ticksNow is the present in the unit of process.Process.StartTime.
func ticksNow() uint64 {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	const perSecond = 100 // USER_HZ, the same on all that Linux shows to user space
	return uint64(now.Nano()) / (1e9 / perSecond)
}
