// SPDX-License-Identifier: Apache-2.0

package track

import (
	"errors"
	"time"

	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/python"
)

// tasks is how one interpreter of a process keeps its asyncio tasks.
type tasks struct {
	reader *asyncio.Tasks // nil until the kernel knows of it
	layout uint32         // the kernel's, with it
	at     time.Time      // of the last attempt
}

// Bounds of looking for a process's tasks.
const (
	lookAgainAfter = time.Second
	maxInterps     = 64
)

// findTasks looks for the tasks of a loop's interpreter, so that the kernel can name the running
// one. Not every loop is asyncio's, and the program may import it later.
func (c *Tracker) findTasks(t *thread) {
	if t.canNameTasks() || t.state.Interp == 0 {
		return
	}
	known := t.proc.tasks[t.state.Interp]
	if known == nil {
		if len(t.proc.tasks) >= maxInterps {
			return
		}
		known = &tasks{}
		t.proc.tasks[t.state.Interp] = known
	}
	t.tasks = known
	if known.reader != nil || time.Since(known.at) < lookAgainAfter {
		return
	}
	known.at = time.Now()
	reader, err := t.proc.FindTasks(t.state.Interp)
	if errors.Is(err, asyncio.ErrNone) {
		return
	}
	if err == nil {
		known.layout, err = c.layouts.AddTasks(&t.proc.layouts, &t.proc.Runtime.Layout, reader.Layout)
	}
	if err != nil {
		if t.proc.Same() { // else it has just ended
			c.lost[reasonTasks]++
		}
		return
	}
	known.reader = reader
}

// findTasksAhead has the process find what findTasks is likely to ask it for. It only reads, so many processes can do so at
// once. A process without a loop of asyncio's finds nothing.
func findTasksAhead(p *python.Process) {
	if interp := p.FirstInterpreter(); interp != 0 {
		_, _ = p.FindTasks(interp)
	}
}

func (t *thread) canNameTasks() bool { return t.tasks != nil && t.tasks.reader != nil }

// taskName names the task of a sample whose stack is given by name. A long name is read now: the
// sooner the better.
func (t *thread) taskName(s *wire.Sample, frames []model.Frame) string {
	if s.Task == nil || !t.canNameTasks() {
		return ""
	}
	// A process forked in the middle of a task has all that the parent's loop had. The loop it
	// runs itself stands further in, and what that calls is none of the parent's task.
	inside := frames[:min(s.Task.Depth, len(frames))]
	if eventloop.Classify(inside, t.proc.Modules).Running {
		return ""
	}
	name, err := t.tasks.reader.NameOf(t.proc.Memory, object.Seen{Addr: s.Task.Name, Object: s.Task.Object})
	if err != nil {
		t.proc.unnamedTasks++
		return ""
	}
	return name
}

// runningTask reads from user space what the kernel would have seen in a sample.
func (t *thread) runningTask() *wire.Task {
	if !t.canNameTasks() {
		return nil
	}
	task, err := t.tasks.reader.Running(t.proc.Memory, t.state.Addr)
	if err != nil {
		t.proc.unnamedTasks++
	}
	if err != nil || task == nil {
		return nil
	}
	return &wire.Task{Addr: task.Addr, Name: task.Name.Addr, Object: task.Name.Object, Depth: task.Depth}
}
