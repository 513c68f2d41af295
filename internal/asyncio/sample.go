// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"errors"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Sampler lists the pending tasks of one interpreter again and again. Of a task that it knows it reads a few words: where its
// coroutines stand, what it waits for, who awaits it. Where these are as they were, so is all else. It is not safe for concurrent use.
type Sampler struct {
	tasks *Tasks
	from  uint32 // of a task, what is looked at each time
	to    uint32
	known map[uint64]*sampled
	round int
	kept  int // about how many bytes the known tasks take

	// What is remembered of types and code for some rounds.
	names   *object.TypeNames
	reader  *waitingReader
	entered *cpython.Entered
	groups  map[uint64]bool
	others  map[uint64]bool
}

// sampled is a task that a Sampler knows.
type sampled struct {
	*Pending
	round     int  // in which it was there
	sure      bool // a bare future was found to be one twice: more may have been known of it a moment later
	heldRead  bool
	callbacks [2]uint64 // as leads was read, to 3.13
	leads     []uint64  // objects that they lead to
}

// Sample is what a Sampler has found.
type Sample struct {
	// Tasks are the same pointers as in the last sample where nothing has changed but AwaitedBy.
	Tasks []*Pending
	// Holding are those that held what Held says before all others were read, and still do.
	Holding []*Pending
	Opaque  int
	More    bool // there are more than MaxTasks
	// Dropped counts the tasks that are missing, or of which something is missing, because the budget was spent.
	Dropped int
}

const (
	maxLooked   = 4096 // bytes of one task that are looked at
	rememberFor = 64   // rounds for which types and code are remembered
	relinkIn    = 32   // rounds in which callbacks are read anew
	maxLeads    = 16   // objects that the callbacks of one task lead to
	maxAwaiters = 16   // of one task
	atOnce      = 4096 // places that are looked at together
)

var errLayout = errors.New("tasks are not laid out as is known")

// NewSampler returns a sampler of these tasks that knows none of them yet.
func (t *Tasks) NewSampler() (*Sampler, error) {
	offsets := []uint32{t.Coro - 8, t.Coro, t.Name}
	if t.Current == 0 {
		offsets = append(offsets, t.debug.TaskAwaitedBy, t.debug.TaskBySet, t.debug.TaskNode)
	} else {
		offsets = append(offsets, offCallback, offCallbacks, t.state)
	}
	s := &Sampler{tasks: t, known: make(map[uint64]*sampled)}
	if s.from, s.to = words.Span(offsets); s.to-s.from > maxLooked {
		return nil, errLayout
	}
	return s, nil
}

// Sample lists the tasks as they are now, within the budget. threads are those of the interpreter. A task changes while it is read: what
// is returned of one was true at some moment of the call.
func (s *Sampler) Sample(m process.Memory, threads []cpython.Thread, budget *Budget) (*Sample, error) {
	t := s.tasks
	m = budget.reads.Of(m)
	s.round++
	if s.reader == nil || s.round%rememberFor == 0 {
		s.names, s.entered = t.runtime.NewTypeNames(), t.runtime.NewEntered()
		s.reader = t.newWaitingReader(s.names)
		s.groups, s.others = make(map[uint64]bool), make(map[uint64]bool)
	}
	looked := s.look(m)
	addrs, listed, err := s.addresses(m, threads, looked)
	if err != nil {
		return nil, err
	}
	out := &Sample{Opaque: listed.Opaque, More: listed.More}
	slices.Sort(addrs) // what was made together lies together
	var changed []uint64
	for _, addr := range addrs {
		task := s.known[addr]
		if looked[addr].same && (task.sure || task.Waits.On != model.WaitFuture) {
			task.round = s.round
		} else {
			changed = append(changed, addr)
		}
	}
	if err := s.read(m, changed, budget); err != nil {
		s.reader = nil // a read that goes on may use it
		return nil, err
	}
	for _, task := range s.known {
		if task.round != s.round {
			s.forget(task)
		}
	}
	for _, addr := range addrs {
		if task := s.known[addr]; task != nil {
			if out.Tasks = append(out.Tasks, task.Pending); task.dropped {
				out.Dropped++
			}
		} else if budget.Spent() {
			out.Dropped++
		}
	}
	if err := s.readHeld(m, budget); err != nil {
		s.reader = nil
		return nil, err
	}
	s.awaiters(m, looked, len(changed) > 0)
	out.Holding = s.holding(m)
	return out, nil
}

