// SPDX-License-Identifier: Apache-2.0

package cpython_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/cpythontest"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

var errFault = errors.New("no such address")

// memory is a process's memory made up by a test. It counts what is asked of it.
type memory struct {
	read  func(addr uint64, p []byte) error
	calls int
	bytes int
}

func (m *memory) Read(addr uint64, p []byte) error {
	m.calls++
	m.bytes += len(p)
	return m.read(addr, p)
}

// words is memory of 8-byte words; what is not set reads as zero, and nothing is mapped below
// a page.
type words map[uint64]uint64

func (w words) Read(addr uint64, p []byte) error {
	if addr < 4096 {
		return errFault
	}
	for i := range p {
		a := addr + uint64(i)
		p[i] = byte(w[a&^7] >> (8 * (a & 7)))
	}
	return nil
}

// layoutsToTry returns a runtime of each interpreter at hand, with its real layout.
func layoutsToTry(t *testing.T) []*cpython.Runtime {
	var out []*cpython.Runtime
	for _, py := range testpython.All(t) {
		prog := testpython.Start(t, py.Command("-c", "import time; print(1); time.sleep(600)"))
		prog.ReadLine(t)
		_, rt := cpythontest.Locate(t, prog.PID)
		out = append(out, rt)
	}
	return out
}

func TestFrameCircleEnds(t *testing.T) {
	for _, rt := range layoutsToTry(t) {
		l := rt.Layout
		const tstate, cframe, a, b, code = 0x10000, 0x18000, 0x20000, 0x30000, 0x40000
		w := words{
			a + uint64(l.FrameBack): b, b + uint64(l.FrameBack): a,
			a + uint64(l.FrameCode): code, b + uint64(l.FrameCode): code,
		}
		if l.ViaCFrame != 0 {
			w[tstate+uint64(l.ThreadFrame)] = cframe
			w[cframe+uint64(l.CFrameFrame)] = a
		} else {
			w[tstate+uint64(l.ThreadFrame)] = a
		}
		m := &memory{read: w.Read}
		frames, err := rt.Stack(m, tstate, 1000)
		assert.ErrorIs(t, err, cpython.ErrCut)
		assert.Len(t, frames, 1000)
		assert.Less(t, m.calls, 1100)

		if l.ShimOwners == 0 {
			continue
		}
		// A circle of shims yields no frame at all and ends nevertheless.
		word := (a + uint64(l.FrameOwner)) &^ 7
		w[word] |= 3 << (8 * ((a + uint64(l.FrameOwner)) & 7))
		w[a+uint64(l.FrameBack)] = a
		m = &memory{read: w.Read}
		frames, err = rt.Stack(m, tstate, 1000)
		assert.ErrorIs(t, err, cpython.ErrCut)
		assert.Empty(t, frames)
		assert.Less(t, m.calls, 1<<17)
	}
}

func TestThreadCircleEnds(t *testing.T) {
	for _, rt := range layoutsToTry(t) {
		l := rt.Layout
		const interp, a, b = 0x10000000, 0x20000, 0x30000
		w := words{
			rt.Addr + uint64(l.RuntimeInterpreters): interp,
			interp + uint64(l.InterpThreads):        a,
			a + uint64(l.ThreadNext):                b, a + uint64(l.ThreadInterp): interp, a + uint64(l.ThreadID): 1,
			b + uint64(l.ThreadNext): a, b + uint64(l.ThreadInterp): interp, b + uint64(l.ThreadID): 2,
		}
		m := &memory{read: w.Read}
		threads, err := rt.Threads(m)
		assert.ErrorContains(t, err, "circle")
		assert.Len(t, threads, 2)
		assert.Less(t, m.calls, 20)

		// An interpreter that is its own successor.
		w[b+uint64(l.ThreadNext)] = 0
		w[interp+uint64(l.InterpNext)] = interp
		_, err = rt.Threads(&memory{read: w.Read})
		assert.ErrorContains(t, err, "circle")

		// A list without end: every address is a thread state that leads to the next.
		endless := func(addr uint64, p []byte) error {
			clear(p)
			base := addr &^ 0xffff
			for off, value := range map[uint32]uint64{l.ThreadNext: base + 0x10000, l.ThreadInterp: interp, l.ThreadID: 7} {
				if at := base + uint64(off); at >= addr && at+8 <= addr+uint64(len(p)) {
					binary.LittleEndian.PutUint64(p[at-addr:], value)
				}
			}
			if addr == rt.Addr+uint64(l.RuntimeInterpreters) {
				binary.LittleEndian.PutUint64(p, interp)
			}
			if addr == interp+uint64(l.InterpThreads) {
				binary.LittleEndian.PutUint64(p, 0x50000000)
			}
			return nil
		}
		m = &memory{read: endless}
		threads, err = rt.Threads(m)
		assert.ErrorIs(t, err, cpython.ErrCut)
		assert.LessOrEqual(t, len(threads), 4096)
		assert.Greater(t, len(threads), 4000)
		assert.Less(t, m.calls, 5000)
	}
}

