// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"cmp"
	"errors"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython"
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
	names   *typeNames
	reader  *waitingReader
	entered *cpython.Entered
	groups  map[uint64]bool
	others  map[uint64]bool
}

// sampled is a task that a Sampler knows.
type sampled struct {
	*Pending
	round     int // in which it was there
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
		s.names, s.entered = t.newTypeNames(), t.runtime.NewEntered()
		s.reader = t.newWaitingReader(m, s.names)
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
		if seen, ok := looked[addr]; ok && seen.same {
			s.known[addr].round = s.round
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

// look is what was seen of a task that is known.
type look struct {
	task words.Fields
	same bool // nothing has changed
}

// look looks at the tasks that are known.
func (s *Sampler) look(m process.Memory) map[uint64]look {
	out := make(map[uint64]look, len(s.known))
	all := make([]*sampled, 0, len(s.known))
	for _, task := range s.known {
		all = append(all, task)
	}
	slices.SortFunc(all, byAddr)
	s.lookAtAll(m, all, out)
	return out
}

// lookAtAll looks at tasks, at many of them with one read.
func (s *Sampler) lookAtAll(m process.Memory, all []*sampled, to map[uint64]look) {
	for len(all) > 0 {
		n, places := 0, 0
		for n < len(all) && places < atOnce {
			places += 2 + len(all[n].Awaits)
			n++
		}
		s.lookAt(m, all[:n], places, to)
		all = all[n:]
	}
}

// lookAt looks at some tasks, at no more than so many places, with one read.
func (s *Sampler) lookAt(m process.Memory, some []*sampled, most int, to map[uint64]look) {
	state, known := s.tasks.stateAt()
	size, stand := int(s.to-s.from), s.tasks.runtime.StandSize()
	room := make([]byte, (size+4)*len(some)+stand*most)
	take := func(n int) []byte {
		out := room[:n:n]
		room = room[n:]
		return out
	}
	places := make([]process.Place, 0, most)
	for _, task := range some {
		places = append(places, process.Place{Addr: task.Addr + uint64(s.from), P: take(size)})
		if task.Waits.settles && known {
			places = append(places, process.Place{Addr: task.waiter + uint64(state), P: take(4)})
		}
		for _, frame := range task.Awaits {
			places = append(places, s.tasks.runtime.StandPlace(frame, take(stand)))
		}
	}
	process.ReadEach(m, places)
	for _, task := range some {
		n := 1 + len(task.Awaits)
		if task.Waits.settles && known {
			n++
		}
		if places[0].OK {
			seen := words.Seen(s.from, places[0].P)
			to[task.Addr] = look{seen, s.same(task, seen, places[1:n])}
		}
		places = places[n:]
	}
}

// same reports whether a task is as it was read. rest is what lookAt has read of it besides.
func (s *Sampler) same(task *sampled, seen words.Fields, rest []process.Place) bool {
	t := s.tasks
	if task.Executing || task.Cut || task.dropped || seen.U64(t.Coro) != task.coro || seen.U64(t.Name) != task.named ||
		seen.U64(t.Coro-8) != task.waiter || t.Current != 0 && seen.I32(t.state) != 0 {
		return false
	}
	if len(rest) > len(task.Awaits) {
		if done := !isZero(rest[0].P); !rest[0].OK || done != task.Waits.done {
			return false
		}
		rest = rest[1:]
	}
	for i, frame := range task.Awaits {
		if !t.runtime.Stands(frame, rest[i].Seen()) {
			return false
		}
	}
	return true
}

func isZero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }

// addresses lists the tasks there are. From 3.14 on most of the way along their list is known from what was seen of the tasks.
func (s *Sampler) addresses(m process.Memory, threads []cpython.Thread, looked map[uint64]look) ([]uint64, Listed, error) {
	t := s.tasks
	var listed Listed
	if t.Current != 0 {
		addrs, err := t.addresses(m, threads, func(addr uint64) bool { _, ok := looked[addr]; return ok }, &listed)
		return addrs, listed, err
	}
	seen := make(map[uint64]bool, len(looked))
	var addrs []uint64
	for _, head := range t.heads(threads) {
		node := head
		for len(addrs) < MaxTasks {
			var nodes []uint64
			from := node
			if known, ok := looked[node-uint64(t.debug.TaskNode)]; ok && node != head {
				nodes = []uint64{known.task.U64(t.debug.TaskNode)}
			} else {
				var err error
				if nodes, err = followed(m, node, head, func(node uint64) bool { _, ok := looked[node-uint64(t.debug.TaskNode)]; return ok }); err != nil {
					return nil, listed, errList(err)
				}
			}
			for _, node = range nodes {
				if node == head || node == 0 {
					break
				}
				task := node - uint64(t.debug.TaskNode)
				if seen[task] {
					return nil, listed, errList(errCircle)
				}
				seen[task] = true
				addrs = append(addrs, task)
			}
			if node == head {
				break
			}
			if node == 0 {
				if from != head || len(nodes) > 1 {
					return nil, listed, errList(errCircle) // a task has just ended
				}
				break
			}
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
	if last := s.known[task.Addr]; last != nil {
		s.forget(last)
	}
	out := &sampled{Pending: task, round: s.round}
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

// awaiters finds out who awaits whom. To 3.13 a part of the callbacks is read anew each time, for what they lead to may change.
func (s *Sampler) awaiters(m process.Memory, looked map[uint64]look, changed bool) {
	t := s.tasks
	if t.Current == 0 {
		s.saidAwaiters(m, looked)
		return
	}
	owners := make(map[uint64][]uint64, len(s.known))
	for _, task := range s.known {
		t.owns(m, task.Pending, s.groups, owners)
	}
	var again []*sampled
	for addr, task := range s.known {
		var callbacks [2]uint64
		seen, ok := looked[addr]
		if ok {
			callbacks = [2]uint64{seen.task.U64(offCallback), seen.task.U64(offCallbacks)}
		}
		part := (addr>>4+uint64(s.round))%relinkIn == 0 && callbacks != [2]uint64{}
		if !ok || part || callbacks != task.callbacks {
			again = append(again, task)
		}
		task.callbacks = callbacks
	}
	s.readLeads(m, again, owners)
	if !changed && len(again) == 0 {
		return
	}
	for addr, task := range s.known {
		task.AwaitedBy = task.AwaitedBy[:0]
		task.awaitedBy(owners[addr])
		for _, object := range task.leads {
			task.awaitedBy(owners[object])
		}
	}
}

// readLeads reads what the callbacks of some tasks lead to.
func (s *Sampler) readLeads(m process.Memory, tasks []*sampled, owners map[uint64][]uint64) {
	t := s.tasks
	slices.SortFunc(tasks, byAddr)
	for some := range slices.Chunk(tasks, together) {
		first, err := process.ReadPaged(m, func(m process.Memory) (out [][]callee, _ error) {
			for _, task := range some {
				out = append(out, t.calleesRead(m, s.names, task.Addr, owners, s.others))
			}
			return out, nil
		})
		if err != nil {
			s.reader = nil // the read may go on and use what is remembered
			return
		}
		for i, task := range some {
			leads := t.leads(m, s.names, first[i], task.Addr, owners, s.others)
			task.leads = slices.Clone(leads[:min(len(leads), maxLeads)])
		}
	}
}

// awaitedBy adds tasks to those that await this one.
func (task *sampled) awaitedBy(by []uint64) {
	for _, addr := range by {
		if addr != task.Addr && len(task.AwaitedBy) < maxAwaiters && !slices.Contains(task.AwaitedBy, addr) {
			task.AwaitedBy = append(task.AwaitedBy, addr)
		}
	}
}

// saidAwaiters takes who awaits the tasks from what they say themselves (3.14 on).
func (s *Sampler) saidAwaiters(m process.Memory, looked map[uint64]look) {
	t := s.tasks
	var unseen []*sampled
	for addr, task := range s.known {
		if seen, ok := looked[addr]; ok && seen.task.U8(t.debug.TaskBySet) == 0 {
			s.setAwaiters(task, []uint64{seen.task.U64(t.debug.TaskAwaitedBy)})
		} else {
			unseen = append(unseen, task) // it is new, or several await it
		}
	}
	slices.SortFunc(unseen, byAddr)
	for some := range slices.Chunk(unseen, together) {
		found, err := process.ReadPaged(m, func(m process.Memory) (out [][]uint64, _ error) {
			for _, task := range some {
				by, _ := t.awaiters(m, task.Addr) // none where they cannot be read
				out = append(out, by)
			}
			return out, nil
		})
		if err != nil {
			return
		}
		for i, by := range found {
			s.setAwaiters(some[i], by)
		}
	}
}

// setAwaiters notes who awaits a task, of the tasks that are pending.
func (s *Sampler) setAwaiters(task *sampled, by []uint64) {
	task.AwaitedBy = task.AwaitedBy[:0]
	for _, addr := range by {
		if s.known[addr] != nil {
			task.awaitedBy([]uint64{addr})
		}
	}
}

func byAddr(a, b *sampled) int { return cmp.Compare(a.Addr, b.Addr) }

// holding returns the tasks that hold something and stand where they stood, now that all has been read.
func (s *Sampler) holding(m process.Memory) (out []*Pending) {
	var some []*sampled
	for _, task := range s.known {
		if len(task.Held) > 0 {
			some = append(some, task)
		}
	}
	looked := make(map[uint64]look, len(some))
	slices.SortFunc(some, byAddr)
	s.lookAtAll(m, some, looked)
	for _, task := range some {
		if looked[task.Addr].same {
			out = append(out, task.Pending)
		}
	}
	return out
}
