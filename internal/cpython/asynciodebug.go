// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/loopwatch/loopwatch/internal/cpython/image"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/process"
)

// AsyncioDebug is what the _asyncio module says of itself from 3.14 on: struct
// _Py_AsyncioModuleDebugOffsets of Modules/_asynciomodule.c, in a section of its own.
type AsyncioDebug struct {
	TaskSize      uint32
	TaskName      uint32 // task: its name, a str or an int
	TaskCoro      uint32 // task: its coroutine
	TaskAwaitedBy uint32 // task: the task that awaits it, or a set of them
	TaskBySet     uint32 // task: 1 byte, whether it is a set
	TaskNode      uint32 // task: its place in a list, two pointers
	InterpTasks   uint32 // PyInterpreterState: list of the tasks whose thread has ended
	RunningLoop   uint32 // PyThreadState: the loop it runs
	RunningTask   uint32 // PyThreadState: the task it runs
	ThreadTasks   uint32 // PyThreadState: list of its tasks
}

// ErrNoAsyncio says that no module is mapped that describes itself.
var ErrNoAsyncio = errors.New("the _asyncio module is not loaded, or does not say how it is laid out")

// maxAsyncioFiles bounds the files that may be the module.
const maxAsyncioFiles = 16

// ReadAsyncioDebug reads what the _asyncio module of a process says of itself. The module is a
// file of its own or part of the one that holds the runtime.
func (r *Runtime) ReadAsyncioDebug(p *process.Process) (AsyncioDebug, error) {
	maps, err := p.Maps()
	if err != nil {
		return AsyncioDebug{}, err
	}
	files := map[process.FileID][]process.Mapping{}
	var order []process.FileID
	for _, m := range maps {
		if m.Inode == 0 || m.Path != r.Path && !strings.HasPrefix(m.Name(), "_asyncio.") {
			continue
		}
		if files[m.File()] == nil {
			order = append(order, m.File())
		}
		files[m.File()] = append(files[m.File()], m)
	}
	images := r.Images.Files(p)
	for _, id := range order[:min(len(order), maxAsyncioFiles)] {
		img, err := images.Get(files[id][0])
		if err != nil || img.Asyncio == 0 {
			continue
		}
		bias, ok := img.Bias(image.NewMappings(files[id]), img.Asyncio)
		if !ok {
			continue
		}
		var b [image.AsyncioSize]byte
		if err := p.Memory().Read(bias+img.Asyncio, b[:]); err != nil {
			return AsyncioDebug{}, fmt.Errorf("read how _asyncio is laid out: %w", err)
		}
		return parseAsyncioDebug(b[:])
	}
	return AsyncioDebug{}, ErrNoAsyncio
}

// parseAsyncioDebug takes the numbers in their order: of a task the size, name, awaited_by,
// is_task, awaited_by_is_set, coro and node; of an interpreter the size and list of tasks; of a
// thread the size, running loop, running task and list of tasks.
func parseAsyncioDebug(b []byte) (AsyncioDebug, error) {
	at := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	const size, name, awaitedBy, isSet, coro, node = 0, 1, 2, 4, 5, 6
	const interpSize, interpTasks, threadSize, loop, running, tasks = 7, 8, 9, 10, 11, 12
	for _, f := range []struct{ size, most, field, width, align uint64 }{
		{at(size), release.MaxOffset, at(name), 8, 8},
		{at(size), release.MaxOffset, at(awaitedBy), 8, 8},
		{at(size), release.MaxOffset, at(isSet), 1, 1},
		{at(size), release.MaxOffset, at(coro), 8, 8},
		{at(size), release.MaxOffset, at(node), 16, 8},
		{at(interpSize), release.MaxLargeOffset, at(interpTasks), 16, 8},
		{at(threadSize), release.MaxOffset, at(loop), 8, 8},
		{at(threadSize), release.MaxOffset, at(running), 8, 8},
		{at(threadSize), release.MaxOffset, at(tasks), 16, 8},
	} {
		if f.size > f.most || f.field%f.align != 0 || f.field == 0 || f.field > f.size || f.field+f.width > f.size {
			return AsyncioDebug{}, fmt.Errorf("how _asyncio is laid out makes no sense: %d in %d bytes", f.field, f.size)
		}
	}
	return AsyncioDebug{
		TaskSize: uint32(at(size)), TaskName: uint32(at(name)), TaskCoro: uint32(at(coro)),
		TaskAwaitedBy: uint32(at(awaitedBy)), TaskBySet: uint32(at(isSet)), TaskNode: uint32(at(node)),
		InterpTasks: uint32(at(interpTasks)), RunningLoop: uint32(at(loop)), RunningTask: uint32(at(running)), ThreadTasks: uint32(at(tasks)),
	}, nil
}
