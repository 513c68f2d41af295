// SPDX-License-Identifier: Apache-2.0

// Package executor finds the pools of threads and processes of a Python process: those of concurrent.futures, and anyio's
// worker threads. In go the stacks of its threads, as they were read, and its memory; out come the pools with what their
// threads are busy with and how many calls are queued. All that is read may be garbage, or change meanwhile.
package executor

import (
	"cmp"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Thread is a thread with its stack, innermost frame first. Raw, Addrs and Frames have the same length.
type Thread struct {
	Interp uint64 // address of its interpreter
	Name   string
	Raw    []cpython.RawFrame
	Addrs  []uint64 // of the frames
	Frames []model.Frame
}

// Pool is one pool.
type Pool struct {
	model.Executor
	Addr uint64 // of the executor, 0 where it is gone or not known
	// Loop is the address of the event loop whose calls anyio's threads make, else 0.
	Loop uint64
	// Members says which of the threads belong to it, by index.
	Members []int
	// Anyio says that it is anyio's, whose limiter is elsewhere: Max and Queued are not known here.
	Anyio bool
}

// maxPools bounds the pools of one process.
const maxPools = 256

// Find finds the pools that threads belong to, largest first. more counts the threads of those beyond 256.
func Find(m process.Memory, rt *cpython.Runtime, threads []Thread) (pools []Pool, more int) {
	r := &reader{Runtime: rt, memory: m, pools: make(map[uint64]*found)}
	for i := range threads {
		pool, ok := r.add(&threads[i])
		switch {
		case !ok:
			more++
		case pool != nil:
			pool.Members = append(pool.Members, i)
		}
	}
	for _, key := range r.order {
		pools = append(pools, r.pools[key].pool())
	}
	slices.SortStableFunc(pools, func(a, b Pool) int {
		return cmp.Or(cmp.Compare(b.Threads, a.Threads), cmp.Compare(a.Name, b.Name))
	})
	return pools, more
}

// reader gathers pools by the object that their threads share.
type reader struct {
	*cpython.Runtime
	memory process.Memory
	pools  map[uint64]*found
	order  []uint64
}

// found is a pool that is being put together.
type found struct {
	Pool
	work map[model.Frame]int
}

func (f *found) pool() Pool {
	for frame, count := range f.work {
		work := model.ExecutorWork{Count: count}
		if frame != (model.Frame{}) {
			work.Frame = &frame
		}
		f.Work = append(f.Work, work)
	}
	slices.SortFunc(f.Work, func(a, b model.ExecutorWork) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(nameOf(a.Frame), nameOf(b.Frame)))
	})
	return f.Pool
}

func nameOf(f *model.Frame) string {
	if f == nil {
		return ""
	}
	return f.Function + "\x00" + f.File
}

// add counts a thread as one of its pool and returns that, nil where it belongs to none. It reports false where there are too
// many pools.
func (r *reader) add(t *Thread) (*found, bool) {
	for at := len(t.Frames) - 1; at >= 0; at-- {
		switch f := &t.Frames[at]; {
		case f.App:
		case named(f, "_worker", "/concurrent/futures/thread.py"):
			return r.worker(t, at)
		case named(f, "run", "/concurrent/futures/process.py"), named(f, "_queue_management_worker", "/concurrent/futures/process.py"):
			return r.manager(t, at)
		case named(f, "run", "/anyio/_backends/_asyncio.py"):
			return r.anyioWorker(t, at)
		}
	}
	return nil, true
}

// named reports whether a frame is of a function of this name, in a class or not, in a file that ends so.
func named(f *model.Frame, name, file string) bool {
	return strings.HasSuffix(f.File, file) && (f.Function == name || strings.HasSuffix(f.Function, "."+name))
}

// of returns the pool that an object stands for, nil where there are too many.
func (r *reader) of(key uint64, first func() Pool) *found {
	if f := r.pools[key]; f != nil {
		return f
	}
	if len(r.pools) >= maxPools {
		return nil
	}
	f := &found{Pool: first(), work: make(map[model.Frame]int)}
	r.pools[key] = f
	r.order = append(r.order, key)
	return f
}

