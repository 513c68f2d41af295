// SPDX-License-Identifier: Apache-2.0

// Package contention says what the tasks of a process wait for together, who holds the locks among that, and which tasks wait
// for one another in a circle. In go tasks as they were read at one moment, values alone; out come model.Wait and
// model.DeadlockMember.
package contention

import (
	"cmp"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/model"
)

// Task is one task that has not ended.
type Task struct {
	Addr   uint64
	ID     string
	Name   string
	Loop   uint64        // address of its event loop
	Frames []model.Frame // innermost first
	Waits  asyncio.Waits
	// Held is what it has entered; Held.At counts frames from the outermost.
	Held []asyncio.Held
	// Awaits says that the end of other tasks is what it waits for, as they say.
	Awaits bool
}

// key is what tasks have to have in common to count as waiting together.
type key struct {
	loop   uint64
	on     model.WaitKind
	object uint64
	call   string
	place  model.Frame
}

// Waits says what the tasks of each loop wait for, by the address of the loop, most tasks first. Holders names the tasks that hold
// locks.
func Waits(tasks []Task, holders Holders) map[uint64][]model.Wait {
	type group struct {
		model.Wait
		lock   uint64
		places map[model.Frame]int
	}
	groups := make(map[key]*group)
	var order []key
	for i := range tasks {
		t := &tasks[i]
		if t.Waits.On == "" {
			continue
		}
		on := Kind(t.Waits, t.Awaits)
		place := Place(t.Frames, t.Waits.Library)
		k := key{loop: t.Loop, on: on, object: t.Waits.Object}
		if on == model.WaitQueue { // who takes and who puts is not the same
			k.call = t.Waits.Call
		}
		if k.object == 0 {
			k.call, k.place = t.Waits.Call, place
		}
		g := groups[k]
		if g == nil {
			g = &group{Wait: model.Wait{On: on, Call: t.Waits.Call, Queued: Queued(t.Waits), Consumers: true}, places: make(map[model.Frame]int)}
			if on == model.WaitLock {
				g.lock = t.Waits.Object
			}
			groups[k] = g
			order = append(order, k)
		}
		g.Tasks++
		if len(g.IDs) < model.MaxWaitIDs {
			g.IDs = append(g.IDs, t.ID)
		}
		g.Consumers = g.Consumers && Consumes(t.Waits)
		g.places[place]++
	}
	out := make(map[uint64][]model.Wait)
	for _, k := range order {
		g := groups[k]
		if place := most(g.places); place != (model.Frame{}) {
			g.Place = &place
		}
		g.Holder = holders.Of(g.lock).Named()
		out[k.loop] = append(out[k.loop], g.Wait)
	}
	for _, waits := range out {
		slices.SortStableFunc(waits, func(a, b model.Wait) int { return cmp.Compare(b.Tasks, a.Tasks) })
	}
	return out
}

// Kind returns what a task waits for. awaits says that other tasks say that it awaits them.
func Kind(w asyncio.Waits, awaits bool) model.WaitKind {
	if w.On == model.WaitFuture && awaits {
		return model.WaitTask
	}
	return w.On
}

// Consumes reports whether a task waits for work, an item of a queue, by its own outermost coroutine.
func Consumes(w asyncio.Waits) bool {
	return w.On == model.WaitQueue && w.Consumer && strings.HasSuffix(w.Call, ".get")
}

// Queued reports whether a task waits for a free thread.
func Queued(w asyncio.Waits) bool { return w.On == model.WaitExecutor && w.Object != 0 }

// Place returns where the application waits, of the frames of a task, innermost first, of which so many are the library's that it
// called: its innermost frame, the one that made the call where the application has none.
func Place(frames []model.Frame, library int) model.Frame {
	outside := frames[min(library, len(frames)):]
	for _, f := range outside {
		if f.App {
			return f
		}
	}
	if len(outside) > 0 {
		return outside[0]
	}
	if len(frames) > 0 {
		return frames[len(frames)-1]
	}
	return model.Frame{}
}

// most returns the place that counts most.
func most(places map[model.Frame]int) (out model.Frame) {
	best := 0
	for place, n := range places {
		if n > best || n == best && cmp.Or(cmp.Compare(place.File, out.File), cmp.Compare(place.Line, out.Line)) < 0 {
			best, out = n, place
		}
	}
	return out
}

// Holder is the task that holds a lock, in the frame at from the outermost.
type Holder struct {
	task *Task
	at   int
}

// Holders are the tasks that hold locks. The zero value has none.
type Holders struct{ by map[uint64]*Holder }

// FindHolders finds out who holds which lock. Where several tasks seem to hold the same, nobody is said to.
func FindHolders(tasks []Task) Holders {
	out := Holders{by: make(map[uint64]*Holder)}
	for i := range tasks {
		for _, held := range tasks[i].Held {
			if held.Timeout {
				continue
			}
			if known, ok := out.by[held.Object]; ok && (known == nil || known.task != &tasks[i]) {
				out.by[held.Object] = nil
				continue
			}
			out.by[held.Object] = &Holder{&tasks[i], held.At}
		}
	}
	return out
}

// Of returns who holds a lock, nil where that is not known.
func (h Holders) Of(lock uint64) *Holder {
	if lock == 0 {
		return nil
	}
	return h.by[lock]
}

// Named says who the holder is and where it holds the lock, nil where that is not known.
func (h *Holder) Named() *model.WaitHolder {
	if h == nil {
		return nil
	}
	at := len(h.task.Frames) - 1 - h.at
	if at < 0 {
		return nil
	}
	return &model.WaitHolder{Task: h.task.ID, Name: h.task.Name, Frames: h.task.Frames[at:]}
}

// Deadlocks finds the circles of tasks of which each waits for a lock that the next one holds, or for its end. A circle in
// which one waits for a limited time only is none: it ends by itself.
func Deadlocks(tasks []Task, holders Holders) [][]model.DeadlockMember {
	byAddr := make(map[uint64]int, len(tasks))
	for i := range tasks {
		byAddr[tasks[i].Addr] = i
	}
	next := func(i int) (int, model.WaitKind, bool) {
		t := &tasks[i]
		if slices.ContainsFunc(t.Held, func(h asyncio.Held) bool { return h.Timeout }) {
			return 0, "", false
		}
		if t.Waits.Task != 0 {
			n, ok := byAddr[t.Waits.Task]
			return n, model.WaitTask, ok
		}
		if t.Waits.On == model.WaitLock {
			if holder := holders.Of(t.Waits.Object); holder != nil {
				n, ok := byAddr[holder.task.Addr]
				return n, model.WaitLock, ok
			}
		}
		return 0, "", false
	}
	var out [][]model.DeadlockMember
	seen := make([]int, len(tasks)) // in which walk a task was met
	for start := range tasks {
		i, ok := start, true
		for ok && seen[i] == 0 {
			seen[i] = start + 1
			i, _, ok = next(i)
		}
		if !ok || seen[i] != start+1 {
			continue
		}
		var circle []model.DeadlockMember
		at := i
		for {
			to, holds, _ := next(at)
			t := &tasks[to]
			member := model.DeadlockMember{Task: t.ID, Name: t.Name, Holds: holds}
			if place := Place(t.Frames, t.Waits.Library); place != (model.Frame{}) {
				member.Frame = &place
			}
			circle = append(circle, member)
			if at = to; at == i {
				break
			}
		}
		out = append(out, circle)
	}
	return out
}
