// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"math"
	"strings"

	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// readAwaiters reads who awaits each task, as it says itself (3.14 on).
func (t *Tasks) readAwaiters(m process.Memory, tasks []Pending, known map[uint64]int, budget *Budget, room *room) {
	eachSome(tasks, budget, func(some []Pending) error {
		found, err := process.ReadPaged(m, func(m process.Memory) (out [][]uint64, _ error) {
			for i := range some {
				members, err := t.awaiters(m, some[i].Addr)
				if err != nil {
					members = []uint64{unreadable}
				}
				out = append(out, members)
			}
			return out, nil
		})
		for i, members := range found {
			some[i].awaitedBy(members, known, room)
		}
		return err
	})
}

// unreadable is no address: it stands for what could not be read.
const unreadable = math.MaxUint64

// awaitedBy notes who awaits a task, of the known ones.
func (task *Pending) awaitedBy(members []uint64, known map[uint64]int, room *room) {
	for _, member := range members {
		if member == unreadable {
			task.Cut = true
		}
		if _, ok := known[member]; ok {
			if !room.take(costAwaiting) {
				task.dropped = true
				return
			}
			task.AwaitedBy = append(task.AwaitedBy, member)
		}
	}
}

// awaiters returns what a task says of who awaits it.
func (t *Tasks) awaiters(m process.Memory, task uint64) ([]uint64, error) {
	by, err := words.At(m, task+uint64(t.debug.TaskAwaitedBy))
	if err != nil || by == 0 {
		return nil, nil // it has just ended
	}
	var isSet [1]byte
	if m.Read(task+uint64(t.debug.TaskBySet), isSet[:]) != nil {
		return nil, nil
	}
	if isSet[0] == 0 {
		return []uint64{by}, nil
	}
	return t.runtime.Set(m, by)
}

// maxCallbacks bounds the callbacks of one future that are looked at, and maxFutures how many
// futures tell one another of their end.
const (
	maxCallbacks = 256
	maxFutures   = 8
)

// connect finds out who awaits whom from what the tasks' callbacks lead to.
func (t *Tasks) connect(m process.Memory, names *object.TypeNames, tasks []Pending, budget *Budget, room *room) {
	groups := make(map[uint64]bool)
	owners := make(map[uint64][]uint64)
	var first [][]callee // of some tasks themselves
	for i := range tasks {
		t.owns(m, &tasks[i], groups, owners)
	}
	others := make(map[uint64]bool) // objects that are no futures: many tasks lead to the same
	for i := range tasks {
		task := &tasks[i]
		if i%together == 0 {
			first = t.calleesOf(m, names, tasks[i:min(i+together, len(tasks))], owners, others)
		}
		seen := map[uint64]bool{task.Addr: true}
		add := func(by []uint64) {
			for _, addr := range by {
				if addr != task.Addr && !seen[addr] {
					if task.dropped = task.dropped || !room.take(costAwaiting); task.dropped {
						return
					}
					seen[addr] = true
					task.AwaitedBy = append(task.AwaitedBy, addr)
				}
			}
		}
		add(owners[task.Addr])
		var own []callee
		if i%together < len(first) {
			own = first[i%together]
		}
		for _, object := range t.leads(m, names, own, task.Addr, owners, others) {
			add(owners[object])
		}
		task.dropped = task.dropped || budget.Spent()
	}
}

// leads returns the objects that the callbacks of a task lead to, which are own, also by way of futures that no task waits for.
// What is no future it adds to others.
func (t *Tasks) leads(m process.Memory, names *object.TypeNames, own []callee, task uint64, owners map[uint64][]uint64, others map[uint64]bool) (out []uint64) {
	asked := map[uint64]bool{task: true}
	futures := []uint64{task}
	for n := 0; n < len(futures) && n < maxFutures; n++ {
		if n > 0 {
			own = t.callees(m, names, futures[n], owners, others)
		}
		for _, c := range own {
			if asked[c.object] {
				continue
			}
			asked[c.object] = true
			out = append(out, c.object)
			switch {
			case owners[c.object] != nil:
			case c.future: // a gather in a gather
				futures = append(futures, c.object)
			case len(others) < maxOthers:
				others[c.object] = true
			}
		}
	}
	return out
}

