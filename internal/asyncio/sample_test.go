// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/locate"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

// TestSample holds what a sampler finds against what a list of all tasks finds, of programs that stand still: at first, and
// when it reads anew only what has changed, which is nothing.
func TestSample(t *testing.T) {
	for _, py := range append(testpython.All(t), testpython.Debug(t)...) {
		for name, source := range map[string]string{"waiting.py": waiting, "contended.py": contended} {
			t.Run(py.Name+"/"+name, func(t *testing.T) {
				program := testpython.Start(t, py.Command(py.Script(t, name, source)))
				program.ReadLine(t)
				p, threads, tasks, err := tasksOf(t, program.PID)
				require.NoError(t, err)
				listed, err := tasks.List(p.Memory(), threads, NewBudget(), MaxKept)
				require.NoError(t, err)
				locks := slices.ContainsFunc(listed.Tasks, func(t Pending) bool { return t.Waits.On == model.WaitLock })
				s, err := tasks.NewSampler()
				require.NoError(t, err)
				var last map[uint64]*Pending
				for n := range 4 {
					sample, err := s.Sample(p.Memory(), threads, NewBudget())
					require.NoError(t, err)
					assert.False(t, sample.More)
					assert.Zero(t, sample.Dropped)
					found := map[uint64]*Pending{}
					for _, task := range sample.Tasks {
						found[task.Addr] = task
						if n > 1 || n == 1 && task.Waits.On != model.WaitFuture { // a bare future is looked at twice
							assert.Same(t, last[task.Addr], task, task.Name)
						}
					}
					require.Len(t, found, len(listed.Tasks))
					for _, want := range listed.Tasks {
						got := *found[want.Addr]
						assert.ElementsMatch(t, want.AwaitedBy, got.AwaitedBy, want.Name)
						got.AwaitedBy = want.AwaitedBy
						assert.Equal(t, want, got)
						if locks && len(want.Held) > 0 {
							assert.Contains(t, sample.Holding, found[want.Addr])
						}
					}
					last = found
				}
			})
		}
	}
}

// TestHostileSamples samples a process again and again whose tasks all share one set of awaiters, or a long chain of coroutines that
// runs in a circle: what is read and kept is bounded, and what is missing is counted.
func TestHostileSamples(t *testing.T) {
	for name, m := range map[string]*crowd{"awaiters": {}, "coroutines": {coroutines: cpython.MaxAwaits - 1}, "itself": {coroutines: 1}} {
		t.Run(name, func(t *testing.T) {
			tasks := &Tasks{runtime: crowdRuntime(), debug: crowdDebug, interp: crowdInterp, Layout: Layout{InThread: 16, Name: crowdDebug.TaskName, Coro: crowdDebug.TaskCoro}}
			s, err := tasks.NewSampler()
			require.NoError(t, err)
			for range 2 {
				m.bytes = 0
				sample, err := s.Sample(m, []cpython.Thread{{Addr: crowdThread, Interp: crowdInterp}}, NewBudget())
				require.NoError(t, err)
				frames, edges := 0, 0
				for _, task := range sample.Tasks {
					frames += len(task.Awaits)
					edges += len(task.AwaitedBy)
				}
				t.Logf("%d tasks, %d frames, %d edges, %d dropped, %d MiB kept, %d MiB read", len(sample.Tasks), frames, edges, sample.Dropped, s.kept>>20, m.bytes>>20)
				assert.True(t, sample.More)
				assert.LessOrEqual(t, frames*costSuspended, MaxKept)
				assert.LessOrEqual(t, edges, maxAwaiters*MaxTasks)
				assert.LessOrEqual(t, m.bytes, 2*maxRead) // the budget charges places that lie together once
				assert.LessOrEqual(t, len(sample.Tasks), MaxTasks)
				assert.LessOrEqual(t, s.kept, MaxKept+MaxTasks*2*costTask)
			}
		})
	}
}

// tasksOf finds out how a process keeps its tasks.
func tasksOf(t *testing.T, pid int) (*process.Process, []cpython.Thread, *Tasks, error) {
	t.Helper()
	p, err := process.Open(pid)
	require.NoError(t, err)
	rt, err := locate.New().Locate(p)
	require.NoError(t, err)
	threads, err := rt.Threads(p.Memory())
	require.NoError(t, err)
	tasks, err := Find(p, rt, threads[0].Interp)
	return p, threads, tasks, err
}
