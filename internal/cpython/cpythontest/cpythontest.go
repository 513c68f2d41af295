// SPDX-License-Identifier: Apache-2.0

// Package cpythontest holds stacks that are read from outside against what Python itself says of them, for the tests of
// cpython and of locate. In goes an interpreter that runs Places; a difference fails the test.
package cpythontest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/locate"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

//go:embed places.py
var places string

// Places returns the source of a program whose threads block in many kinds of places. Its first line of output says where.
func Places() string { return places }

// place is what a thread of places.py says of itself.
type place struct {
	ID, Native uint64
	Frames     []placeFrame
}

type placeFrame struct {
	Function, Name, File string
	Line, First          int
}

func (f placeFrame) String() string {
	return fmt.Sprintf("%s (%s) %s:%d [%d]", f.Function, f.Name, f.File, f.Line, f.First)
}

// cut shortens as readStr does.
func cut(s string) string {
	if r := []rune(s); len(r) > object.MaxString {
		return string(r[:object.MaxString]) + "…"
	}
	return s
}

func describe(frames []placeFrame) []string {
	out := make([]string, 0, len(frames))
	for _, f := range frames {
		f.Function, f.Name, f.File = cut(f.Function), cut(f.Name), cut(f.File)
		out = append(out, f.String())
	}
	return out
}

// Seen returns the stack of a thread, read from outside: a line for each frame, innermost first.
func Seen(t *testing.T, rt *cpython.Runtime, m process.Memory, tstate uint64) []string {
	t.Helper()
	raw, err := rt.Stack(m, tstate, 4096)
	if err != nil {
		return []string{err.Error()}
	}
	out := make([]string, 0, len(raw))
	for _, f := range raw {
		code, err := rt.ReadCode(m, f.Code)
		if err != nil {
			return append(out, err.Error())
		}
		if code.Check != f.Check {
			return append(out, "check differs")
		}
		function := code.QualName
		if rt.Version.Minor() < 11 {
			assert.Empty(t, code.QualName)
			function = code.Name
		}
		out = append(out, placeFrame{function, code.Name, code.File, code.Line(f.Instr), code.FirstLine}.String())
	}
	return out
}

// Locate opens a process and finds its runtime.
func Locate(t *testing.T, pid int) (*process.Process, *cpython.Runtime) {
	t.Helper()
	p, err := process.Open(pid)
	require.NoError(t, err)
	rt, err := locate.New().Locate(p)
	require.NoError(t, err)
	return p, rt
}

// CheckStacks holds every stack of a process that runs Places against what it said.
func CheckStacks(t *testing.T, py testpython.Interp, pid int, said string) {
	t.Helper()
	var want map[string]place
	require.NoError(t, json.Unmarshal([]byte(said), &want))
	require.Equal(t, strings.Count(places, "\n@scenario\n")+1, len(want), "every scenario has a say, and the main thread")
	require.Greater(t, len(want["recursion"].Frames), 1000)

	p, rt := Locate(t, pid)
	assert.Equal(t, py.Version, strings.TrimSuffix(rt.Version.String(), "+"))
	m := p.Memory()
	threads, err := rt.Threads(m)
	require.NoError(t, err)
	require.Len(t, threads, len(want))
	byID := map[uint64]cpython.Thread{}
	for _, th := range threads {
		byID[th.ThreadID] = th
	}
	for name, w := range want {
		th, ok := byID[w.ID]
		if !assert.True(t, ok, "thread %s is found", name) {
			continue
		}
		if rt.Version.Minor() >= 11 {
			assert.Equal(t, w.Native, th.NativeID, name)
		} else {
			assert.Zero(t, th.NativeID, name)
		}
		expected := describe(w.Frames)
		got := Seen(t, rt, m, th.Addr)
		// The thread may not have got from its note to its sleep yet.
		for end := time.Now().Add(10 * time.Second); !assert.ObjectsAreEqual(expected, got) && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond)
			got = Seen(t, rt, m, th.Addr)
		}
		assert.Equal(t, expected, got, name)
	}
}
