// SPDX-License-Identifier: Apache-2.0

package dump

import (
	"cmp"
	"maps"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/contention"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/python"
)

// processRow says what was found of one process.
func (l *look) processRow(p *proc) model.DumpProcess {
	row := model.DumpProcess{
		PID: p.PID, Command: p.Command, Python: p.Runtime.Version.String(), Container: p.Container, Unit: p.Unit,
	}
	if p.cut {
		l.lost.add(reasonThreads, 1)
	}
	for _, n := range p.Names.Stats().Failures {
		l.lost.add(reasonUnwalked, n)
	}
	if p.ParentCut() {
		l.lost.add(python.ReasonParentCut, 1)
	}
	w := &writer{
		proc: p, lost: l.lost, threshold: int64(l.threshold), at: l.at,
		names: p.ThreadNames(slices.Collect(maps.Keys(p.interps))), frames: maxTaskFrames, space: maxShown,
	}
	row.GIL = w.holders()
	w.nameTasks()
	row.Executors, row.Deadlocks = w.executors(), w.deadlocks
	threads := slices.SortedFunc(maps.Values(p.threads), func(a, b *thread) int { return cmp.Compare(a.kernel.TID, b.kernel.TID) })
	loops := make(map[uint64]bool)
	for _, t := range threads {
		loops[t.loop] = true
		if t.torn {
			l.lost.add(reasonTorn, 1)
		}
		if t.err != nil {
			l.lost.add(reasonUnwalked, 1)
		}
		if t.status.kind == "" {
			row.Threads = append(row.Threads, w.thread(t))
		} else {
			row.Loops = append(row.Loops, w.loop(t))
		}
	}
	for _, i := range p.interps {
		l.lost.addTasks(i, loops)
	}
	l.lost.add(python.ReasonNative, p.UnnamedNative())
	return row
}

// addTasks counts the tasks of an interpreter that are not shown. loops are those that threads run.
func (l losses) addTasks(i *interp, loops map[uint64]bool) {
	if i.unreadable {
		l.add(reasonTasks, 1)
	}
	if i.listed.More {
		l.add(reasonMoreTasks, 1)
	}
	l.add(reasonBudget, int64(i.listed.Dropped))
	l.add(reasonPython, int64(i.listed.Opaque))
	for _, task := range i.listed.Tasks {
		if !loops[task.Loop] {
			l.add(reasonStray, 1)
		}
	}
}

// writer writes the rows of one process.
type writer struct {
	*proc
	lost      losses
	threshold int64             // ns
	at        int64             // CLOCK_MONOTONIC: the dump says what was then
	names     map[uint64]string // that threading has, by thread pointer
	frames    int               // of tasks that may still be written
	space     int               // bytes of tasks and stacks that may still be written

	awaits map[*interp]map[uint64][]string // ids of the tasks that each task awaits
	// Set by nameTasks.
	taskFrames map[uint64][]model.Frame // of each task, innermost first
	contended  []contention.Task
	waits      map[uint64][]model.Wait // by loop
	deadlocks  [][]model.DeadlockMember
}

// maxShown bounds the bytes that are written of all tasks and stacks of one process.
const maxShown = 32 << 20

// sizeOf returns about how many bytes some frames take where they are written.
func sizeOf(frames []model.Frame) (n int) {
	for _, f := range frames {
		n += 64 + len(f.Function) + len(f.File)
	}
	return n
}

// take reports whether there is space for so many bytes more, and takes it.
func (w *writer) take(n int) bool {
	if n > w.space {
		return false
	}
	w.space -= n
	return true
}

// name returns the name of a thread that threading has for it, or else the kernel's.
func (w *writer) name(t *thread) string {
	if name := w.names[t.state.ThreadID]; name != "" {
		return name
	}
	name, _ := w.ThreadName(t.kernel.TID) // it may have ended
	return name
}