// addresses lists the tasks there are. From 3.14 on most of the way along their list is known from what was seen of the tasks.
func (s *Sampler) addresses(m process.Memory, threads []cpython.Thread, looked map[uint64]look) ([]uint64, Listed, error) {
	t := s.tasks
	var listed Listed
	if t.Current != 0 {
		addrs, err := t.addresses(m, threads, func(addr uint64) bool { _, ok := looked[addr]; return ok }, &listed)
		return addrs, listed, err
	}
	near := func(task uint64) (uint64, bool) {
		seen, ok := looked[task]
		if !ok {
			return 0, false
		}
		return seen.task.U64(t.debug.TaskNode), true
	}
	addrs, err := s.walk(m, threads, near)
	if err != nil { // a task has ended meanwhile: all of the way is read anew
		if addrs, err = s.walk(m, threads, func(uint64) (uint64, bool) { return 0, false }); err != nil {
			return nil, listed, err
		}
	}
	listed.More = len(addrs) >= MaxTasks
	if s.round%relinkIn == 1 {
		if opaque, err := t.foreign(m); err == nil {
			listed.Opaque = opaque
		}
	}
	return addrs, listed, nil
}

// walk follows the lists of tasks (3.14 on). next returns where the list goes on after a task, if that is known.
func (s *Sampler) walk(m process.Memory, threads []cpython.Thread, next func(task uint64) (uint64, bool)) (addrs []uint64, err error) {
	at := uint64(s.tasks.debug.TaskNode)
	seen := make(map[uint64]bool, len(s.known))
	known := func(node uint64) bool {
		_, ok := next(node - at)
		return ok
	}
	for _, head := range s.tasks.heads(threads) {
		for node := head; len(addrs) < MaxTasks; {
			from, nodes := node, []uint64(nil)
			if to, ok := next(node - at); ok && node != head {
				nodes = []uint64{to}
			} else if nodes, err = followed(m, node, head, known); err != nil {
				return nil, errList(err)
			}
			for _, node = range nodes {
				if node == head || node == 0 || len(addrs) >= MaxTasks {
					break
				}
				if seen[node-at] {
					return nil, errList(errCircle)
				}
				seen[node-at] = true
				addrs = append(addrs, node-at)
			}
			if node == 0 && (from != head || len(nodes) > 1) {
				return nil, errList(errCircle) // a task has just ended
			}
			if node == head || node == 0 {
				break
			}
		}
	}
	return addrs, nil
}

// read reads tasks in full.
func (s *Sampler) read(m process.Memory, addrs []uint64, budget *Budget) error {
	t, r := s.tasks, s.reader
	for at := 0; at < len(addrs) && !budget.Spent(); at += together {
		some := addrs[at:min(at+together, len(addrs))]
		found, err := process.ReadPaged(m, func(m process.Memory) (out []*Pending, _ error) {
			for _, addr := range some {
				if t.Current != 0 && !t.isTask(m, addr) {
					continue
				}
				task, ok := t.pending(m, addr)
				if !ok {
					continue
				}
				if !task.Executing {
					task.Waits = r.waits(m, &task)
				}
				out = append(out, &task)
			}
			return out, nil
		})
		if err != nil {
			return err
		}
		for _, task := range found {
			s.keep(task)
		}
	}
	return nil
}

// keep remembers a task as it was read, as far as there is room.
func (s *Sampler) keep(task *Pending) {
	out := &sampled{Pending: task, round: s.round}
	if last := s.known[task.Addr]; last != nil {
		out.sure = last.waiter == task.waiter && last.Waits.On == model.WaitFuture
		s.forget(last)
	}
	if s.kept+out.size() > MaxKept {
		task.Awaits, task.Cut, task.dropped, task.Waits = nil, true, true, Waits{}
	}
	s.known[task.Addr] = out
	s.kept += out.size()
}

func (s *Sampler) forget(task *sampled) {
	s.kept -= task.size()
	delete(s.known, task.Addr)
}

// size returns about how many bytes are kept of a task.
func (task *sampled) size() int { return 2*costTask + len(task.Name) + costSuspended*len(task.Awaits) }

// readHeld reads what the tasks hold, where one of them waits for a lock.
func (s *Sampler) readHeld(m process.Memory, budget *Budget) error {
	locks := false
	var unread []*sampled
	for _, task := range s.known {
		locks = locks || task.Waits.On == model.WaitLock
		if !task.heldRead && !task.Executing {
			unread = append(unread, task)
		}
	}
	if !locks {
		return nil
	}
	slices.SortFunc(unread, byAddr)
	r, entered := s.reader, s.entered
	for at := 0; at < len(unread) && !budget.Spent(); at += together {
		some := unread[at:min(at+together, len(unread))]
		found, err := process.ReadPaged(m, func(m process.Memory) (out [][]Held, _ error) {
			for _, task := range some {
				out = append(out, r.held(m, entered, task.Awaits, true))
			}
			return out, nil
		})
		if err != nil {
			return err
		}
		for i, held := range found {
			if some[i].heldRead = true; len(held) > 0 {
				some[i].Held = held
			}
		}
	}
	return nil
}
