// SPDX-License-Identifier: Apache-2.0

package cpython_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/cpythontest"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

func TestStacksAreWhatPythonSees(t *testing.T) {
	for _, py := range append(testpython.All(t), testpython.Debug(t)...) {
		t.Run(py.Name, func(t *testing.T) {
			t.Parallel()
			prog := testpython.Start(t, py.Command(py.Script(t, "places.py", cpythontest.Places())))
			cpythontest.CheckStacks(t, py, prog.PID, prog.ReadLine(t))
		})
	}
}

func TestStackIsCutAtMax(t *testing.T) {
	py := testpython.All(t)[0]
	prog := testpython.Start(t, py.Command(py.Script(t, "places.py", cpythontest.Places())))
	var want map[string]struct{ ID uint64 }
	require.NoError(t, json.Unmarshal([]byte(prog.ReadLine(t)), &want))
	p, rt := cpythontest.Locate(t, prog.PID)
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
			p, rt := cpythontest.Locate(t, prog.PID)
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
