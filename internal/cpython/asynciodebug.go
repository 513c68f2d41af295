// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/loopwatch/loopwatch/internal/process"
)

// AsyncioDebug is what the _asyncio module says of itself from 3.14 on: struct
// _Py_AsyncioModuleDebugOffsets of Modules/_asynciomodule.c, in a section of its own.
type AsyncioDebug struct {
	TaskSize    uint32
	TaskName    uint32 // task: its name, a str or an int
	TaskCoro    uint32 // task: its coroutine
	RunningTask uint32 // PyThreadState: the task it runs
}

const asyncioDebugSize = 13 * 8

// ErrNoAsyncio says that no module is mapped that describes itself.
var ErrNoAsyncio = errors.New("the _asyncio module is not loaded, or does not say how it is laid out")

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
	for _, id := range order {
		img, err := images.get(p, files[id][0])
		if err != nil || img.asyncio == 0 {
			continue
		}
		bias, ok := img.bias(files[id], img.asyncio)
		if !ok {
			continue
		}
		var b [asyncioDebugSize]byte
		if err := p.Memory().Read(bias+img.asyncio, b[:]); err != nil {
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
	const size, name, coro, threadSize, running = 0, 1, 5, 9, 11
	for _, f := range []struct{ size, field uint64 }{{at(size), at(name)}, {at(size), at(coro)}, {at(threadSize), at(running)}} {
		if f.size > maxOffset || f.field%8 != 0 || f.field == 0 || f.field+8 > f.size {
			return AsyncioDebug{}, fmt.Errorf("how _asyncio is laid out makes no sense: %d in %d bytes", f.field, f.size)
		}
	}
	return AsyncioDebug{
		TaskSize: uint32(at(size)), TaskName: uint32(at(name)), TaskCoro: uint32(at(coro)), RunningTask: uint32(at(running)),
	}, nil
}
