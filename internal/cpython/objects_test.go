// SPDX-License-Identifier: Apache-2.0

package cpython_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
)

// TestHugeLengths: what says of itself that it is endless is not read.
func TestHugeLengths(t *testing.T) {
	for _, rt := range layoutsToTry(t) {
		const object, typ, table = 0x10000, 0x20000, 0x30000
		w := words{
			object + uint64(rt.Layout.ObjectType): typ, typ + uint64(rt.Layout.TypeFlags): 1<<25 | 1<<26 | 1<<28 | 1<<4 | 1<<9,
			object + 16: 1 << 60, object + 24: table, object + 32: 1<<60 - 1, object + 40: table,
			object + uint64(rt.Layout.FuncClosure): object, table: 1 << 60,
		}
		for name, read := range map[string]func(m *memory) error{
			"items":           func(m *memory) error { _, err := rt.Items(m, object); return err },
			"set":             func(m *memory) error { _, err := rt.Set(m, object); return err },
			"WeakSet":         func(m *memory) error { _, err := rt.WeakSet(m, object); return err },
			"closure":         func(m *memory) error { _, err := rt.Closure(m, object); return err },
			"text":            func(m *memory) error { _, err := rt.Text(m, object, 1<<20); return err },
			"class attribute": func(m *memory) error { _, err := rt.ClassAttribute(m, object, "data"); return err },
			"attribute": func(m *memory) error {
				_, err := rt.Attribute(m, object, "data")
				return err
			},
		} {
			m := &memory{read: w.Read}
			require.Error(t, read(m), "%s of CPython %s", name, rt.Version)
			assert.Less(t, m.bytes, 4<<20, name)
			assert.Less(t, m.calls, 1000, name)
		}
	}
}

// TestAwaitCircleEnds: coroutines that await one another in a circle, and without an end.
func TestAwaitCircleEnds(t *testing.T) {
	for _, rt := range layoutsToTry(t) {
		const coroutine, typ, name = 0x100000, 0x20000, 0x30000
		wrapper := binary.LittleEndian.Uint64([]byte("coroutin"))
		rest := binary.LittleEndian.Uint64([]byte("e_wrappe"))
		last := binary.LittleEndian.Uint64(append([]byte("r"), make([]byte, 7)...))
		w := words{
			coroutine + uint64(rt.Layout.ObjectType): typ, coroutine + 16: coroutine, typ + uint64(rt.Layout.TypeName): name,
			name: wrapper, name + 8: rest, name + 16: last,
		}
		_, _, err := rt.Awaits(&memory{read: w.Read}, coroutine)
		assert.ErrorContains(t, err, "circle", rt.Version)

		// Every object wraps the next one.
		endless := func(addr uint64, p []byte) error {
			if addr < coroutine {
				return w.Read(addr, p)
			}
			clear(p)
			base := addr &^ 0xffff
			for off, value := range map[uint64]uint64{uint64(rt.Layout.ObjectType): typ, 16: base + 0x10000} {
				if at := base + off; at >= addr && at+8 <= addr+uint64(len(p)) {
					binary.LittleEndian.PutUint64(p[at-addr:], value)
				}
			}
			return nil
		}
		m := &memory{read: endless}
		_, _, err = rt.Awaits(m, coroutine)
		assert.ErrorIs(t, err, cpython.ErrCut, rt.Version)
		assert.Less(t, m.calls, 10*cpython.MaxAwaits)
	}
}

// TestObjectsOfGarbage: whatever memory holds, readers end without much work.
func TestObjectsOfGarbage(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, rt := range layoutsToTry(t) {
		for range 300 {
			m := &memory{read: func(addr uint64, p []byte) error {
				if r.IntN(8) == 0 {
					return errFault
				}
				for i := range p {
					p[i] = byte(r.IntN(256) & r.IntN(256) & r.IntN(256))
				}
				return nil
			}}
			at := r.Uint64()
			_, _, _ = rt.Awaits(m, at)
			_, _ = rt.Items(m, at)
			_, _ = rt.Set(m, at)
			_, _ = rt.WeakSet(m, at)
			_, _ = rt.Attribute(m, at, "data")
			_, _ = rt.Closure(m, at)
			_, _ = rt.Local(m, at, at, "end_time")
			_ = rt.ThreadNames(m, at)
			require.Less(t, m.bytes, 64<<20)
		}
	}
}