// owns notes what a task waits for, which is a future or a group that it leaves. groups are code objects: whether they leave a
// group. owners are by future and group the tasks.
func (t *Tasks) owns(m process.Memory, task *Pending, groups map[uint64]bool, owners map[uint64][]uint64) {
	if task.waiter != 0 {
		owners[task.waiter] = append(owners[task.waiter], task.Addr)
	}
	for _, frame := range task.Awaits {
		code := frame.Frame.Code
		leaves, known := groups[code]
		if !known && frame.Self != 0 {
			leaves = t.leavesGroup(m, code)
			groups[code] = leaves
		}
		if frame.Self != 0 && leaves {
			owners[frame.Self] = append(owners[frame.Self], task.Addr)
			return // the outermost group's frames come first
		}
	}
}

// maxOthers bounds the objects that are known to be no futures.
const maxOthers = 1 << 16

// callee is what a callback of a future leads to.
type callee struct {
	object uint64
	future bool // it is a future that no task waits for
}

// calleesOf lists what the callbacks of some tasks lead to, none where it does not answer.
func (t *Tasks) calleesOf(m process.Memory, names *object.TypeNames, tasks []Pending, owners map[uint64][]uint64, others map[uint64]bool) [][]callee {
	out, _ := process.ReadPaged(m, func(m process.Memory) (out [][]callee, _ error) {
		for i := range tasks {
			out = append(out, t.calleesRead(m, names, tasks[i].Addr, owners, others))
		}
		return out, nil
	})
	return out
}

// callees lists what the callbacks of a future lead to. owners are the objects that tasks wait for, others some that are no
// futures; both are only read.
func (t *Tasks) callees(m process.Memory, names *object.TypeNames, future uint64, owners map[uint64][]uint64, others map[uint64]bool) []callee {
	out, _ := process.ReadTogether(m, func(m process.Memory) (out []callee, _ error) {
		return t.calleesRead(m, names, future, owners, others), nil
	})
	return out // none where it does not answer
}

func (t *Tasks) calleesRead(m process.Memory, names *object.TypeNames, future uint64, owners map[uint64][]uint64, others map[uint64]bool) (out []callee) {
	for _, object := range t.calledBack(m, names, future, maxCallbacks) {
		known := owners[object] != nil || others[object]
		out = append(out, callee{object, !known && isFuture(m, names, object)})
	}
	return out
}

// groupFiles are where groups of tasks wait for their tasks as they are left.
var groupFiles = []string{"/asyncio/taskgroups.py", "/anyio/_backends/_asyncio.py"}

// maxGroupCode bounds the bytes of a code object that may be one of those files.
const maxGroupCode = 64 << 10

// leavesGroup reports whether a coroutine is the end of an "async with" of a group of tasks.
func (t *Tasks) leavesGroup(m process.Memory, at uint64) bool {
	read := t.runtime.ReadCodes(m, []uint64{at}, maxGroupCode)[0]
	code := read.Code
	if read.Err != nil || code.Name != "__aexit__" && code.Name != "_aexit" {
		return false
	}
	for _, file := range groupFiles {
		if strings.HasSuffix(code.File, file) {
			return true
		}
	}
	return false
}

// calledBack lists the objects that the first so many callbacks of a future belong to or hold.
func (t *Tasks) calledBack(m process.Memory, names *object.TypeNames, future uint64, most int) (out []uint64) {
	var callbacks []uint64
	if first, err := words.At(m, future+offCallback); err == nil && first != 0 {
		callbacks = append(callbacks, first)
	}
	if list, err := words.At(m, future+offCallbacks); err == nil && list != 0 {
		items, _ := t.runtime.Items(m, list)
		for _, item := range items[:min(len(items), most)] {
			if pair, err := t.runtime.Items(m, item); err == nil && len(pair) == 2 { // with its context
				callbacks = append(callbacks, pair[0])
			}
		}
	}
	for _, callback := range callbacks {
		name, _ := names.Of(m, callback)
		switch name {
		case "function":
			cells, _ := t.runtime.Closure(m, callback)
			out = append(out, cells...)
		case "method":
			if self, err := t.runtime.Self(m, callback); err == nil {
				out = append(out, self)
			}
		case "functools.partial":
			const args = 24 // partialobject.args of Modules/_functoolsmodule.c
			if tuple, err := words.At(m, callback+args); err == nil {
				items, _ := t.runtime.Items(m, tuple)
				out = append(out, items[:min(len(items), 4)]...)
			}
		}
	}
	return out
}

// isFuture reports whether an object is one of the C module's futures, or derived from it by asyncio.
func isFuture(m process.Memory, names *object.TypeNames, object uint64) bool {
	name, _ := names.Of(m, object)
	return name == "_asyncio.Future" || name == "_GatheringFuture"
}
