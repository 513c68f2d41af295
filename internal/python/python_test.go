// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/locate"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/process"
)

// gone is a process id above the kernel's limit (PID_MAX_LIMIT).
const gone = 1<<22 + 1

func TestRefusals(t *testing.T) {
	here := os.Getpid()
	for _, test := range []struct {
		pid         int
		err         error
		kind        Kind
		reason      string
		watch, look string
	}{
		{here, &release.UnsupportedError{Reason: "PyPy"}, Unsupported, "PyPy", "see the list of supported interpreters in the README", "see the list of supported interpreters in the README"},
		{here, locate.ErrNotPython, NotPython, "it is not a Python process",
			"give the process id of a running Python process, or leave out --pid to watch all", "give the id of a running Python process, or none to see all"},
		{here, fmt.Errorf("wrapped: %w", cpython.ErrNotReady), Starting, "its interpreter is just starting or ending", "nothing: it is looked at again as it goes on", "try again in a moment"},
		{gone, fs.ErrNotExist, Gone, "there is no such process",
			"give the process id of a running Python process, or leave out --pid to watch all", "give the id of a running Python process, or none to see all"},
		{gone, &release.UnsupportedError{Reason: "PyPy"}, Unsupported, "PyPy", "see the list of supported interpreters in the README", "see the list of supported interpreters in the README"},
		{here, errors.New("input/output error\nand more"), Unreadable, "unreadable: input/output error", "run loopwatch as root on the host itself", "run loopwatch as root on the host itself"},
	} {
		r := &Refusal{PID: test.pid, Err: test.err}
		assert.Equal(t, test.kind, r.Kind(), test.err)
		reason, do := r.Explain(Watch)
		assert.Equal(t, []string{test.reason, test.watch}, []string{reason, do})
		reason, do = r.Explain(LookAt)
		assert.Equal(t, []string{test.reason, test.look}, []string{reason, do})
	}
	r := &Refusal{PID: 7, Err: locate.ErrNotPython}
	assert.Equal(t, "cannot look at process 7: it is not a Python process; give the id of a running Python process, or none to see all", r.Answer(LookAt).Error())
	assert.Contains(t, r.Answer(Watch).Error(), "cannot watch process 7: ")
}

func TestOpenAll(t *testing.T) {
	also := make(chan Opened, 2)
	out := NewOpener(nil).OpenAll(t.Context(), []int{gone, os.Getpid()}, func(o Opened) { also <- o })
	require.Len(t, out, 2)
	assert.Equal(t, Gone, out[0].Refusal.Kind())
	assert.Equal(t, gone, out[0].Refusal.PID)
	assert.Equal(t, NotPython, out[1].Refusal.Kind())
	assert.NotEmpty(t, out[1].Refusal.Command)
	assert.Len(t, also, 2)
	assert.Empty(t, NewOpener(nil).OpenAll(t.Context(), nil, nil))

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, []Opened{{}}, NewOpener(nil).OpenAll(ended, []int{os.Getpid()}, nil), "it looks at no more")
}

// The mappings are read when first asked for, and again where they may be out of date.
func TestModules(t *testing.T) {
	code := func(start uint64, path string) process.Mapping {
		return process.Mapping{Start: start, End: start + 0x1000, Perms: "r-xp", Path: path}
	}
	reads := 0
	maps := []process.Mapping{code(0x1000, "/usr/bin/python3")}
	var failure error
	m := NewModules(func() ([]process.Mapping, error) { reads++; return maps, failure }, &cpython.Runtime{Path: "/usr/bin/python3"})
	assert.Zero(t, reads)
	name, interpreter := m.Find(0x1010)
	assert.Equal(t, "python3", name)
	assert.True(t, interpreter)
	assert.False(t, m.Extension("uvloop"))
	assert.Equal(t, 1, reads)

	maps = append(maps, code(0x2000, "/venv/uvloop/loop.so"))
	name, _ = m.Find(0x2010)
	assert.Empty(t, name)
	name, interpreter = m.FindFresh(0x2010)
	assert.Equal(t, "loop.so", name)
	assert.False(t, interpreter)
	assert.True(t, m.Extension("uvloop"))
	assert.Equal(t, 2, reads)

	failure = errors.New("gone")
	m.Refresh()
	assert.True(t, m.Extension("uvloop"), "what is known stays")
}