// holders says who holds the GILs of the process.
func (w *writer) holders() (out []model.DumpGIL) {
	seen := make(map[uint64]bool)
	for _, i := range w.interps {
		if i.holder == 0 || seen[i.GIL] {
			continue
		}
		seen[i.GIL] = true
		var held model.DumpGIL
		if t := w.threads[i.holder]; t != nil {
			held = model.DumpGIL{TID: t.kernel.TID, Thread: w.name(t)}
		}
		out = append(out, held)
	}
	slices.SortFunc(out, func(a, b model.DumpGIL) int { return cmp.Compare(a.TID, b.TID) })
	return out
}

// thread says what one thread does.
func (w *writer) thread(t *thread) model.DumpThread {
	row := model.DumpThread{
		TID: t.kernel.TID, Thread: w.name(t), State: w.state(t), Frames: t.frames, Torn: t.torn || t.err != nil,
		Executor: t.pool,
	}
	if shown := w.take(sizeOf(t.frames)); !shown || t.over {
		w.lost.add(reasonStacks, 1)
		if !shown {
			row.Frames = nil
		}
	}
	row.ForNS = t.lasts()
	row.AtLeast = row.ForNS != nil && t.status.atLeast
	if t.status.idle {
		return row
	}
	row.Leaf = eventloop.Leaf(t.frames)
	i := w.interps[t.state.Interp] // every thread's is there
	busy := cause.Interpreter{Collecting: i.collecting, GIL: model.GILReleased}
	if i.holder == t.state.Addr {
		busy.GIL = model.GILHeld
	}
	if t.kernel.Running {
		w.running(t, busy, &row)
	} else {
		w.sleeping(t, i, busy, &row)
	}
	if busy.GIL == model.GILHeld {
		row.Detail.GIL = model.GILHeld
	}
	return row
}

// lasts returns how long a thread has been in its state in nanoseconds, nil where that is not known.
func (t *thread) lasts() *int64 {
	if t.status.since == 0 {
		return nil
	}
	ns := max(t.kernel.At-t.status.since, 0)
	return &ns
}

// state returns the state of a thread, or of the loop that it runs.
func (w *writer) state(t *thread) model.State {
	switch ns := t.lasts(); {
	case t.status.idle:
		return model.StateIdle
	case t.status.kind != "" && ns != nil && *ns >= w.threshold:
		return model.StateBlocked
	case t.status.kind != "":
		return model.StateActive
	case t.kernel.Stopped:
		return model.StateStopped
	case t.kernel.Running:
		return model.StateRunning
	}
	return model.StateSleeping
}

// running says why a thread runs, of a loop as far as the timer on it tells.
func (w *writer) running(t *thread, busy cause.Interpreter, row *model.DumpThread) {
	c := model.CauseUnknown
	if t.status.kind != "" {
		c, row.Detail.Native = w.runs(t, busy.GIL)
	}
	if t.status.atWait && c.BlamesLine() { // it has hardly begun, or is about to rest
		row.Cause, row.Detail.Native = model.CauseUnknown, ""
		return
	}
	row.Cause, row.Culprit = cause.Blame(c, false, busy, t.frames[:t.status.inside])
}

// sleeping says why a thread sleeps, and of the GIL who holds it.
func (w *writer) sleeping(t *thread, i *interp, busy cause.Interpreter, row *model.DumpThread) {
	call := cause.Call{Number: t.kernel.Syscall, Args: [3]uint64(t.kernel.Args[:3]), Target: t.target}
	slept := cause.OfSleep(cause.Sleep{Call: call, Stopped: t.kernel.Stopped, GIL: i.IsGIL(call.Args[0])}, t.frames)
	row.Detail = cause.Detail(call, slept)
	row.Cause, row.Culprit = cause.Blame(slept, true, busy, t.frames[:t.status.inside])
	if holder := w.threads[i.holder]; row.Cause == model.CauseGIL && holder != nil && holder != t {
		row.Detail.Holder = &model.Holder{TID: holder.kernel.TID, Thread: w.name(holder)}
		if w.take(sizeOf(holder.frames)) {
			row.Detail.Holder.Frames = holder.frames
		}
	}
}
