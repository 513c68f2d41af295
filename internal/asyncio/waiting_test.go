// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	_ "embed"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

//go:embed testdata/contended.py
var contended string

// TestWaits holds what tasks wait for and what they hold against what the program says of them.
func TestWaits(t *testing.T) {
	for _, py := range append(testpython.All(t), testpython.Debug(t)...) {
		t.Run(py.Name, func(t *testing.T) {
			program := testpython.Start(t, py.Command(py.Script(t, "contended.py", contended)))
			var count int
			var want map[string][3]*string
			require.NoError(t, json.Unmarshal([]byte(program.ReadLine(t)), &[]any{&count, &want}))
			require.Len(t, want, count)
			p, threads, tasks, err := tasksOf(t, program.PID)
			require.NoError(t, err)
			listed, err := tasks.List(p.Memory(), threads, NewBudget(), MaxKept)
			require.NoError(t, err)
			require.Len(t, listed.Tasks, count)
			holders := map[uint64][]string{}
			for _, task := range listed.Tasks {
				for _, held := range task.Held {
					holders[held.Object] = append(holders[held.Object], task.Name)
				}
			}
			for _, task := range listed.Tasks {
				truth, ok := want[task.Name]
				if !assert.True(t, ok, task.Name) {
					continue
				}
				assert.Equal(t, *truth[0], string(task.Waits.On), task.Name)
				call, holder := "", []string(nil)
				if truth[1] != nil {
					call = *truth[1]
				}
				if truth[2] != nil {
					holder = []string{*truth[2]}
				}
				assert.Equal(t, call, task.Waits.Call, task.Name)
				if task.Waits.On == model.WaitLock {
					assert.Equal(t, holder, holders[task.Waits.Object], "who holds what %s waits for", task.Name)
				}
				assert.Equal(t, task.Name != "queue/pool", task.Waits.Consumer || task.Waits.On != model.WaitQueue, task.Name)
			}
		})
	}
}
