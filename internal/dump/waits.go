// SPDX-License-Identifier: Apache-2.0

package dump

import (
	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/contention"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/executor"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
)

// readQueue reads what the loop has to do that a thread runs, and what the task holds that it executes.
func (p *proc) readQueue(t *thread, i *interp) {
	t.queue, t.held = nil, nil
	if t.loop == 0 {
		return
	}
	if queue, err := i.tasks.QueueOf(p.Memory, t.loop); err == nil {
		t.queue = &queue
	}
	if t.running == nil || t.running.Depth >= len(t.raw) || !waitsForLock(i.listed.Tasks) {
		return
	}
	frames := make([]cpython.Suspended, 0, t.running.Depth+1)
	for at := t.running.Depth; at >= 0; at-- {
		frames = append(frames, cpython.Suspended{Frame: t.raw[at], Addr: t.addrs[at]})
	}
	held, err := i.tasks.HeldBy(p.Memory, frames)
	if err != nil || len(held) == 0 || !p.stands(t, held[0].At) {
		return
	}
	t.held = held
}

// stands reports whether the frames of a thread's task that hold something are still where they were.
func (p *proc) stands(t *thread, first int) bool {
	raw, addrs, _, err := p.stack(t.state.Addr)
	depth := t.running.Depth
	for from := 0; err == nil && from <= depth-first; from++ {
		at, now := len(t.raw)-1-from, len(raw)-1-from // both from the root
		if at < 0 || now < 0 || raw[now] != t.raw[at] || addrs[now] != t.addrs[at] {
			return false
		}
	}
	return err == nil
}

func waitsForLock(tasks []asyncio.Pending) bool {
	for i := range tasks {
		if tasks[i].Waits.On == model.WaitLock {
			return true
		}
	}
	return false
}

// nameTasks names the coroutines of all tasks of the process, and gathers what they wait for.
func (w *writer) nameTasks() {
	w.taskFrames = make(map[uint64][]model.Frame)
	running := make(map[uint64]*thread)
	torn := make(map[uint64]bool) // loops
	for _, t := range w.threads {
		if t.loop == 0 {
			continue
		}
		torn[t.loop] = !w.tasksTrue(t)
		if t.running != nil {
			running[t.running.Addr] = t
		}
	}
	for _, i := range w.interps {
		awaits := w.awaitsOf(i)
		for n := range i.listed.Tasks {
			task := &i.listed.Tasks[n]
			out := contention.Task{Addr: task.Addr, ID: taskID(task.Addr), Name: task.Name, Loop: task.Loop, Waits: task.Waits, Awaits: len(awaits[task.Addr]) > 0}
			held := task.Held
			switch t := running[task.Addr]; {
			case t != nil:
				out.Frames, held = t.frames[:min(t.running.Depth+1, len(t.frames))], t.held
				if !t.intact {
					held = nil
				}
			case !task.Executing:
				out.Frames = w.suspended(task)
			}
			if !torn[task.Loop] { // else there is no evidence
				out.Held = held
			}
			w.taskFrames[task.Addr] = out.Frames
			w.contended = append(w.contended, out)
		}
	}
	holders := contention.FindHolders(w.contended)
	w.waits = contention.Waits(w.contended, holders)
	w.deadlocks = contention.Deadlocks(w.contended, holders)
}

// queueOf says what a loop has to do.
func (w *writer) queueOf(t *thread, tasks int) *model.LoopQueue {
	row := &model.LoopQueue{Tasks: tasks}
	if t.queue == nil {
		return row
	}
	row.Ready, row.Scheduled = &t.queue.Ready, &t.queue.Scheduled
	if due, ok := w.kernelTime(t.queue.First); ok {
		late := max(w.at-due, 0)
		row.TimerLateNS = &late
	}
	return row
}

// executors says what the pools of the process do.
func (w *writer) executors() (out []model.Executor) {
	defaults := make(map[uint64]bool)
	var threads []executor.Thread
	var members []*thread
	for _, t := range w.threads {
		members = append(members, t)
		threads = append(threads, executor.Thread{Interp: t.state.Interp, Name: w.name(t), Raw: t.raw, Addrs: t.addrs, Frames: t.frames})
		if i := w.interps[t.state.Interp]; t.loop != 0 && i.tasks != nil {
			if at := i.tasks.DefaultExecutor(w.Memory, t.loop); at != 0 {
				defaults[at] = true
			}
		}
	}
	type found struct {
		pools []executor.Pool
		more  int
	}
	read, err := process.ReadTogether(w.Memory, func(m process.Memory) (f found, _ error) {
		f.pools, f.more = executor.Find(m, w.Runtime, threads)
		return f, nil
	})
	if err != nil {
		w.lost.add(reasonPools, 1)
	}
	w.lost.add(reasonMorePools, int64(read.more))
	for _, pool := range read.pools {
		pool.Default = defaults[pool.Addr] && pool.Addr != 0
		if pool.Anyio {
			w.limit(&pool)
		}
		for _, member := range pool.Members {
			members[member].pool = pool.Name
		}
		out = append(out, pool.Executor)
	}
	return out
}

// limit says how many calls wait for one of anyio's threads: they wait for a limiter, which says how many there may be.
func (w *writer) limit(pool *executor.Pool) {
	queued := 0
	for i := range w.contended {
		t := &w.contended[i]
		if t.Loop != pool.Loop || t.Waits.On != model.WaitExecutor || t.Waits.Object == 0 {
			continue
		}
		if queued++; queued == 1 {
			pool.Max = executor.Limit(w.Memory, w.Runtime, t.Waits.Object)
		}
	}
	pool.Queued = &queued
}
