// SPDX-License-Identifier: Apache-2.0

package waits

import (
	"errors"
	"slices"

	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/clock"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/python"
)

// proc is one Python process.
type proc struct {
	*python.Process
	wanted  bool // its threads are listed
	states  []cpython.Thread
	samples map[uint64]*asyncio.Sampler // by interpreter
	failed  map[uint64]bool             // interpreters whose tasks are not understood
	loops   map[uint64]*loop            // that threads run now, by address
	past    map[model.LoopID]*loop      // all that were seen
	copies  map[uint64]bool             // loops of the parent's, copied by fork
	at      int64                       // CLOCK_MONOTONIC of the last sample, 0 none
	named   map[*asyncio.Pending]*named
	unread  int // samples in a row that found no thread
	stray   int // tasks of loops that no thread runs, at most at once
	foreign int // tasks of another make, at most at once
}

// loop is one event loop.
type loop struct {
	model.WaitLoop
	addr    uint64
	state   uint64 // address of the state of its thread
	pointer uint64 // what pthread_self returns there
	tasks   int    // pending now
}

func newProc(p *python.Process) *proc {
	return &proc{
		Process: p, samples: make(map[uint64]*asyncio.Sampler), failed: make(map[uint64]bool), loops: make(map[uint64]*loop), past: make(map[model.LoopID]*loop),
		copies: make(map[uint64]bool), named: make(map[*asyncio.Pending]*named),
	}
}

// maxLoops bounds the loops of one process.
const maxLoops = 256

// lookForLoops finds out which threads run loops, and returns those that are new.
func (p *proc) lookForLoops(lost losses) (fresh []*loop) {
	states, err := p.ThreadStates()
	if err != nil && len(states) == 0 {
		return nil
	}
	p.states = states
	running := make(map[uint64]bool)
	for pointer, s := range p.ByThreadID(states) {
		tasks := p.tasksOf(s.Interp, lost)
		if tasks == nil {
			continue
		}
		addr := tasks.RunningLoop(p.Memory, s)
		if addr == 0 || running[addr] || len(running) >= maxLoops {
			continue
		}
		running[addr] = true
		if l := p.loops[addr]; l != nil && l.state == s.Addr || p.copies[addr] {
			continue
		}
		kind := "asyncio"
		if tasks.IsUVLoop(p.Memory, addr) {
			kind = "uvloop"
		}
		fresh = append(fresh, &loop{addr: addr, state: s.Addr, pointer: pointer, WaitLoop: model.WaitLoop{
			PID: p.PID, Command: p.Command, Python: p.Runtime.Version.String(), Loop: kind, Container: p.Container, Unit: p.Unit,
		}})
	}
	for addr := range p.loops {
		if !running[addr] {
			delete(p.loops, addr)
		}
	}
	return fresh
}

// tasksOf returns the tasks of an interpreter, nil where asyncio is not imported there or cannot be understood.
func (p *proc) tasksOf(interp uint64, lost losses) *asyncio.Tasks {
	tasks, err := p.FindTasks(interp)
	if err == nil && p.samples[interp] == nil {
		p.samples[interp], err = tasks.NewSampler()
	}
	if err == nil {
		return tasks
	}
	if !errors.Is(err, asyncio.ErrNone) && !p.failed[interp] && len(p.failed) < maxLoops {
		p.failed[interp] = true
		lost.add(reasonTasks, 1)
	}
	return nil
}

// enter begins with a loop, which a thread runs.
func (p *proc) enter(l *loop, tid int, known func(int) python.Known, lost losses) {
	if l.TID = tid; tid == 0 {
		l.TID = p.PID
		lost.add(reasonThreads, 1)
	}
	raw, _, _ := p.Stack(l.state) // with an error, what could be read
	stack := python.Stack{Raw: raw, Frames: p.Names.Frames(raw), Main: l.TID == p.PID}
	if p.FindLoop(stack, known).Forked {
		p.copies[l.addr] = true
		return
	}
	if past := p.past[model.LoopID{PID: l.PID, TID: l.TID}]; past != nil {
		l.TasksMax = past.TasksMax
	}
	p.loops[l.addr] = l
	p.past[model.LoopID{PID: l.PID, TID: l.TID}] = l
}

// endLoops returns all loops that were seen.
func (p *proc) endLoops() (out []model.WaitLoop) {
	for _, l := range p.past {
		out = append(out, l.WaitLoop)
	}
	return out
}

// named is what is remembered of a task while nothing of it changes.
type named struct {
	own   int // its frames, in rows
	at    int64
	chain int // the last that it was in
	flags flags
	row   *row
}

// sample takes a sample, and adds it up. It reports false where the process cannot be read now: the next sample counts for that time, too.
func (p *proc) sample(rows *rows, lost losses) bool {
	at := clock.Monotonic()
	var all []*asyncio.Sample
	for _, s := range p.samples {
		if s == nil {
			continue
		}
		sample, err := s.Sample(p.Memory, p.states, asyncio.NewBudget())
		if err != nil {
			p.states, _ = p.ThreadStates()
			if sample, err = s.Sample(p.Memory, p.states, asyncio.NewBudget()); err != nil {
				return false
			}
		}
		all = append(all, sample)
	}
	weight := int64(0)
	rows.span(at)
	if p.at != 0 {
		weight = at - p.at
		rows.longest = max(rows.longest, weight)
	}
	p.at = at
	for _, l := range p.loops {
		l.tasks = 0
	}
	stray, foreign := 0, 0
	for _, s := range all {
		lost.add(reasonBudget, int64(s.Dropped))
		if s.More {
			lost.add(reasonMoreTasks, 1)
		}
		foreign += s.Opaque
		stray += p.add(rows, s, weight)
	}
	lost.add(reasonStray, int64(stray-p.stray))
	lost.add(reasonPython, int64(foreign-p.foreign))
	p.stray, p.foreign = max(p.stray, stray), max(p.foreign, foreign)
	for _, l := range p.loops {
		l.TasksMax = max(l.TasksMax, l.tasks)
	}
	for task, n := range p.named {
		if n.at != at {
			delete(p.named, task)
		}
	}
	return true
}

// unread is how many samples in a row may find no thread in a process.
const unread = 3

// hasEnded reports whether a process that cannot be read has ended, or is about to: a zombie has no memory.
func (p *proc) hasEnded() bool {
	if !p.Same() {
		return true
	}
	if states, _ := p.ThreadStates(); len(states) > 0 || p.Silent() {
		p.unread = 0
		return false
	}
	p.unread++
	return p.unread >= unread
}

// nameOf returns what is remembered of a task.
func (p *proc) nameOf(rows *rows, task *asyncio.Pending) *named {
	n := p.named[task]
	if n == nil {
		n = &named{own: rows.list(p.frames(task)), chain: -1}
		p.named[task] = n
	}
	n.at = p.at
	return n
}

// frames names the coroutines of a task, innermost first.
func (p *proc) frames(task *asyncio.Pending) []model.Frame {
	raw := make([]cpython.RawFrame, 0, len(task.Awaits))
	for _, s := range slices.Backward(task.Awaits) {
		raw = append(raw, s.Frame)
	}
	return p.Names.Frames(raw)
}
