// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

func isEventlet(f model.Frame) bool { return strings.Contains(f.File, "/eventlet/") }

// processRow says what was found of one process.
func (t *taking) processRow(p *proc) model.DumpProcess {
	row := model.DumpProcess{PID: p.process.PID, Command: p.process.Cmdline(), Python: p.runtime.Version.String()}
	row.Container, row.Unit, _ = p.process.Cgroup() // absent where it cannot be read
	if p.cut {
		t.lose(reasonThreads, 1)
	}
	for _, n := range p.resolver.Stats().Failures {
		t.lose(reasonUnwalked, n)
	}
	threads := make([]*thread, 0, len(p.threads))
	for _, th := range p.threads {
		threads = append(threads, th)
	}
	slices.SortFunc(threads, func(a, b *thread) int { return cmp.Compare(a.doing.TID, b.doing.TID) })
	byState := make(map[uint64]*thread, len(threads))
	for _, th := range threads {
		byState[th.state.Addr] = th
	}
	p.holders(byState, &row)
	loops := make(map[uint64]bool)
	for _, th := range threads {
		loops[th.loop] = true
	}
	budget := maxTaskFrames
	for _, th := range threads {
		if th.torn {
			t.lose(reasonTorn, 1)
		}
		if th.err != nil {
			t.lose(reasonUnwalked, 1)
		}
		thread := t.threadRow(p, th, byState)
		if th.verdict.kind == "" {
			row.Threads = append(row.Threads, thread)
			continue
		}
		row.Loops = append(row.Loops, t.loopRow(p, th, thread, &budget))
	}
	for _, i := range p.interps {
		if i.unreadable {
			t.lose(reasonTasks, 1)
		}
		if i.listed.More {
			t.lose(reasonMoreTasks, 1)
		}
		t.lose(reasonPython, int64(i.listed.Opaque))
		var stray int64
		for _, task := range i.listed.Tasks {
			if !loops[task.Loop] {
				stray++
			}
		}
		t.lose(reasonStray, stray)
	}
	return row
}

// holders names who holds the GILs of a process.
func (p *proc) holders(byState map[uint64]*thread, row *model.DumpProcess) {
	seen := make(map[uint64]bool)
	for _, i := range p.interps {
		if i.holder == 0 || seen[i.gil] {
			continue
		}
		seen[i.gil] = true
		var held model.DumpGIL
		if th := byState[i.holder]; th != nil {
			held.TID = th.doing.TID
			held.Thread = p.nameOf(th)
		}
		row.GIL = append(row.GIL, held)
	}
	slices.SortFunc(row.GIL, func(a, b model.DumpGIL) int { return cmp.Compare(a.TID, b.TID) })
}

// threadRow says what one thread does.
func (t *taking) threadRow(p *proc, th *thread, byState map[uint64]*thread) model.DumpThread {
	row := model.DumpThread{TID: th.doing.TID, Frames: th.frames, Torn: th.torn || th.err != nil}
	row.Thread = p.nameOf(th)
	if v := th.verdict; v.since != 0 {
		ns := max(th.doing.At-v.since, 0)
		row.ForNS, row.AtLeast = &ns, v.atLeast
	}
	switch {
	case th.verdict.idle:
		row.State = model.StateIdle
		return row
	case th.doing.Stopped:
		row.State = model.StateStopped
	case th.doing.Running:
		row.State = model.StateRunning
	default:
		row.State = model.StateSleeping
	}
	if th.verdict.kind != "" {
		row.State = model.StateActive
		if row.ForNS != nil && *row.ForNS >= int64(t.options.Threshold) {
			row.State = model.StateBlocked
		}
	}
	i := p.interps[th.state.Interp]
	holds := i != nil && i.holder == th.state.Addr
	busy := cause.Interpreter{Collecting: i != nil && i.collecting, GIL: model.GILReleased}
	if holds {
		busy.GIL, row.Detail.GIL = model.GILHeld, model.GILHeld
	}
	_, row.Leaf = eventloop.Culprit(th.frames)
	if th.doing.Running {
		row.Cause = model.CauseUnknown
		if th.verdict.kind != "" {
			row.Cause, row.Detail.Native = p.runs(th, busy.GIL)
		}
		if th.verdict.edge && row.Cause.BlamesLine() {
			row.Cause, row.Detail.Native = model.CauseUnknown, ""
			return row
		}
		row.Cause, row.Culprit = cause.Blame(row.Cause, busy, th.frames)
		return row
	}
	call := cause.Call{Number: th.doing.Syscall, Args: [3]uint64(th.doing.Args[:3]), Target: th.target}
	gil := i != nil && i.gil != 0 && call.Args[0]-i.gil < uint64(p.runtime.Layout.GILSize)
	slept := cause.OfSleep(cause.Sleep{Call: call, Stopped: th.doing.Stopped, GIL: gil}, th.frames)
	held := row.Detail.GIL
	row.Detail = cause.Detail(call, slept)
	row.Detail.GIL = held
	row.Cause, row.Culprit = cause.Blame(slept, busy, th.frames)
	if holder := heldBy(i, byState); row.Cause == model.CauseGIL && holder != nil && holder != th {
		row.Detail.Holder = &model.Holder{TID: holder.doing.TID, Frames: holder.frames}
		row.Detail.Holder.Thread = p.nameOf(holder)
	}
	return row
}

