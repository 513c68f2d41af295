// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"strings"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Waits is what a pending task waits for.
type Waits struct {
	On     model.WaitKind // "" where it waits for nothing: it is about to run
	Object uint64         // the lock, queue or the like, 0 where that is not known
	Call   string         // such as "Queue.put", "" where that is not known
	// Library says how many of the task's innermost frames are asyncio's own, or anyio's: those of the call.
	Library int
	// Task is the task whose end it awaits itself, 0 where it awaits none, or several.
	Task uint64
	// Consumer says that the task's own outermost coroutine made the call.
	Consumer bool

	settles bool // its future is the C module's, so that it says whether it has a result
	done    bool // it has
}

// waitingReader finds out what tasks wait for. It is for one moment only.
type waitingReader struct {
	*primitives
	*functions
	names   *object.TypeNames
	futures map[uint64]futureKind // by type
	chained map[uint64]bool       // futures, see ofThreads
}

// futureKind says what an object that a task awaits is.
type futureKind int

const (
	otherAwaitable futureKind = iota // not the C module's
	plainFuture
	gatheringFuture
	taskFuture
)

func (t *Tasks) newWaitingReader(names *object.TypeNames) *waitingReader {
	return &waitingReader{
		&primitives{tasks: t, types: make(map[uint64]model.WaitKind)}, &functions{t, make(map[uint64]place)},
		names, make(map[uint64]futureKind), make(map[uint64]bool),
	}
}

// futureKind returns what kind of future an object is.
func (r *waitingReader) futureKind(m process.Memory, object uint64) (kind futureKind) {
	t := r.primitives.tasks
	own := uint64(0) // its own type
	for typ := range t.runtime.Lineage(m, object) {
		if own == 0 {
			if known, ok := r.futures[typ]; ok {
				return known
			}
			own = typ
		}
		name, _, err := t.runtime.TypeName(m, typ)
		if kind = futureKinds[name]; kind != otherAwaitable || err != nil {
			break
		}
	}
	if own != 0 && len(r.futures) < maxTypes {
		r.futures[own] = kind
	}
	return kind
}

// futureKinds are the kinds of futures by the names of their types.
var futureKinds = map[string]futureKind{"_GatheringFuture": gatheringFuture, "_asyncio.Task": taskFuture, "_asyncio.Future": plainFuture}

// done reports whether a future of the C module has a result already, so that who awaits it is about to run.
func (t *Tasks) done(m process.Memory, future uint64) bool {
	at, ok := t.stateAt()
	var b [4]byte
	return ok && m.Read(future+uint64(at), b[:]) == nil && b != [4]byte{}
}

// stateAt returns where a future of the C module has its state: 4 bytes, 0 while it has no result.
func (t *Tasks) stateAt() (at uint32, ok bool) {
	if t.Current != 0 {
		return t.state, true
	}
	// fut_state follows fut_awaited_by, and two bytes follow it.
	at = t.debug.TaskAwaitedBy + 8
	return at, t.debug.TaskBySet == at+5
}

// readWaits finds out what the tasks wait for, and, where one of them waits for a lock, what they hold.
func (t *Tasks) readWaits(m process.Memory, names *object.TypeNames, tasks []Pending, budget *Budget, room *room) {
	r := t.newWaitingReader(names)
	locks := false
	read := func(some []Pending) error {
		found, err := process.ReadPaged(m, func(m process.Memory) (out []Waits, _ error) {
			for i := range some {
				if some[i].Executing {
					out = append(out, Waits{})
				} else {
					out = append(out, r.waits(m, &some[i]))
				}
			}
			return out, nil
		})
		for i, waits := range found {
			some[i].Waits = waits
			locks = locks || waits.On == model.WaitLock
		}
		return err
	}
	if !eachSome(tasks, budget, read) || !locks {
		return
	}
	entered := t.runtime.NewEntered()
	eachSome(tasks, budget, func(some []Pending) error {
		found, err := process.ReadPaged(m, func(m process.Memory) (out [][]Held, _ error) {
			for i := range some {
				out = append(out, r.held(m, entered, some[i].Awaits, true))
			}
			return out, nil
		})
		for i, held := range found {
			if len(held) > 0 && room.take(costHeld*len(held)) {
				some[i].Held = held
			}
		}
		return err
	})
}

// eachSome calls read with some tasks after the other. Where the process does not answer, or the budget is spent, the rest is
// marked: what read uses may not be used again then, for the call may go on.
func eachSome(tasks []Pending, budget *Budget, read func([]Pending) error) bool {
	for at := 0; at < len(tasks); at += together {
		if err := read(tasks[at:min(at+together, len(tasks))]); err != nil || budget.Spent() {
			for i := range tasks[at:] {
				tasks[at+i].dropped = true
			}
			return false
		}
	}
	return true
}

