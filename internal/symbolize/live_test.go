// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython/locate"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

// standing prints its own stack and then stands still in the same line.
const standing = `import functools, json, sys

class Größe:
    def lesen(self):
        f, frames = sys._getframe(), []
        while f:
            c = f.f_code
            frames.append([getattr(c, "co_qualname", c.co_name), c.co_filename, f.f_lineno])
            f = f.f_back
        (print(json.dumps(frames), flush=True), sys.stdin.read())

def generated():
    yield from (Größe().lesen() for _ in [0])

exec(compile("def made(f):\n\n    return f()", "<made at run time>", "exec"))
functools.reduce(lambda a, b: made(lambda: list(generated())), [0, 1])
`

// TestRealProcess holds the names of a stack against what the process says itself.
func TestRealProcess(t *testing.T) {
	for _, interp := range testpython.All(t) {
		t.Run(interp.Name, func(t *testing.T) {
			program := testpython.Start(t, interp.Command(interp.Script(t, "standing.py", standing)))
			var truth [][3]any
			require.NoError(t, json.Unmarshal([]byte(program.ReadLine(t)), &truth))
			want := make([]model.Frame, len(truth))
			for i, f := range truth {
				want[i] = model.Frame{Function: f[0].(string), File: f[1].(string), Line: int(f[2].(float64)), App: true}
			}
			want[0].Line = 10 // from where it printed to where it stands

			p, err := process.Open(program.PID)
			require.NoError(t, err)
			rt, err := locate.New().Locate(p)
			require.NoError(t, err)
			threads, err := rt.Threads(p.Memory())
			require.NoError(t, err)
			require.Len(t, threads, 1)
			raw, err := rt.Stack(p.Memory(), threads[0].Addr, 64)
			require.NoError(t, err)

			r := New(rt, p.Memory(), eventloop.IsApp, nil, NewPool(MaxTogether))
			got := r.Frames(raw)
			// Reading from stdin has a Python frame of its own in some releases.
			require.GreaterOrEqual(t, len(got), len(want))
			assert.Equal(t, want, got[len(got)-len(want):])
			assert.Equal(t, got, r.Frames(raw), "from the cache")
			assert.Empty(t, r.Stats().Failures)
			assert.Positive(t, r.Stats().Codes)

			maps, err := p.Maps()
			require.NoError(t, err)
			modules := NewModules(maps, rt)
			name, interpreter := modules.Find(rt.CodeType)
			assert.False(t, interpreter, "data is no code: %s", name)
			found := false
			for _, m := range maps {
				if m.Executable() && m.Path == rt.Path {
					_, interpreter = modules.Find(m.Start)
					found = found || interpreter
				}
			}
			assert.True(t, found, "the interpreter's code is told from the rest")
		})
	}
}