func TestCodeObjectsOfGarbage(t *testing.T) {
	for _, rt := range layoutsToTry(t) {
		l := rt.Layout
		const code, name, file, table = 0x10000, 0x20000, 0x30000, 0x40000
		good := func() words {
			state := uint64(1<<l.StrKindBit | 1<<l.StrCompactBit | 1<<l.StrASCIIBit)
			w := words{
				code + uint64(l.ObjectType): rt.CodeType,
				code:                        2,
				code + uint64(l.CodeName):   name,
				code + uint64(l.CodeFile):   file,
				code + uint64(l.CodeLines):  table,
			}
			if l.CodeQualName != 0 {
				w[code+uint64(l.CodeQualName)] = name
			}
			for _, s := range []uint64{name, file} {
				w[s+uint64(l.StrLength)] = 3
				w[s+uint64(l.StrState)] = state
				w[s+uint64(l.StrASCII)] = 0x636261
			}
			return w
		}
		c, err := rt.ReadCode(good(), code)
		require.NoError(t, err)
		assert.Equal(t, "abc", c.Name)
		assert.Equal(t, "abc", c.File)

		for what, spoil := range map[string]func(words){
			"another type":         func(w words) { w[code+uint64(l.ObjectType)]++ },
			"freed":                func(w words) { w[code] = 0 },
			"freed before another": func(w words) { w[code] = 0x7f0012345670 },
			"no name":              func(w words) { w[code+uint64(l.CodeName)] = 0 },
			"wild file name":       func(w words) { w[code+uint64(l.CodeFile)] = 8 },
			"negative length":      func(w words) { w[name+uint64(l.StrLength)] = 1 << 63 },
			"unknown kind":         func(w words) { w[name+uint64(l.StrState)] = 5 << l.StrKindBit },
			"kind 0":               func(w words) { w[name+uint64(l.StrState)] = 0 },
			"wild characters":      func(w words) { w[name+uint64(l.StrState)] = 1 << l.StrKindBit },
			"beyond Unicode": func(w words) {
				w[name+uint64(l.StrState)] = 4<<l.StrKindBit | 1<<l.StrCompactBit
				w[name+uint64(l.StrCompact)] = 0x110000
			},
			"enormous line table": func(w words) { w[table+uint64(l.BytesSize)] = 1 << 60 },
			"negative line table": func(w words) { w[table+uint64(l.BytesSize)] = 1 << 63 },
			"no line table":       func(w words) { w[code+uint64(l.CodeLines)] = 0 },
		} {
			w := good()
			spoil(w)
			m := &memory{read: w.Read}
			_, err := rt.ReadCode(m, code)
			assert.Error(t, err, "%s: %s", rt.Version, what)
			assert.Less(t, m.bytes, 1<<16, what)
		}

		// A length of 2^60 is cut, not read.
		w := good()
		w[name+uint64(l.StrLength)] = 1 << 60
		m := &memory{read: w.Read}
		c, err = rt.ReadCode(m, code)
		require.NoError(t, err)
		assert.True(t, c.Cut)
		assert.Equal(t, object.MaxString, len(strings.TrimSuffix(c.Name, "…")))
		assert.Less(t, m.bytes, 1<<16)
	}
}