func TestUnreadableModules(t *testing.T) {
	m := NewModules(func() ([]process.Mapping, error) { return nil, errors.New("gone") }, &cpython.Runtime{})
	assert.False(t, m.Extension("uvloop"))
	name, _ := m.FindFresh(0x1000)
	assert.Empty(t, name)
}

// memory is made of 8-byte words.
type memory map[uint64]uint64

func (m memory) Read(addr uint64, p []byte) error {
	word, ok := m[addr]
	if !ok {
		return errors.New("not mapped")
	}
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], word)
	copy(p, b[:])
	return nil
}

// processOf is one whose interpreter state and GIL lie at 0x2000 and 0x3000.
func processOf(l release.Layout, m memory) *Process {
	return &Process{Runtime: &cpython.Runtime{Addr: 0x1000, Reader: object.Reader{Layout: l}}, Memory: m}
}

func TestInterpreterOf3_11(t *testing.T) {
	l := release.Layout{RuntimeInterpreters: 8, RuntimeGIL: 0x500, GILSize: 0x80, GILLocked: 0x10, GILLastHolder: 0x8, InterpThreads: 0x20, InterpGCCollecting: 0x40}
	m := memory{0x1008: 0x2000, 0x1510: 1, 0x1508: 0x9000, 0x2040: 0}
	p := processOf(l, m)
	assert.EqualValues(t, 0x2000, p.FirstInterpreter())
	i := p.Interpreter(0x2000)
	assert.Equal(t, Interpreter{Addr: 0x2000, GIL: 0x1500, GILSize: 0x80, Collecting: 0x2040, Threads: 0x2020}, i)
	assert.EqualValues(t, 0x9000, p.GILHolder(i))
	assert.False(t, p.Collects(i))
	m[0x1510], m[0x2040] = 0, 1
	assert.Zero(t, p.GILHolder(i), "nobody holds it")
	assert.True(t, p.Collects(i))

	assert.True(t, i.IsGIL(0x1500))
	assert.True(t, i.IsGIL(0x157f))
	assert.False(t, i.IsGIL(0x1580))
	assert.False(t, i.IsGIL(0x14ff))
	assert.Equal(t, Interpreter{GIL: 0x1500, GILSize: 0x80}, p.Interpreter(0), "what the process shares")
}

func TestInterpreterOf3_12(t *testing.T) {
	l := release.Layout{RuntimeInterpreters: 8, InterpGIL: 0x60, GILSize: 0x80, GILLocked: 0x10, GILLastHolder: 0x8, InterpGCCollecting: 0x40}
	p := processOf(l, memory{0x2060: 0x3000, 0x3010: 1, 0x3008: 0x9000})
	i := p.Interpreter(0x2000)
	assert.EqualValues(t, 0x3000, i.GIL)
	assert.EqualValues(t, 0x9000, p.GILHolder(i))
	assert.False(t, p.Collects(i), "unreadable")
	assert.Zero(t, p.FirstInterpreter(), "unreadable")

	unknown := p.Interpreter(0x8000)
	assert.False(t, unknown.IsGIL(0), "no futex is known to be the GIL's")
	assert.Zero(t, p.GILHolder(unknown))
}

// While a thread starts, its state carries the thread pointer of the thread that made it.
func TestByThreadIDTakesTheOldest(t *testing.T) {
	newest, oldest := cpython.Thread{Addr: 2, ThreadID: 7}, cpython.Thread{Addr: 1, ThreadID: 7}
	assert.Equal(t, map[uint64]cpython.Thread{7: oldest}, (&Process{}).ByThreadID([]cpython.Thread{newest, oldest}))
}