// nameOf returns the name of a thread that threading has for it, or else the kernel's.
func (p *proc) nameOf(t *thread) string {
	if p.names == nil {
		p.names = make(map[uint64]string)
		for addr := range p.interps {
			maps.Copy(p.names, p.runtime.ThreadNames(p.memory, addr))
		}
	}
	if name := p.names[t.state.ThreadID]; name != "" {
		return name
	}
	name, _ := p.process.ThreadName(t.doing.TID) // it may have ended
	return name
}

func heldBy(i *interp, byState map[uint64]*thread) *thread {
	if i == nil {
		return nil
	}
	return byState[i.holder]
}

// maxTaskFrames bounds the frames of all tasks of one process.
const maxTaskFrames = 50_000

// loopRow says what a loop does, and with it its tasks.
func (t *taking) loopRow(p *proc, th *thread, thread model.DumpThread, budget *int) model.DumpLoop {
	row := model.DumpLoop{DumpThread: thread, Loop: string(th.verdict.kind)}
	i := p.interps[th.state.Interp]
	if i == nil || i.tasks == nil || th.loop == 0 {
		return row
	}
	if !p.tasksTrue(th) {
		row.TasksTorn = true
		t.lose(reasonTornTasks, 1)
	}
	awaits := make(map[uint64][]string)
	for n := range i.listed.Tasks {
		task := &i.listed.Tasks[n]
		for _, by := range task.AwaitedBy {
			awaits[by] = append(awaits[by], taskID(task.Addr))
		}
	}
	for n := range i.listed.Tasks {
		task := &i.listed.Tasks[n]
		if task.Loop != th.loop {
			continue
		}
		out := model.DumpTask{ID: taskID(task.Addr), Name: task.Name, Awaits: awaits[task.Addr]}
		switch {
		case th.running != nil && th.running.Addr == task.Addr:
			out.Running = true
			row.Task = task.Name
			out.Frames = th.frames[:min(th.running.Depth+1, len(th.frames))]
		case task.Executing:
			out.Running = true
		default:
			out.Frames = p.stackOf(task)
		}
		if *budget -= len(out.Frames); *budget < 0 {
			row.MoreTasks++
			continue
		}
		if task.Cut {
			t.lose(reasonCut, 1)
		}
		row.Tasks = append(row.Tasks, out)
	}
	t.lose(reasonMoreTasks, row.MoreTasks)
	return row
}

// stackOf names the coroutines of a task that waits, innermost first.
func (p *proc) stackOf(task *asyncio.Pending) []model.Frame {
	raw := make([]cpython.RawFrame, len(task.Awaits))
	for i, s := range task.Awaits {
		raw[len(raw)-1-i] = s.Frame
	}
	return p.resolver.Frames(raw)
}

func taskID(addr uint64) string { return "0x" + strconv.FormatUint(addr, 16) }
