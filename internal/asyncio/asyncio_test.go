// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	_ "embed"
	"encoding/json"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython/locate"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

func TestMain(m *testing.M) { testpython.Main(m) }

//go:embed testdata/standing.py
var standing string

// TestRunning holds what is read of a process that stands still against what it says itself.
func TestRunning(t *testing.T) {
	for _, py := range append(testpython.All(t), testpython.Debug(t)...) {
		t.Run(py.Name, func(t *testing.T) {
			program := testpython.Start(t, py.Command(py.Script(t, "standing.py", standing)))
			var layout []uint32
			require.NoError(t, json.Unmarshal([]byte(program.ReadLine(t)), &layout))
			p, err := process.Open(program.PID)
			require.NoError(t, err)
			rt, err := locate.New().Locate(p)
			require.NoError(t, err)
			threads, err := rt.Threads(p.Memory())
			require.NoError(t, err)
			require.Len(t, threads, 1)
			main := threads[0]

			tasks, err := Find(p, rt, main.Interp)
			require.NoError(t, err)
			require.Equal(t, []uint32{tasks.Coro, tasks.Name}, layout[1:])
			if known, ok := taskLayouts[py.Minor]; ok {
				require.Equal(t, []uint32{known.size, known.coro}, layout[:2])
			}

			seen := map[string]int{}
			for {
				_, err := io.WriteString(program.Stdin, "\n")
				require.NoError(t, err)
				var state [3]*string
				require.NoError(t, json.Unmarshal([]byte(program.ReadLine(t)), &state))
				kind := *state[0]
				if kind == "end" {
					break
				}
				seen[kind]++
				threads, err := rt.Threads(p.Memory())
				require.NoError(t, err)
				for i, thread := range threads { // the newest first
					want := state[1]
					if i == len(threads)-1 && state[2] != nil {
						want = state[2]
					}
					task, err := tasks.Running(p.Memory(), thread.Addr)
					require.NoError(t, err, kind)
					if want == nil {
						assert.Nil(t, task, kind)
						continue
					}
					require.NotNil(t, task, kind)
					name, err := tasks.NameOf(p.Memory(), task.Name)
					require.NoError(t, err, kind)
					assert.Equal(t, *want, name, kind)
				}
			}
			require.Equal(t, 2, seen["callback"]+seen["timer"])
			require.GreaterOrEqual(t, len(seen), 6)
		})
	}
}

func TestNoAsyncio(t *testing.T) {
	for _, py := range testpython.All(t) {
		t.Run(py.Name, func(t *testing.T) {
			program := testpython.Start(t, py.Command("-c", "import time; print(1); time.sleep(600)"))
			program.ReadLine(t)
			p, threads, tasks, err := tasksOf(t, program.PID)
			if py.Minor >= 15 { // _asyncio is part of the interpreter and always describes itself
				require.NoError(t, err)
				task, err := tasks.Running(p.Memory(), threads[0].Addr)
				require.NoError(t, err)
				require.Nil(t, task)
				return
			}
			require.ErrorIs(t, err, ErrNone)
		})
	}
}