// worker counts a thread of a ThreadPoolExecutor, whose frame at is _worker.
func (r *reader) worker(t *Thread, at int) (*found, bool) {
	queue, err := r.Local(r.memory, t.Addrs[at], t.Raw[at].Code, "work_queue")
	if err != nil || queue == 0 {
		return nil, true // it is just beginning
	}
	f := r.of(queue, func() Pool {
		p := Pool{Executor: model.Executor{Kind: model.ExecutorThreads, Queued: r.depth(t.Interp, queue)}}
		p.Name = withoutNumber(t.Name)
		p.Addr = r.executor(t, at)
		p.Max = r.number(p.Addr, "_max_workers")
		return p
	})
	if f == nil {
		return nil, false
	}
	f.Threads++
	if at > 0 && named(&t.Frames[at-1], "run", "/concurrent/futures/thread.py") {
		f.Busy++
		f.work[r.busyWith(t, at-1)]++
	}
	return f, true
}

// executor returns the executor that a worker belongs to, 0 where it has been deleted.
func (r *reader) executor(t *Thread, at int) uint64 {
	reference, err := r.Local(r.memory, t.Addrs[at], t.Raw[at].Code, "executor_reference")
	if err != nil || reference == 0 {
		return 0
	}
	return r.referent(reference)
}

// referent returns what a weak reference refers to, 0 where that is gone.
func (r *reader) referent(reference uint64) uint64 {
	// "weakref" to 3.11. Its callback makes no other type of it.
	if !r.IsBuiltin(r.memory, reference, "weakref", "weakref.ReferenceType") {
		return 0
	}
	object, err := r.Referent(r.memory, reference)
	if err != nil {
		return 0
	}
	return object
}

// number reads an attribute that is a small number.
func (r *reader) number(object uint64, attribute string) *int {
	if object == 0 {
		return nil
	}
	value, err := r.Attribute(r.memory, object, attribute)
	if err != nil {
		return nil
	}
	if !r.IsBuiltin(r.memory, value, "int") {
		return nil
	}
	n, ok := r.Unsigned(r.memory, value)
	if !ok || n > maxQueued {
		return nil
	}
	out := int(n)
	return &out
}

// maxQueued bounds what is believed of a number of calls or threads.
const maxQueued = 1 << 30

// busyWith returns what a thread does inside the frame at which it runs a call, the zero Frame where that is not known.
func (r *reader) busyWith(t *Thread, at int) model.Frame {
	inside := t.Frames[:at]
	for i := range inside {
		if inside[i].App {
			return inside[i]
		}
	}
	for i := range inside {
		if !strings.HasSuffix(inside[i].File, "/concurrent/futures/thread.py") {
			return inside[i]
		}
	}
	return model.Frame{Function: r.call(t, at)}
}

// call names a function of C that a work item calls.
func (r *reader) call(t *Thread, at int) string {
	self, err := r.Local(r.memory, t.Addrs[at], t.Raw[at].Code, "self")
	if err != nil || self == 0 {
		return ""
	}
	function, err := r.Attribute(r.memory, self, "fn")
	if err != nil { // from 3.14 on
		task, err := r.Attribute(r.memory, self, "task")
		if err != nil {
			return ""
		}
		parts, err := r.Items(r.memory, task)
		if err != nil || len(parts) == 0 {
			return ""
		}
		function = parts[0]
	}
	name, err := r.Callable(r.memory, function)
	if err != nil {
		return ""
	}
	return name
}

