// SPDX-License-Identifier: Apache-2.0

package cpython_test

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
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

//go:embed testdata/places.py
var places string

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
	if r := []rune(s); len(r) > cpython.MaxString {
		return string(r[:cpython.MaxString]) + "…"
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

// seen is the same stack read from outside.
func seen(t *testing.T, rt *cpython.Runtime, m process.Memory, tstate uint64) []string {
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

func locate(t *testing.T, pid int) (*process.Process, *cpython.Runtime) {
	t.Helper()
	p, err := process.Open(pid)
	require.NoError(t, err)
	rt, err := cpython.Locate(p)
	require.NoError(t, err)
	return p, rt
}

func TestStacksAreWhatPythonSees(t *testing.T) {
	for _, py := range append(testpython.All(t), testpython.Debug(t)...) {
		t.Run(py.Name, func(t *testing.T) {
			t.Parallel()
			prog := testpython.Start(t, py.Command(py.Script(t, "places.py", places)))
			checkStacks(t, py, prog.PID, prog.ReadLine(t))
		})
	}
}

// checkStacks holds every stack of a process that runs places.py against what it said.
func checkStacks(t *testing.T, py testpython.Interp, pid int, said string) {
	t.Helper()
	var want map[string]place
	require.NoError(t, json.Unmarshal([]byte(said), &want))
	require.Equal(t, strings.Count(places, "\n@scenario\n")+1, len(want), "every scenario has a say, and the main thread")
	require.Greater(t, len(want["recursion"].Frames), 1000)

	p, rt := locate(t, pid)
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
		got := seen(t, rt, m, th.Addr)
		// The thread may not have got from its note to its sleep yet.
		for end := time.Now().Add(10 * time.Second); !assert.ObjectsAreEqual(expected, got) && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond)
			got = seen(t, rt, m, th.Addr)
		}
		assert.Equal(t, expected, got, name)
	}
}

func TestStackIsCutAtMax(t *testing.T) {
	py := testpython.All(t)[0]
	prog := testpython.Start(t, py.Command(py.Script(t, "places.py", places)))
	var want map[string]place
	require.NoError(t, json.Unmarshal([]byte(prog.ReadLine(t)), &want))
	p, rt := locate(t, prog.PID)
	threads, err := rt.Threads(p.Memory())
	require.NoError(t, err)
	for _, th := range threads {
		if th.ThreadID == want["recursion"].ID {
			frames, err := rt.Stack(p.Memory(), th.Addr, 100)
			assert.ErrorIs(t, err, cpython.ErrCut)
			assert.Len(t, frames, 100)
			return
		}
	}
	t.Fatal("no such thread")
}

// TestRunningThread walks a thread that does not stand still. What is read may be torn, but
// never harmful, and most walks come out right.
func TestRunningThread(t *testing.T) {
	const source = `
import gc, threading
def leaf(n): return [str(i) for i in range(n)]
def middle(n): return sorted([3, 2, 1], key=lambda x: leaf(x) and x) if n == 0 else middle(n - 1)
def gen():
    while True:
        yield middle(20)
print(1, flush=True)
for i, _ in enumerate(gen()):
    if i % 1000 == 0:
        exec(compile("def made(): return leaf(3)\nmade()", "<made>", "exec"))
        gc.collect()
`
	known := map[string]bool{
		"<module>": true, "leaf": true, "middle": true, "gen": true, "<lambda>": true, "<listcomp>": true, "made": true,
	}
	for _, py := range testpython.All(t) {
		t.Run(py.Name, func(t *testing.T) {
			prog := testpython.Start(t, py.Command("-c", source))
			prog.ReadLine(t)
			p, rt := locate(t, prog.PID)
			m := p.Memory()
			threads, err := rt.Threads(m)
			require.NoError(t, err)
			right, deepest := 0, 0
			const walks = 300
			for range walks {
				time.Sleep(50 * time.Microsecond) // or they may all see one moment
				raw, err := rt.Stack(m, threads[0].Addr, 256)
				if err != nil {
					continue
				}
				good := len(raw) > 0
				for _, f := range raw {
					code, err := rt.ReadCode(m, f.Code)
					good = good && err == nil && code.Check == f.Check && known[code.Name]
				}
				if good {
					right++
					deepest = max(deepest, len(raw))
				}
			}
			t.Logf("%d of %d walks are right, %d frames at most", right, walks, deepest)
			assert.Greater(t, right, walks/4)
			assert.Greater(t, deepest, 4)
		})
	}
}
