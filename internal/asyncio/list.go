// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"errors"
	"fmt"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// MaxTasks bounds the tasks of one interpreter that are listed.
const MaxTasks = 1 << 15

// Pending is a task that has not ended.
type Pending struct {
	Addr uint64
	Loop uint64 // address of its event loop
	Name string // "" where it could not be read
	// Awaits are its coroutine and what that awaits, outermost first; none where it is Executing,
	// for then its frames are those of the thread. Leaf is the type of what is awaited last.
	Awaits    []cpython.Suspended
	Leaf      string
	Executing bool
	// Cut says that Awaits could not be followed to its end.
	Cut bool
	// Waits is what it waits for, and Held what it has entered by "async with"; of a task that is executing neither is known.
	Waits Waits
	Held  []Held
	// AwaitedBy are the addresses of the pending tasks that wait for it to end.
	AwaitedBy []uint64

	waiter  uint64 // the future that it waits for
	dropped bool   // something of it, for want of room
	coro    uint64 // address of its coroutine
	named   uint64 // and of what names it
}

// Listed is what List has found.
type Listed struct {
	Tasks []Pending
	// Opaque counts tasks that are not the C module's, such as those of nest_asyncio.
	Opaque int
	// More says that there are more than MaxTasks.
	More bool
	// Dropped counts the tasks that are missing, or of which something is missing, because the budget was spent.
	Dropped int
	// Size is about how many bytes all of it takes.
	Size int
}

// maxRead bounds the bytes that are read for all tasks of a process.
const maxRead = 512 << 20

// What is charged for a task, a coroutine that it awaits and a task that awaits it: about what each takes here and where it is
// shown.
const (
	costTask      = 192
	costSuspended = 64
	costAwaiting  = 32
	costHeld      = 32
)

// Budget is what may be read of the tasks of one process, in all its interpreters and however often they are listed. It is not
// safe for concurrent use.
type Budget struct{ reads *process.Budget }

// NewBudget returns a whole budget.
func NewBudget() *Budget { return &Budget{process.NewBudget(maxRead)} }

// Spent reports whether there is nothing left: what is listed from then on lacks more and more.
func (b *Budget) Spent() bool { return b.reads.Spent() }

// MaxKept bounds the bytes that are kept of all tasks of one process.
const MaxKept = 32 << 20

// room is what may still be kept, in bytes.
type room int

// take reports whether there is room for so many bytes more, and takes it.
func (r *room) take(n int) bool {
	if room(n) > *r {
		return false
	}
	*r -= room(n)
	return true
}

// List returns the pending tasks of the interpreter that Find looked at; threads are those of
// its threads. A task that cannot be read any more, because it has just ended, is left out. The
// answer is as true as the threads are still meanwhile: a caller lists twice and compares. No more is read than budget allows,
// and no more bytes kept than there is space for.
//
// From 3.14 on each thread has a list of its tasks, and a task says who awaits it. Before, asyncio has
// a set of all of them, and who awaits a task follows from the callbacks that it is going to call:
// those of await, gather, wait, wait_for, shield and TaskGroup are understood.
func (t *Tasks) List(m process.Memory, threads []cpython.Thread, budget *Budget, space int) (Listed, error) {
	var out Listed
	room := room(space)
	m = budget.reads.Of(m)
	addrs, err := t.addresses(m, threads, nil, &out)
	if err != nil {
		return out, err
	}
	slices.Sort(addrs) // what was made together lies together
	for at := 0; at < len(addrs) && !budget.Spent(); at += together {
		found, err := t.severalPending(m, addrs[at:min(at+together, len(addrs))])
		if err != nil {
			return out, err
		}
		for _, task := range found {
			if !room.take(costTask + len(task.Name)) {
				out.Dropped++
				continue
			}
			if !room.take(costSuspended * len(task.Awaits)) {
				task.Awaits, task.Cut, task.dropped = nil, true, true
			}
			out.Tasks = append(out.Tasks, task)
		}
		if budget.Spent() { // some of the last ones may be missing
			out.Dropped += len(addrs) - at - len(found)
		}
	}
	names := t.runtime.NewTypeNames()
	t.readWaits(m, names, out.Tasks, budget, &room)
	known := make(map[uint64]int, len(out.Tasks))
	for i := range out.Tasks {
		known[out.Tasks[i].Addr] = i
	}
	if t.Current == 0 {
		t.readAwaiters(m, out.Tasks, known, budget, &room)
	} else {
		t.connect(m, names, out.Tasks, budget, &room)
	}
	for i := range out.Tasks {
		if out.Tasks[i].dropped {
			out.Dropped++
		}
	}
	out.Size = space - int(room)
	return out, nil
}

// together is how many tasks are read with one call, which costs less than one by one. What takes long counts against the
// process.
const together = 128

// severalPending reads some tasks, those that have ended left out.
func (t *Tasks) severalPending(m process.Memory, addrs []uint64) ([]Pending, error) {
	return process.ReadPaged(m, func(m process.Memory) (out []Pending, _ error) {
		for _, addr := range addrs {
			if task, ok := t.pending(m, addr); ok {
				out = append(out, task)
			}
		}
		return out, nil
	})
}