// manager counts a process pool, by the thread that manages it.
func (r *reader) manager(t *Thread, at int) (*found, bool) {
	attribute := func(name string) uint64 {
		value, err := r.Local(r.memory, t.Addrs[at], t.Raw[at].Code, name) // to 3.8
		if err == nil {
			return value
		}
		self, err := r.Local(r.memory, t.Addrs[at], t.Raw[at].Code, "self")
		if err != nil || self == 0 {
			return 0
		}
		if value, err = r.Attribute(r.memory, self, name); err != nil {
			return 0
		}
		return value
	}
	pending, processes := attribute("pending_work_items"), attribute("processes")
	calls, ok := r.lengthOfDict(pending)
	workers, fine := r.lengthOfDict(processes)
	if !ok || !fine {
		return nil, true
	}
	f := r.of(pending, func() Pool {
		p := Pool{Executor: model.Executor{Kind: model.ExecutorProcesses, Threads: workers}}
		p.Name = "ProcessPoolExecutor"
		p.Busy = min(workers, calls)
		queued := calls - p.Busy
		p.Queued = &queued
		if reference := attribute("executor_reference"); reference != 0 {
			p.Addr = r.referent(reference)
			p.Max = r.number(p.Addr, "_max_workers")
		}
		return p
	})
	return f, f != nil
}

func (r *reader) lengthOfDict(object uint64) (int, bool) {
	if object == 0 || !r.IsBuiltin(r.memory, object, "dict") {
		return 0, false
	}
	n, err := r.Length(r.memory, object) // ma_used
	return int(n), err == nil && n <= maxQueued
}

// anyioWorker counts one of anyio's worker threads, which make the calls of one loop.
func (r *reader) anyioWorker(t *Thread, at int) (*found, bool) {
	self, err := r.Local(r.memory, t.Addrs[at], t.Raw[at].Code, "self")
	if err != nil || self == 0 {
		return nil, true
	}
	loop, err := r.Attribute(r.memory, self, "loop")
	if err != nil || loop == 0 {
		return nil, true
	}
	f := r.of(loop, func() Pool {
		return Pool{Executor: model.Executor{Name: "anyio", Kind: model.ExecutorThreads}, Loop: loop, Anyio: true}
	})
	if f == nil {
		return nil, false
	}
	f.Threads++
	if at > 0 && !named(&t.Frames[at-1], "get", "/queue.py") && !strings.HasSuffix(t.Frames[at-1].File, "/threading.py") {
		f.Busy++
		f.work[r.busyWith(t, at)]++
	}
	return f, true
}

// withoutNumber returns the name of a pool by that of one of its threads, "crunchers_3".
func withoutNumber(thread string) string {
	if at := strings.LastIndexByte(thread, '_'); at > 0 && strings.Trim(thread[at+1:], "0123456789") == "" {
		return thread[:at]
	}
	return thread
}

// Where a queue of Modules/_queuemodule.c keeps how much is in it, by the size of its instances.
const (
	simpleQueueList, offList, offListPos = 56, 32, 40 // to 3.12: a list, and how much of it has been taken
	simpleQueueRing, offRingCount        = 72, 56     // from 3.13 on: a ring
)

// depth returns how many calls a queue holds, nil where that is not known.
func (r *reader) depth(interp, queue uint64) *int {
	module, err := r.Module(r.memory, interp, "_queue")
	if err != nil {
		return nil
	}
	class, err := r.Item(r.memory, module, "SimpleQueue")
	if err != nil || !r.IsA(r.memory, queue, class) {
		return nil
	}
	size, err := r.InstanceSize(r.memory, class)
	if err != nil {
		return nil
	}
	var n uint64
	switch size {
	case simpleQueueRing:
		n, err = words.At(r.memory, queue+offRingCount)
	case simpleQueueList:
		var list, taken uint64
		if list, err = words.At(r.memory, queue+offList); err != nil {
			return nil
		}
		if taken, err = words.At(r.memory, queue+offListPos); err != nil {
			return nil
		}
		if n, err = r.Length(r.memory, list); n >= taken {
			n -= taken
		}
	default:
		return nil
	}
	if err != nil || n > maxQueued {
		return nil
	}
	out := int(n)
	return &out
}

// Limit returns how many may hold a limiter of anyio's at a time, nil where that is not known.
func Limit(m process.Memory, rt *cpython.Runtime, limiter uint64) *int {
	r := reader{Runtime: rt, memory: m}
	return r.number(limiter, "_total_tokens")
}
