// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/observe"
)

// TestWatchReopensItsFile rotates the file of a watch as logrotate does: renames it and sends SIGHUP.
func TestWatchReopensItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blocks")
	lines := func(name string) int {
		b, _ := os.ReadFile(name)
		return bytes.Count(b, []byte("\n"))
	}
	a := &app{stdout: io.Discard, stderr: io.Discard, screen: func(io.Writer) (int, bool) { return 0, false },
		watchBlocks: func(_ context.Context, o observe.Options, report func(observe.Sighting)) (model.Lost, error) {
			o.Ready(observe.Status{})
			report(observe.Sighting{Block: model.Block{PID: 7, TID: 7}})
			report(observe.Sighting{Block: model.Block{PID: 7, TID: 7}})
			require.Eventually(t, func() bool { return lines(path) == 2 }, time.Minute, time.Millisecond)
			require.NoError(t, os.Rename(path, path+".1"))
			require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
			require.Eventually(t, func() bool { _, err := os.Stat(path); return err == nil }, time.Minute, time.Millisecond)
			report(observe.Sighting{Block: model.Block{PID: 7, TID: 7}})
			return model.Lost{}, nil
		}}
	require.Zero(t, a.run([]string{"watch", "-f", "jsonl", "-o", path}))
	assert.Equal(t, 2, lines(path+".1"))
	assert.Equal(t, 1, lines(path))
}

// TestWatchEndsWithItsTerminal has script(1) give a watch with a file a terminal, and takes that away.
func TestWatchEndsWithItsTerminal(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	file, pidFile := filepath.Join(dir, "blocks"), filepath.Join(dir, "pid")
	cmd := exec.Command("script", "-qec", "echo $$ > "+pidFile+"; exec "+self+" watch -o "+file, "/dev/null")
	cmd.Env = append(os.Environ(), asCommand+"=obeys")
	hangups := make(chan os.Signal, 1) // what is started does not inherit that SIGHUP is ignored, as under nohup
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	require.Eventually(t, func() bool { _, err := os.Stat(file); return err == nil }, time.Minute, 10*time.Millisecond)
	b, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	stat := "/proc/" + strings.TrimSpace(string(b))
	require.DirExists(t, stat)
	require.NoError(t, cmd.Process.Kill()) // the terminal's other end
	_ = cmd.Wait()
	require.Eventually(t, func() bool { _, err := os.Stat(stat); return err != nil }, time.Minute, 10*time.Millisecond)
}