// addresses lists the tasks there are, some of which may have ended. known, which may be nil, tells which objects are known to
// be tasks.
func (t *Tasks) addresses(m process.Memory, threads []cpython.Thread, known func(uint64) bool, out *Listed) ([]uint64, error) {
	var addrs []uint64
	if t.Current == 0 {
		seen := make(map[uint64]bool)
		for _, head := range t.heads(threads) {
			if err := t.linked(m, head, seen, &addrs); err != nil {
				return nil, err
			}
		}
		out.More = len(addrs) >= MaxTasks
		if opaque, err := t.foreign(m); err == nil { // a module that was not imported has none
			out.Opaque = opaque
		}
		return addrs, nil
	}
	sets := []string{"_all_tasks"}
	if t.runtime.Version.Minor() >= 12 {
		sets = []string{"_scheduled_tasks", "_eager_tasks"}
	}
	for _, name := range sets {
		set, err := t.runtime.Item(m, t.module, name)
		if err != nil {
			return nil, fmt.Errorf("look for the tasks: %w", err)
		}
		members := t.runtime.WeakSet
		if name == "_eager_tasks" {
			members = t.runtime.Set
		}
		found, err := members(m, set)
		if err != nil {
			return nil, fmt.Errorf("read the tasks: %w", err)
		}
		for at := 0; at < len(found); at += together {
			some := found[at:min(at+together, len(found))]
			ours, err := process.ReadPaged(m, func(m process.Memory) ([]bool, error) { return t.areTasks(m, some, known), nil })
			if err != nil {
				return nil, fmt.Errorf("read the tasks: %w", err)
			}
			for i, addr := range some {
				switch {
				case len(addrs) >= MaxTasks:
					out.More = true
				case ours[i]:
					addrs = append(addrs, addr)
				default:
					out.Opaque++
				}
			}
		}
	}
	return addrs, nil
}

// heads returns the addresses of the lists of tasks (3.14 on): that of the interpreter, and those of its threads.
func (t *Tasks) heads(threads []cpython.Thread) []uint64 {
	heads := []uint64{t.interp + uint64(t.debug.InterpTasks)}
	for _, thread := range threads {
		if thread.Interp == t.interp {
			heads = append(heads, thread.Addr+uint64(t.debug.ThreadTasks))
		}
	}
	return heads
}

// foreign counts the tasks that asyncio keeps in sets because they are not the C module's (3.14 on).
func (t *Tasks) foreign(m process.Memory) (n int, err error) {
	module, err := t.runtime.Module(m, t.interp, "asyncio.tasks")
	if err != nil {
		return 0, err
	}
	set, err := t.runtime.Item(m, module, "_scheduled_tasks")
	if err != nil {
		return 0, err
	}
	members, err := t.runtime.WeakSet(m, set)
	return len(members), err
}

// linked follows one list of tasks, which begins and ends at its head.
func (t *Tasks) linked(m process.Memory, head uint64, seen map[uint64]bool, to *[]uint64) error {
	for node := head; len(*to) < MaxTasks; {
		nodes, err := followed(m, node, head, nil)
		if err != nil {
			return errList(err)
		}
		for _, node = range nodes {
			if node == head || node == 0 || len(*to) >= MaxTasks {
				return nil
			}
			task := node - uint64(t.debug.TaskNode)
			if seen[task] {
				return errList(errCircle)
			}
			seen[task] = true
			*to = append(*to, task)
		}
	}
	return nil
}

var errCircle = errors.New("it runs in a circle, or changes")

func errList(err error) error { return fmt.Errorf("read the list of tasks: %w", err) }

// followed reads the next nodes of a list, up to its head, where it ends, or to one that is known; known may be nil.
func followed(m process.Memory, node, head uint64, known func(uint64) bool) ([]uint64, error) {
	const most = 256
	return process.ReadTogether(m, func(m process.Memory) (out []uint64, err error) {
		for range most {
			if node, err = words.At(m, node); err != nil {
				return nil, err
			}
			if out = append(out, node); node == head || node == 0 || known != nil && known(node) {
				break
			}
		}
		return out, nil
	})
}

// areTasks asks isTask of several that are not known.
func (t *Tasks) areTasks(m process.Memory, addrs []uint64, known func(uint64) bool) []bool {
	out := make([]bool, len(addrs))
	for i, addr := range addrs {
		out[i] = known != nil && known(addr) || t.isTask(m, addr)
	}
	return out
}

// isTask reports whether an object is an instance of the C module's type of tasks.
func (t *Tasks) isTask(m process.Memory, addr uint64) bool {
	return t.runtime.IsA(m, addr, t.class)
}

const (
	offLoop      = 16 // FutureObj.fut_loop, in all releases
	offCallback  = 24 // FutureObj.fut_callback0
	offCallbacks = 40 // FutureObj.fut_callbacks
)

// pending reads a task; ok is false where it has ended.
func (t *Tasks) pending(m process.Memory, addr uint64) (task Pending, ok bool) {
	task.Addr = addr
	if t.Current != 0 {
		var b [4]byte
		if m.Read(addr+uint64(t.state), b[:]) != nil || b != [4]byte{} {
			return task, false
		}
	}
	var err error
	if task.Loop, err = words.At(m, addr+offLoop); err != nil {
		return task, false
	}
	coro, err := words.At(m, addr+uint64(t.Coro))
	if err != nil || coro == 0 {
		return task, false
	}
	task.coro, task.waiter = coro, t.waiter(m, addr)
	if named, err := t.read(m, addr); err == nil {
		task.named = named.Name.Addr
		task.Name, _ = t.NameOf(m, named.Name)
	}
	task.Awaits, task.Leaf, err = t.runtime.Awaits(m, coro)
	switch {
	case errors.Is(err, cpython.ErrExecuting):
		task.Executing, task.Awaits = true, nil
	case err != nil:
		task.Cut = true
	}
	return task, true
}
