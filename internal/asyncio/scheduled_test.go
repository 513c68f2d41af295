// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython/locate"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

const schedules = `
import asyncio, json, sys, time

def schedule(loop, *when):
    if when:
        return loop.call_later(*when, time.sleep, 1)
    return loop.call_soon(time.sleep, 1)

class Starter:
    def begin(self, *args):
        return schedule(*args)

plain, loop = asyncio.new_event_loop(), asyncio.new_event_loop()
loop.set_debug(True)
kept = [Starter().begin(plain), Starter().begin(loop), Starter().begin(loop, 5), 1]
print(json.dumps([id(h) for h in kept] + [__file__]), flush=True)
sys.stdin.readline()
`

// TestScheduled holds what is read of handles against where they were made.
func TestScheduled(t *testing.T) {
	for _, py := range append(testpython.All(t), testpython.Debug(t)...) {
		t.Run(py.Name, func(t *testing.T) {
			program := testpython.Start(t, py.Command(py.Script(t, "schedules.py", schedules)))
			var said [5]any
			require.NoError(t, json.Unmarshal([]byte(program.ReadLine(t)), &said))
			p, err := process.Open(program.PID)
			require.NoError(t, err)
			rt, err := locate.New().Locate(p)
			require.NoError(t, err)
			places := func(n int) []Place {
				out, err := Scheduled(rt, p.Memory(), uint64(said[n].(float64)))
				require.NoError(t, err)
				return out
			}
			file := said[4].(string)
			want := []Place{{"schedule", file, 7}, {"begin", file, 11}, {"<module>", file, 15}}
			assert.Equal(t, want, places(1), "call_soon")
			want[0].Line = 6
			assert.Equal(t, want, places(2), "a timer")
			for _, n := range []int{0, 3} { // not in debug mode; no handle
				_, err := Scheduled(rt, p.Memory(), uint64(said[n].(float64)))
				assert.Error(t, err)
			}
		})
	}
}
