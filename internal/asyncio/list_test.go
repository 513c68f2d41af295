// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/locate"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/symbolize"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

//go:embed testdata/waiting.py
var waiting string

// awaitedBy is who awaits whom in waiting.py, by the names of tasks.
var awaitedBy = map[string]string{
	"direct/1": "direct", "gathers/1": "gathers", "gathers/2": "gathers",
	"nested/1": "nested_gathers", "nested/2": "nested_gathers", "nested/3": "nested_gathers",
	"waits_for/1": "waits_for", "waits/1": "waits", "waits/2": "waits", "shields/1": "shields",
	"grouped/1": "grouped", "grouped/2": "grouped", "shared": "shared/a shared/b", "eager/1": "eager",
}

const inPython = "in Python" // the one task that is not the C module's

// TestList holds the tasks that are read from memory against what the program says of them: their
// names, the stacks of their coroutines line by line, and who awaits whom.
func TestList(t *testing.T) {
	for _, py := range append(testpython.All(t), testpython.Debug(t)...) {
		t.Run(py.Name, func(t *testing.T) {
			script := py.Script(t, "waiting.py", waiting)
			program := testpython.Start(t, py.Command(script))
			want, listed, frames := listOf(t, program)

			assert.Equal(t, 1, listed.Opaque, "tasks in Python")
			assert.False(t, listed.More)
			assert.Zero(t, listed.Dropped)
			got := map[string][][3]any{}
			names := map[uint64]string{}
			for _, task := range listed.Tasks {
				assert.False(t, task.Cut, task.Name)
				assert.False(t, task.Executing, task.Name)
				got[task.Name], names[task.Addr] = frames(task), task.Name
			}
			delete(want, inPython)
			for name := range want {
				assert.Equal(t, want[name], got[name], name)
			}
			assert.Len(t, got, len(want))
			assert.Len(t, listed.Tasks, len(got))
			assert.Len(t, got["deep"], 102)
			for _, task := range listed.Tasks {
				var by []string
				for _, addr := range task.AwaitedBy {
					by = append(by, names[addr])
				}
				slices.Sort(by)
				assert.Equal(t, awaitedBy[task.Name], strings.Join(by, " "), "who awaits %s", task.Name)
			}
		})
	}
}

//go:embed testdata/crowd.py
var manyTasks string

// TestManyTasksWithinTheBudget: what ordinary programs have is listed as a whole, twice.
func TestManyTasksWithinTheBudget(t *testing.T) {
	// One of each way to keep tasks.
	left := []string{"3.8.", "3.13.", "3.15."}
	for _, py := range testpython.All(t) {
		kind := slices.IndexFunc(left, func(version string) bool { return strings.HasPrefix(py.Version, version) })
		if kind < 0 {
			continue
		}
		left = slices.Delete(left, kind, kind+1)
		t.Run(py.Name, func(t *testing.T) {
			program := testpython.Start(t, py.Command(py.Script(t, "crowd.py", manyTasks)))
			require.Equal(t, "ready", program.ReadLine(t))
			p, threads, tasks, err := tasksOf(t, program.PID)
			require.NoError(t, err)
			budget := NewBudget()
			for range 2 {
				listed, err := tasks.List(p.Memory(), threads, budget, MaxKept)
				require.NoError(t, err)
				assert.Len(t, listed.Tasks, 20_102)
				assert.Zero(t, listed.Dropped)
				assert.Less(t, listed.Size, MaxKept/2)
			}
			assert.False(t, budget.Spent())
		})
	}
}

// listOf reads the tasks of a program that has told its own.
func listOf(t *testing.T, program *testpython.Program) (want map[string][][3]any, listed Listed, frames func(Pending) [][3]any) {
	var count int
	answer := []any{&count, &want}
	require.NoError(t, json.Unmarshal([]byte(program.ReadLine(t)), &answer))
	require.Len(t, want, count, "names that are not unique")
	p, err := process.Open(program.PID)
	require.NoError(t, err)
	rt, err := locate.New().Locate(p)
	require.NoError(t, err)
	threads, err := rt.Threads(p.Memory())
	require.NoError(t, err)
	tasks, err := Find(p, rt, threads[0].Interp)
	require.NoError(t, err)
	listed, err = tasks.List(p.Memory(), threads, NewBudget(), MaxKept)
	require.NoError(t, err)
	loops := map[uint64]bool{}
	for _, thread := range threads {
		if loop := tasks.RunningLoop(p.Memory(), thread); loop != 0 {
			loops[loop] = true
		}
	}
	require.Len(t, loops, 1, "loops that run")
	for _, task := range listed.Tasks {
		assert.True(t, loops[task.Loop], "the loop of %s", task.Name)
	}
	resolver := symbolize.New(rt, p.Memory(), eventloop.IsApp, nil, symbolize.NewPool(symbolize.MaxTogether))
	return want, listed, func(task Pending) (out [][3]any) {
		for _, s := range task.Awaits {
			f := resolver.Frames([]cpython.RawFrame{s.Frame})[0]
			out = append(out, truth(f))
		}
		return out
	}
}

func truth(f model.Frame) [3]any { return [3]any{f.Function, f.File, float64(f.Line)} }
