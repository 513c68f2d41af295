// SPDX-License-Identifier: Apache-2.0

package python

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/application"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

// compiled runs code as Jinja makes it, with a map that is longer than a name may be.
const compiled = `
import os, sys
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")
with open(path, "w") as f: f.write(2000 * "row\n")
code = 40 * "\n" + "def root(wait):\n    wait()\n" + "debug_info = %r" % "&".join("%d=%d" % (n, n + 40) for n in range(1, 2000))
globals_ = {"__file__": path, "name": "page.html"}
exec(compile(code, path, "exec"), globals_)
def wait():
    print(path, flush=True)
    sys.stdin.read()
globals_["root"](wait)
`

// TestTemplateOfFrame: the map of lines is found through the globals of the frame that runs the code.
func TestTemplateOfFrame(t *testing.T) {
	for _, interp := range testpython.All(t) {
		t.Run(interp.Name, func(t *testing.T) {
			program := testpython.Start(t, interp.Command(interp.Script(t, "compiled.py", compiled)))
			path := program.ReadLine(t)
			p, refusal := NewOpener(application.Patterns{}).Open(program.PID)
			require.Nil(t, refusal)
			states, err := p.ThreadStates()
			require.NoError(t, err)
			raw, _, err := p.Stack(states[0].Addr)
			require.NoError(t, err)
			frames := p.Names.Frames(raw)
			assert.Contains(t, frames, model.Frame{Function: "root", File: path, Line: 2, App: true})
			assert.Equal(t, "<module>", frames[len(frames)-1].Function)
			assert.Equal(t, 11, frames[len(frames)-1].Line)
			_, _, err = p.templateOf(1<<40, path)
			assert.Error(t, err, "no frame runs that")
		})
	}
}
