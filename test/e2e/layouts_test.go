// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
)

//go:embed testdata/made_up.py
var madeUp string

// TestMadeUpLayouts: processes that say of themselves that they are laid out in ways of their own, more than there is room for,
// do not keep a Python of a usual build from being watched. Those that have no room are listed and counted.
func TestMadeUpLayouts(t *testing.T) {
	all := testpython.All(t)
	n := slices.IndexFunc(all, func(py testpython.Interp) bool { return strings.HasPrefix(py.Version, "3.13.") && py.Root == "" })
	require.GreaterOrEqual(t, n, 0, "no CPython 3.13 on this machine")
	python := all[n]
	const processes = 50
	script := python.Script(t, "made_up.py", madeUp)
	made := make(map[int]bool)
	for i := range processes {
		p := testpython.Start(t, python.Command(script, strconv.Itoa(i)))
		require.Equal(t, "ready", p.ReadLine(t))
		made[p.PID] = true
	}
	w := watch(t, "--threshold", usualThreshold().String(), "--duration", "1h")
	p := sleeper(t, python, seconds(usualThreshold()))
	log, err := p.play()
	require.NoError(t, err)
	rep := w.stop(t)
	v := judge.Blocks(usualThreshold(), log, judge.BlocksOf(rep, p.pid()), p.waits)
	assert.Equal(t, 1, v.Right, v.Summary())
	assert.Empty(t, v.Complaints)

	refused := 0
	for _, u := range rep.Unsupported {
		if made[u.PID] {
			refused++
			assert.Equal(t, probes.ErrLayouts.Error(), u.Reason)
		}
	}
	const room = 64 - probes.UsualLayouts
	assert.GreaterOrEqual(t, refused, processes-room)
	assert.GreaterOrEqual(t, rep.Lost.Reasons["layouts_over_limit"], int64(refused))
	assert.False(t, slices.ContainsFunc(rep.Unsupported, func(u model.Unsupported) bool { return u.PID == p.pid() }))
}
