// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/application"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

func TestMain(m *testing.M) { testpython.Main(m) }

// TestUsual: every interpreter at hand is laid out as its release usually is, so that there is always room for it.
func TestUsual(t *testing.T) {
	usual := usual()
	assert.LessOrEqual(t, len(usual), probes.UsualLayouts)
	for _, py := range testpython.All(t) {
		t.Run(py.Name, func(t *testing.T) {
			program := testpython.Start(t, py.Command("-c", "import asyncio, time; print(1, flush=True); time.sleep(600)"))
			program.ReadLine(t)
			p, refusal := python.NewOpener(application.Patterns{}).Open(program.PID)
			require.Nil(t, refusal)
			assert.Contains(t, usual, ofStacks(&p.Runtime.Layout))
			tasks, err := p.FindTasks(p.FirstInterpreter())
			require.NoError(t, err)
			assert.Contains(t, usual, ofTasks(&p.Runtime.Layout, tasks.Layout))
		})
	}
}

// kernel has room for a few layouts that are not usual.
type kernel struct {
	room int
	held map[probes.Layout]int
	by   []probes.Layout // index
}

func (k *kernel) AddLayout(l probes.Layout, usual bool) (uint32, error) {
	if k.held[l] == 0 && !usual && len(k.held) >= k.room {
		return 0, probes.ErrLayouts
	}
	k.held[l]++
	k.by = append(k.by, l)
	return uint32(len(k.by) - 1), nil
}

func (k *kernel) ReleaseLayout(index uint32) bool {
	l := k.by[index]
	if k.held[l]--; k.held[l] > 0 {
		return false
	}
	delete(k.held, l)
	return true
}

// madeUp is a layout that no release has.
func madeUp(frameCode uint32) *release.Layout {
	l := &release.Layout{}
	l.FrameCode = frameCode
	return l
}

// TestTasksOfOneProcess: a process has one layout of tasks, whatever its interpreters say.
func TestTasksOfOneProcess(t *testing.T) {
	k := &kernel{room: 100, held: make(map[probes.Layout]int)}
	table := New(k)
	var h Held
	require.NoError(t, table.AddStacks(&h, madeUp(1000)))
	index, err := table.addTasks(&h, probes.Layout{TaskCoro: 1})
	require.NoError(t, err)
	again, err := table.addTasks(&h, probes.Layout{TaskCoro: 1})
	require.NoError(t, err)
	assert.Equal(t, index, again)
	for i := range uint32(1000) {
		_, err = table.addTasks(&h, probes.Layout{TaskCoro: 2 + i})
		require.ErrorIs(t, err, probes.ErrLayouts)
	}
	assert.Len(t, k.held, 2)
	assert.True(t, table.Release(&h))
	assert.Empty(t, k.held)
	assert.False(t, table.Release(&h), "once")
}
