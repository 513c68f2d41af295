// SPDX-License-Identifier: Apache-2.0

// Package asyncio reads asyncio's own state out of a process: which task a thread runs, and
// what it is called. In go a cpython.Runtime and the process's memory; out come the tasks, and
// where the kernel's walker finds the running one at the moment of a sample. All that is
// read is the process's making and may be garbage. A task is only believed to be a thread's
// where the frame of its coroutine is on the thread's stack.
package asyncio

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Layout is where an interpreter keeps the running tasks; offsets in bytes.
type Layout struct {
	Current  uint64 // address of the dict of running tasks by loop, 0 from 3.14 on
	InThread uint32 // PyThreadState: the running task, from 3.14 on
	Name     uint32 // task: what names it
	Coro     uint32 // task: its coroutine
}

// Tasks reads the tasks of one interpreter of a process.
type Tasks struct {
	Layout
	runtime *cpython.Runtime
	types   object.TextTypes     // of names
	debug   cpython.AsyncioDebug // from 3.14 on
	module  uint64               // dict of asyncio.tasks
	class   uint64               // the C type of tasks, to 3.13
	state   uint32               // task: int32, 0 while it is pending, to 3.13
	interp  uint64
}

// Task is an asyncio task.
type Task struct {
	Addr uint64
	Name object.Seen // what names it
	// Depth is how many frames of the thread that runs it are nearer to the leaf than its
	// coroutine's.
	Depth int
}

// ErrNone says that an interpreter has not imported asyncio.
var ErrNone = errors.New("asyncio is not imported")

// taskLayouts holds the size of a task and where it keeps its coroutine and its state, by minor release:
// TaskObj of Modules/_asynciomodule.c, which no header has. The name comes
// next to the coroutine, and before it what it waits for. The tests hold
// it against every interpreter there is, Find against the one at hand.
var taskLayouts = map[int]struct{ size, coro, state uint32 }{
	8:  {144, 112, 72},
	9:  {184, 152, 80},
	10: {192, 160, 88},
	11: {176, 136, 88},
	12: {176, 136, 88},
	13: {144, 120, 96},
}

// inThread holds where the releases from 3.14 on keep the running task of a thread, as they are usually built.
var inThread = map[int]uint32{14: 872, 15: 1032}

// Usual returns the layout of a minor release as it is usually built; Current, an address, is not known from that.
func Usual(minor int) (Layout, bool) {
	if known, ok := taskLayouts[minor]; ok {
		return Layout{Name: known.coro + 8, Coro: known.coro}, true
	}
	at, ok := inThread[minor]
	return Layout{InThread: at, Name: 136, Coro: 128}, ok
}

// Find finds out how the interpreter at interp keeps its tasks. The error matches ErrNone where
// asyncio is not imported, yet.
func Find(p *process.Process, rt *cpython.Runtime, interp uint64) (*Tasks, error) {
	t := &Tasks{runtime: rt, interp: interp}
	m := p.Memory()
	var err error
	if t.types, err = rt.TextTypes(m, interp); err != nil {
		return nil, err
	}
	if rt.Version.Minor() >= 14 {
		debug, err := rt.ReadAsyncioDebug(p)
		if errors.Is(err, cpython.ErrNoAsyncio) {
			return nil, ErrNone
		}
		if err != nil {
			return nil, err
		}
		t.debug = debug
		t.Layout = Layout{InThread: debug.RunningTask, Name: debug.TaskName, Coro: debug.TaskCoro}
		return t, nil
	}
	module, err := rt.Module(m, interp, "asyncio.tasks")
	if errors.Is(err, object.ErrNoKey) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, err
	}
	// The C accelerator's dict, which takes the place of the module's own.
	if t.Current, err = rt.Item(m, module, "_current_tasks"); err != nil {
		return nil, fmt.Errorf("look for the running tasks: %w", err)
	}
	class, err := rt.Item(m, module, "_CTask")
	if err != nil {
		return nil, fmt.Errorf("look for the type of tasks: %w", err)
	}
	size, err := rt.InstanceSize(m, class)
	if err != nil {
		return nil, fmt.Errorf("read the type of tasks: %w", err)
	}
	known, ok := taskLayouts[rt.Version.Minor()]
	if !ok || size != uint64(known.size) {
		return nil, fmt.Errorf("tasks of %d bytes are not known of CPython %s", size, rt.Version)
	}
	t.module, t.class = module, class
	t.Coro, t.Name, t.state = known.coro, known.coro+8, known.state
	return t, nil
}

// maxRunning bounds the loops of one process that are looked at.
const maxRunning = 64

// Running returns the task that the thread with the thread state at tstate runs, nil where it
// runs none. The answer is as true as the thread is still meanwhile.
func (t *Tasks) Running(m process.Memory, tstate uint64) (*Task, error) {
	candidates, err := t.candidates(m, tstate)
	if err != nil {
		return nil, err
	}
	byFrame := make(map[uint64]uint64)
	var frames []uint64
	for _, task := range candidates {
		if frame, err := t.frame(m, task); err == nil && frame != 0 {
			byFrame[frame] = task
			frames = append(frames, frame)
		}
	}
	if len(frames) == 0 {
		return nil, nil
	}
	frame, depth, err := t.runtime.InnermostOf(m, tstate, frames)
	if err != nil || frame == 0 {
		return nil, err
	}
	task, err := t.read(m, byFrame[frame])
	if err != nil {
		return nil, err
	}
	task.Depth = depth
	return task, nil
}

// candidates lists tasks that may be the thread's.
func (t *Tasks) candidates(m process.Memory, tstate uint64) ([]uint64, error) {
	if t.Current == 0 {
		task, err := words.At(m, tstate+uint64(t.InThread))
		if err != nil || task == 0 {
			return nil, err
		}
		return []uint64{task}, nil
	}
	entries, err := t.runtime.Dict(m, t.Current)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, e := range entries[:min(len(entries), maxRunning)] {
		out = append(out, e.Value)
	}
	return out, nil
}

// frame returns the address of the frame of a task's coroutine.
func (t *Tasks) frame(m process.Memory, task uint64) (uint64, error) {
	coro, err := words.At(m, task+uint64(t.Coro))
	if err != nil || coro == 0 {
		return 0, err
	}
	frame := coro + uint64(t.runtime.Layout.CoroFrame)
	if t.runtime.Version.Minor() >= 11 {
		return frame, nil
	}
	return words.At(m, frame)
}

// read copies what names a task.
func (t *Tasks) read(m process.Memory, task uint64) (*Task, error) {
	out := &Task{Addr: task}
	var err error
	if out.Name.Addr, err = words.At(m, task+uint64(t.Name)); err != nil {
		return nil, err
	}
	for _, n := range []int{64, 32} { // an int is shorter than a str
		out.Name.Object = make([]byte, n)
		if err = m.Read(out.Name.Addr, out.Name.Object); err == nil {
			return out, nil
		}
	}
	return nil, err
}

// NameOf returns a task's name as Task.get_name does.
func (t *Tasks) NameOf(m process.Memory, name object.Seen) (string, error) {
	text, number, isNumber, err := t.runtime.TextOrNumber(m, t.types, name)
	if err != nil {
		return "", fmt.Errorf("read the name of a task: %w", err)
	}
	if isNumber { // the name is made when it is first asked for (3.12 on)
		return "Task-" + strconv.FormatUint(number, 10), nil
	}
	return text, nil
}