// The code of a module makes room for that of the next, which looks the same but for its path.
func TestNextModuleAtTheSameAddress(t *testing.T) {
	for _, rt := range layoutsToTry(t) {
		l := rt.Layout
		const code, name, first, second, table = 0x10000, 0x20000, 0x30000, 0x30040, 0x40000
		w := words{
			code: 1, code + uint64(l.ObjectType): rt.CodeType, code + uint64(l.CodeName): name,
			code + uint64(l.CodeFile): first, code + uint64(l.CodeLines): table,
		}
		w[(code+uint64(l.CodeLine))&^7] = 1 << (8 * (l.CodeLine & 7))
		if l.CodeQualName != 0 {
			w[code+uint64(l.CodeQualName)] = name
		}
		for at, text := range map[uint64]uint64{name: 0x656d616e, first: 0x31797020, second: 0x32797020} {
			w[at+uint64(l.StrLength)] = 4
			w[at+uint64(l.StrState)] = 1<<l.StrKindBit | 1<<l.StrCompactBit | 1<<l.StrASCIIBit
			w[at+uint64(l.StrASCII)] = text
		}
		before, err := rt.ReadCode(w, code)
		require.NoError(t, err)
		assert.True(t, rt.IsCode(w, code, before))

		w[code+uint64(l.CodeFile)] = second
		after, err := rt.ReadCode(w, code)
		require.NoError(t, err)
		assert.Equal(t, before.FirstLine, after.FirstLine)
		assert.NotEqual(t, before.File, after.File)
		assert.NotEqual(t, before.Check, after.Check)
		assert.False(t, rt.IsCode(w, code, before))
	}
}

// TestRandomMemory reads structures out of noise: whatever comes of it, it comes of little reading.
func TestRandomMemory(t *testing.T) {
	for _, rt := range layoutsToTry(t) {
		rng := rand.New(rand.NewPCG(1, uint64(rt.Version)))
		noise := &memory{read: func(addr uint64, p []byte) error {
			if addr < 4096 || rng.IntN(50) == 0 {
				return errFault
			}
			for i := range p {
				p[i] = byte(rng.Uint32())
			}
			if rng.IntN(2) == 0 {
				clear(p)
			}
			return nil
		}}
		const rounds = 2000
		for range rounds {
			_, _ = rt.Threads(noise)
			_, _ = rt.Stack(noise, 0x10000, 256)
			_, _ = rt.ReadCode(noise, 0x10000)
			untyped := *rt
			untyped.CodeType = 0
			_, _ = untyped.ReadCode(noise, 0x10000)
		}
		assert.Less(t, noise.calls, 100*rounds, rt.Version)
		assert.Less(t, noise.bytes, 3*4096*rounds, rt.Version) // frames are read a page at a time
	}
}

// TestCodeTypeByName reads real code objects without knowing where their type is.
func TestCodeTypeByName(t *testing.T) {
	for _, py := range testpython.All(t) {
		prog := testpython.Start(t, py.Command("-c", "import time; print(1); time.sleep(600)"))
		prog.ReadLine(t)
		p, rt := cpythontest.Locate(t, prog.PID)
		m := p.Memory()
		threads, err := rt.Threads(m)
		require.NoError(t, err)
		require.Len(t, threads, 1)
		raw, err := rt.Stack(m, threads[0].Addr, 10)
		require.NoError(t, err)
		require.Len(t, raw, 1)
		require.NotZero(t, rt.CodeType)
		rt.CodeType = 0
		code, err := rt.ReadCode(m, raw[0].Code)
		require.NoError(t, err)
		assert.Equal(t, "<module>", code.Name)
		_, err = rt.ReadCode(m, threads[0].Interp)
		assert.Error(t, err)
	}
}
