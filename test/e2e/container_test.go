// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/truth"
)

// TestContainer runs programs as a container does: own root, own PID and mount namespace, and
// so a process number that is another one inside.
func TestContainer(t *testing.T) {
	const threshold = 50 * time.Millisecond
	stage := newStage(t)
	w := watch(t, "--threshold", threshold.String(), "--duration", "1h")
	type contained struct {
		*program
		log []truth.Entry
	}
	var all []contained
	roots := map[string]bool{}
	for _, python := range testpython.All(t) {
		roots[python.Root] = true
		stage.install(t, python)
		cmd, err := stage.command(python, truth.Blocking, "asyncio", "--threshold", "0.05", "--over", "1", "--under", "0",
			"--kind", "sleeping", "--kind", "counting", "--kind", "importing", "--kind", "in_map", "--kind", "astral")
		require.NoError(t, err)
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWPID | syscall.CLONE_NEWNS
		p, err := stage.startCommand(python, cmd)
		require.NoError(t, err)
		t.Cleanup(p.kill)
		require.NoError(t, p.ready())
		time.Sleep(settling)
		log, err := p.play()
		require.NoError(t, err)
		require.Len(t, log, 6, "five blocks and the end")
		require.Equal(t, 1, log[0].TID, "it runs in its own PID namespace")
		all = append(all, contained{p, log})
	}
	require.Greater(t, len(roots), 1, "no Debian tree found: go run ./test/roots")
	rep := w.stop(t)
	for _, p := range all {
		v := judge(threshold, p.log, blocksOf(rep, p.pid()), stalls)
		assert.Equal(t, v.expected, v.right, p.python.Name)
		assert.Empty(t, v.complaints, p.python.Name)
		loops := loopsOf(rep, p.pid())
		if assert.Len(t, loops, 1, p.python.Name) {
			assert.Equal(t, p.pid(), loops[0].TID, "the thread as the host numbers it")
			assert.Equal(t, p.python.Version, loops[0].Python)
		}
	}
}
