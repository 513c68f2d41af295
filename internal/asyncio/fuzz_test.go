// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/testmemory"
)

// FuzzTasks reads whatever there is as tasks, of the releases that keep them in a set and of those that list them: it ends, and
// keeps to the bounds.
func FuzzTasks(f *testing.F) {
	page := make([]byte, 1024)
	for at := 0; at < len(page); at += 8 {
		binary.LittleEndian.PutUint64(page[at:], uint64(at*5%len(page)&^7))
	}
	for _, minor := range []byte{8, 10, 12, 13, 14} {
		f.Add(page, minor, uint64(256), byte(64), byte(96), byte(104))
	}
	f.Fuzz(func(t *testing.T, memory []byte, minor byte, at uint64, node, coro, name byte) {
		if len(memory) < 8 {
			return
		}
		rt := crowdRuntime()
		rt.Layout.KeysLog2, rt.Layout.KeysKind, rt.Layout.KeysCount, rt.Layout.KeysIndex = 9, 10, 24, 32
		if minor < 14 {
			version := release.MakeVersion(3, minor, 0)
			layout, err := release.Measured(version)
			if err != nil {
				return
			}
			rt = &cpython.Runtime{Reader: object.Reader{Version: version, Layout: layout}}
		}
		tasks := &Tasks{runtime: rt, interp: at, module: at, class: at, Layout: Layout{Current: at, Coro: uint32(coro), Name: uint32(name)}}
		if minor >= 14 {
			tasks.debug = crowdDebug
			tasks.debug.TaskNode, tasks.debug.TaskCoro, tasks.debug.TaskName = uint32(node), uint32(coro), uint32(name)
			tasks.Current, tasks.InThread = 0, 16
		}
		m := &testmemory.Everywhere{Bytes: memory, Left: 1 << 20}
		thread := cpython.Thread{Addr: at, Interp: at}
		const space = 1 << 16
		listed, _ := tasks.List(m, []cpython.Thread{thread}, NewBudget(), space)
		require.LessOrEqual(t, len(listed.Tasks), space/costTask)
		m.Left = 1 << 20
		if task, err := tasks.Running(m, at); err == nil && task != nil {
			_, _ = tasks.NameOf(m, task.Name)
		}
		m.Left = 1 << 20
		_ = tasks.IsUVLoop(m, tasks.RunningLoop(m, thread))
		_, _ = Calls(rt, m, at)
		m.Left = 1 << 20
		_, _ = tasks.QueueOf(m, at)
		_ = tasks.DefaultExecutor(m, at)
		m.Left = 1 << 20
		if chain, _, err := rt.Awaits(m, at); err == nil {
			_, _ = tasks.HeldBy(m, chain)
		}
	})
}