// HeldBy returns what the task holds that a thread runs. frames are those of the task on the thread's stack, outermost first.
func (t *Tasks) HeldBy(m process.Memory, frames []cpython.Suspended) ([]Held, error) {
	return process.ReadTogether(m, func(m process.Memory) ([]Held, error) {
		return t.newWaitingReader(t.runtime.NewTypeNames()).held(m, t.runtime.NewEntered(), frames, false), nil
	})
}

// waits returns what a task waits for that does not run.
func (r *waitingReader) waits(m process.Memory, task *Pending) (out Waits) {
	future := task.waiter
	if future == 0 {
		return out
	}
	awaited := r.futureKind(m, future)
	out.settles = awaited != otherAwaitable
	if out.settles && r.primitives.tasks.done(m, future) {
		out.done = true
		return out
	}
	out.On = model.WaitFuture
	inner := ""
	for at := len(task.Awaits) - 1; at >= 0; at-- {
		frame := task.Awaits[at]
		where := r.functions.of(m, frame.Frame.Code)
		if where.file == "" {
			break
		}
		out.Library++
		kind, object, call := r.recognize(m, where, frame.Self)
		if kind == "" {
			continue
		}
		if inner == "Lock.acquire" && kind == model.WaitCondition {
			continue // it was notified, and wants its lock back
		}
		// The outermost call decides: a queue waits by an event when it is joined.
		if kind == model.WaitExecutor {
			object = out.Object // the limiter, where it waits for that
		}
		out.On, out.Object, out.Call, inner = kind, object, call, call
	}
	out.Consumer = out.Library == len(task.Awaits)-1
	if out.On != model.WaitFuture {
		return out
	}
	switch awaited {
	case taskFuture:
		out.On, out.Task = model.WaitTask, future
	case gatheringFuture:
		out.On, out.Call = model.WaitTask, "gather"
	case plainFuture:
		if r.ofThreads(m, future) {
			out.On, out.Call = model.WaitExecutor, "run_in_executor"
		}
	}
	return out
}

// recognize says what is waited for where one of asyncio's or anyio's functions is called. self is its first argument.
func (r *waitingReader) recognize(m process.Memory, where place, self uint64) (kind model.WaitKind, object uint64, call string) {
	switch where.file {
	case "/asyncio/locks.py", "/asyncio/queues.py", "/anyio/_core/_synchronization.py":
		if kind = r.kindOf(m, self); kind == "" || strings.HasPrefix(where.name, "_") { // __aenter__ calls acquire
			return "", 0, ""
		}
		return kind, self, classNames[kind] + "." + where.name
	case "/asyncio/streams.py":
		return model.WaitStream, 0, where.name
	case "/asyncio/threads.py", "/anyio/to_thread.py":
		return model.WaitExecutor, 0, where.name
	case "/asyncio/taskgroups.py":
		return model.WaitTask, 0, "TaskGroup"
	case "/asyncio/tasks.py":
		switch where.name {
		case "sleep":
			return model.WaitSleep, 0, where.name
		case "wait", "_wait", "_wait_for_one":
			return model.WaitTask, 0, "wait"
		}
	case "/asyncio/selector_events.py", "/asyncio/base_events.py":
		switch {
		case strings.HasPrefix(where.name, "sock_"), where.name == "create_connection", where.name == "serve_forever":
			return model.WaitStream, 0, where.name
		case where.name == "getaddrinfo", where.name == "getnameinfo", where.name == "shutdown_default_executor":
			return model.WaitExecutor, 0, where.name
		}
	case "/anyio/_backends/_asyncio.py":
		switch where.name {
		case "run_sync_in_worker_thread":
			return model.WaitExecutor, 0, where.name
		case "acquire_on_behalf_of":
			if r.kindOf(m, self) == model.WaitSemaphore {
				return model.WaitSemaphore, self, "CapacityLimiter.acquire"
			}
		case "sleep":
			return model.WaitSleep, 0, where.name
		case "receive", "send", "accept", "send_eof":
			return model.WaitStream, 0, where.name
		}
	}
	return "", 0, ""
}

// classNames are the names that calls are shown under.
var classNames = map[model.WaitKind]string{
	model.WaitLock: "Lock", model.WaitSemaphore: "Semaphore", model.WaitCondition: "Condition", model.WaitEvent: "Event",
	model.WaitQueue: "Queue", model.WaitBarrier: "Barrier",
}

// chainedFirst is how many callbacks of a future are looked at: wrap_future has chained it before anybody awaited it.
const chainedFirst = 2

// ofThreads reports whether a future ends with one of concurrent.futures, with which wrap_future has chained it. Many tasks may
// await the same.
func (r *waitingReader) ofThreads(m process.Memory, future uint64) (is bool) {
	if is, ok := r.chained[future]; ok {
		return is
	}
	for _, object := range r.primitives.tasks.calledBack(m, r.names, future, chainedFirst) {
		if is = r.isFutureOfThreads(m, r.names, object); is {
			break
		}
	}
	if len(r.chained) < maxTypes {
		r.chained[future] = is
	}
	return is
}
