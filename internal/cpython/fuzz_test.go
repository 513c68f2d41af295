// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/testmemory"
)

// FuzzRuntime has a runtime that describes itself, or is of a release that does not, read with all there is to read: it ends, and
// keeps to the bounds, whatever the memory says.
func FuzzRuntime(f *testing.F) {
	page := make([]byte, 2048)
	copy(page, "xdebugpy")
	for minor := range byte(16) {
		binary.LittleEndian.PutUint64(page[8:], uint64(release.MakeVersion(3, minor, 0)))
		for at := 24; at < 1024; at += 8 {
			binary.LittleEndian.PutUint64(page[at:], uint64(at)%96&^7)
		}
		for at := 1024; at < len(page); at += 8 {
			binary.LittleEndian.PutUint64(page[at:], uint64(at*3%len(page)&^7))
		}
		f.Add(page, minor, uint64(1024), uint64(1500))
	}
	f.Fuzz(func(t *testing.T, memory []byte, minor byte, object, other uint64) {
		if len(memory) < 16 {
			return
		}
		m := &testmemory.Everywhere{Bytes: memory, Left: 1 << 20}
		r := runtimeOf(m, minor)
		if r == nil {
			return
		}
		readAll(t, r, m, object, other)
	})
}

// runtimeOf returns the runtime at the beginning of a memory, or one of a release whose layout was measured; nil: there is none.
func runtimeOf(m process.Memory, minor byte) *Runtime {
	r := &Runtime{}
	r.Hints = &object.Hints{}
	var err error
	if r.Version, r.Layout, err = release.ReadDebugOffsets(m, 0); err == nil {
		return r
	}
	r.Version = release.MakeVersion(3, minor, 0)
	if r.Layout, err = release.Measured(r.Version); err != nil {
		return nil
	}
	return r
}

func readAll(t *testing.T, r *Runtime, m *testmemory.Everywhere, at, other uint64) {
	again := func() { m.Left = 1 << 20 }
	_ = r.Ready(m)
	threads, _ := r.Threads(m)
	require.LessOrEqual(t, len(threads), maxThreads)
	for _, thread := range append(threads[:min(len(threads), 2)], Thread{Addr: at}) {
		again()
		frames, addrs, _ := r.StackAt(m, thread.Addr, 64)
		require.LessOrEqual(t, len(frames), 64)
		again()
		_, _, _ = r.InnermostOf(m, thread.Addr, addrs)
		codes := []uint64{at, other}
		for _, frame := range frames[:min(len(frames), 8)] {
			codes = append(codes, frame.Code)
		}
		again()
		for i, c := range r.ReadCodes(m, codes, math.MaxInt) {
			if c.Err == nil {
				_ = c.Code.Line(int32(other))
				_ = r.IsCode(m, codes[i], c.Code)
			}
		}
		_, _, _ = r.Globals(m, thread.Addr, other, 64)
	}
	again()
	_ = r.ThreadNames(m, at)
	again()
	chain, _, _ := r.Awaits(m, at)
	require.LessOrEqual(t, len(chain), MaxAwaits)
	_, _ = r.Local(m, at, other, "self")
	for _, read := range []func(){
		func() { _, _ = r.Callable(m, at) },
		func() { _, _ = r.Attribute(m, at, "_name") },
		func() { _, _ = r.ClassAttribute(m, at, "_name") },
		func() { _, _ = r.WeakSet(m, at) },
		func() { _, _ = r.Set(m, at) },
		func() { _, _ = r.Items(m, at) },
		func() { _, _ = r.Closure(m, at) },
		func() { _, _ = r.Name(m, at) },
		func() { _, _ = r.Text(m, at, 1<<16) },
		func() { _, _ = r.Float(m, at) },
		func() { _, _ = r.Unsigned(m, at) },
		func() { _, _ = r.TextTypes(m, at) },
		func() { _, _ = r.Item(m, at, "key"); _, _ = r.ItemOf(m, at, "other key") },
	} {
		again()
		read()
	}
}
