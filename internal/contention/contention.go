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
		on := t.Waits.On
		if on == model.WaitFuture && t.Awaits {
			on = model.WaitTask
		}
		place := t.place()
		k := key{loop: t.Loop, on: on, object: t.Waits.Object}
		if on == model.WaitQueue { // who takes and who puts is not the same
			k.call = t.Waits.Call
		}
		if k.object == 0 {
			k.call, k.place = t.Waits.Call, place
		}
		g := groups[k]
		if g == nil {
			g = &group{Wait: model.Wait{On: on, Call: t.Waits.Call, Queued: on == model.WaitExecutor && t.Waits.Object != 0, Consumers: true}, places: make(map[model.Frame]int)}
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
		g.Consumers = g.Consumers && on == model.WaitQueue && t.Waits.Consumer && strings.HasSuffix(t.Waits.Call, ".get")
		g.places[place]++
	}
	out := make(map[uint64][]model.Wait)
	for _, k := range order {
		g := groups[k]
		if place := most(g.places); place != (model.Frame{}) {
			g.Place = &place
		}
		if holder := holders.Of(g.lock); holder != nil {
			at := len(holder.task.Frames) - 1 - holder.at
			if at >= 0 {
				g.Holder = &model.WaitHolder{Task: holder.task.ID, Name: holder.task.Name, Frames: holder.task.Frames[at:]}
			}
		}
		out[k.loop] = append(out[k.loop], g.Wait)
	}
	for _, waits := range out {
		slices.SortStableFunc(waits, func(a, b model.Wait) int { return cmp.Compare(b.Tasks, a.Tasks) })
	}
	return out
}

// place returns where the application waits: its innermost frame, the one that made the call where the application has none.
func (t *Task) place() model.Frame {
	outside := t.Frames[min(t.Waits.Library, len(t.Frames)):]
	for _, f := range outside {
		if f.App {
			return f
		}
	}
	if len(outside) > 0 {
		return outside[0]
	}
	if len(t.Frames) > 0 {
		return t.Frames[len(t.Frames)-1]
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
			if place := t.place(); place != (model.Frame{}) {
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
