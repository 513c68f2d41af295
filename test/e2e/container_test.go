// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// TestContainer runs programs as a container does: own root, own PID and mount namespace, and
// so a process number that is another one inside.
func TestContainer(t *testing.T) {
	threshold := usualThreshold() / 2
	stage := newStage(t).traced(t)
	w := watch(t, "--threshold", threshold.String(), "--duration", "1h")
	type contained struct {
		*program
		log []truth.Entry
		err error
	}
	var all []*contained
	roots := map[string]bool{}
	pythons := testpython.All(t)
	if !slices.ContainsFunc(pythons, func(i testpython.Interp) bool { return i.Root != "" }) {
		pythons = append(pythons, elsewhere(t, pythons)...)
	}
	for _, python := range pythons {
		roots[python.Root] = true
		stage.install(t, python)
		cmd, err := stage.command(python, truth.Blocking, "asyncio", "--threshold", seconds(threshold), "--over", "1", "--under", "0",
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
		all = append(all, &contained{program: p})
	}
	require.Greater(t, len(roots), 1, "a root other than the machine's")
	time.Sleep(settling)
	var wait sync.WaitGroup
	for _, p := range all {
		wait.Go(func() { p.log, p.err = p.play() })
	}
	wait.Wait()
	rep := w.stop(t)
	t.Logf("lost: %+v", rep.Lost)
	for _, p := range all {
		require.NoError(t, p.err, p.python.Name)
		require.Len(t, p.log, 6, "five blocks and the end")
		require.Equal(t, 1, p.log[0].TID, "it runs in its own PID namespace")
		v := judge.Blocks(threshold, p.log, judge.BlocksOf(rep, p.pid()), stage.waits)
		assert.Equal(t, v.Expected, v.Right, p.python.Name)
		assert.Empty(t, v.Complaints, p.python.Name)
		loops := loopsOf(rep, p.pid())
		if assert.Len(t, loops, 1, p.python.Name) {
			assert.Equal(t, p.pid(), loops[0].TID, "the thread as the host numbers it")
			assert.Equal(t, p.python.Version, loops[0].Python)
		}
	}
}

// elsewhere mounts the machine's root a second time, as a tree for its own interpreters: a machine
// that has no Debian trees, such as a guest of vmtest, has a root to leave all the same.
func elsewhere(t *testing.T, pythons []testpython.Interp) []testpython.Interp {
	t.Helper()
	dir, err := os.MkdirTemp("", "loopwatch-root-") // not t.TempDir, which removes what is below
	require.NoError(t, err)
	require.NoError(t, unix.Mount("/", dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() {
		assert.NoError(t, unix.Unmount(dir, unix.MNT_DETACH))
		assert.NoError(t, os.Remove(dir))
	})
	pythons = slices.Clone(pythons)
	for n := range pythons {
		pythons[n].Root = dir
		pythons[n].Name = "elsewhere-" + pythons[n].Name
	}
	return pythons
}
