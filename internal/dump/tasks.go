// SPDX-License-Identifier: Apache-2.0

package dump

import (
	"strconv"

	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/model"
)

// maxTaskFrames bounds the frames of all tasks of one process.
const maxTaskFrames = 50_000

// loop says what a loop does, and with it its tasks.
func (w *writer) loop(t *thread) model.DumpLoop {
	row := model.DumpLoop{DumpThread: w.thread(t), Loop: string(t.status.kind)}
	i := w.interps[t.state.Interp]
	if i.tasks == nil || t.loop == 0 {
		return row
	}
	if !w.tasksTrue(t) {
		row.TasksTorn = true
		w.lost.add(reasonTornTasks, 1)
	}
	awaits := w.awaitsOf(i)
	pending := 0
	for n := range i.listed.Tasks {
		task := &i.listed.Tasks[n]
		if task.Loop != t.loop {
			continue
		}
		pending++
		if len(task.Awaits) > w.frames {
			row.MoreTasks++
			continue
		}
		out := model.DumpTask{ID: taskID(task.Addr), Name: task.Name, Awaits: awaits[task.Addr]}
		switch {
		case t.running != nil && t.running.Addr == task.Addr:
			out.Running = true
			row.Task = task.Name
		case task.Executing:
			out.Running = true
		}
		out.Frames = w.taskFrames[task.Addr]
		const id = 32 // bytes of one, about
		w.frames -= len(out.Frames)
		if !w.take(2*id + len(out.Name) + id*len(out.Awaits) + sizeOf(out.Frames)) {
			row.MoreTasks++
			continue
		}
		if task.Cut {
			w.lost.add(reasonCut, 1)
		}
		row.Tasks = append(row.Tasks, out)
	}
	w.lost.add(reasonMoreTasks, row.MoreTasks)
	row.Queue, row.Waits = w.queueOf(t, pending), w.waits[t.loop]
	return row
}

// awaitsOf returns which tasks each task of an interpreter awaits.
func (w *writer) awaitsOf(i *interp) map[uint64][]string {
	if known := w.awaits[i]; known != nil {
		return known
	}
	awaits := make(map[uint64][]string)
	for n := range i.listed.Tasks {
		task := &i.listed.Tasks[n]
		id := taskID(task.Addr)
		for _, by := range task.AwaitedBy {
			awaits[by] = append(awaits[by], id)
		}
	}
	if w.awaits == nil {
		w.awaits = make(map[*interp]map[uint64][]string)
	}
	w.awaits[i] = awaits
	return awaits
}

// suspended names the coroutines of a task that waits, innermost first.
func (w *writer) suspended(task *asyncio.Pending) []model.Frame {
	raw := make([]cpython.RawFrame, len(task.Awaits))
	for i, s := range task.Awaits {
		raw[len(raw)-1-i] = s.Frame
	}
	return w.Names.Frames(raw)
}

func taskID(addr uint64) string { return "0x" + strconv.FormatUint(addr, 16) }
