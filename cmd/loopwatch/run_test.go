// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/observe"
)

// running runs "run" with real commands and an observation that lasts as long as they do.
func running(rep *model.Report, args ...string) result {
	var stdout, stderr bytes.Buffer
	var r result
	a := &app{
		stdout: &stdout, stderr: &stderr,
		screen: func(io.Writer) (int, bool) { return 0, false },
		observe: func(ctx context.Context, o observe.Options) (*model.Report, error) {
			r.options = &o
			o.Ready(observe.Status{})
			<-ctx.Done()
			return rep, nil
		},
	}
	r.status = a.run(append([]string{"run"}, args...))
	r.stdout, r.stderr = stdout.String(), stderr.String()
	return r
}

func TestRunEndsAsItsCommandDoes(t *testing.T) {
	for _, c := range []struct {
		script string
		flags  []string
		blocks int
		status int
	}{
		{script: "exit 0"},
		{script: "exit 1", status: 1},
		{script: "exit 77", status: 77},
		{script: "kill -KILL $$", status: 137},
		{script: "kill -TERM $$", status: 143},
		{script: "exit 0", blocks: 1},
		{script: "exit 5", blocks: 1, status: 5},
		{script: "exit 0", flags: []string{"--fail-on-block"}},
		{script: "exit 0", flags: []string{"--fail-on-block"}, blocks: 1, status: statusBlocked},
	} {
		r := running(seen(c.blocks), append(c.flags, "--", "sh", "-c", c.script)...)
		assert.Equal(t, c.status, r.status, "%s %v: %s", c.script, c.flags, r.stderr)
		assert.NotEmpty(t, r.stdout, "the report is printed however the command ends")
		assert.Empty(t, r.stderr)
	}
}

// It watches what it starts and nothing else, from before that starts.
func TestRunWatchesWhatItStarts(t *testing.T) {
	r := running(seen(0), "-t", "50ms", "true")
	require.NotNil(t, r.options)
	assert.Equal(t, []int{os.Getpid()}, r.options.PIDs)
	assert.True(t, r.options.Children)
	assert.Zero(t, r.options.Duration)
}

func TestRunRefusesNonsense(t *testing.T) {
	for args, says := range map[string]string{
		"":                   "no command given",
		"--pid 1 -- true":    "leave out --pid",
		"--children -- true": "leave out --pid",
		"-f nonsense true":   "must be text",
	} {
		r := running(seen(0), strings.Fields(args)...)
		assert.Equal(t, statusUsage, r.status, args)
		assert.Contains(t, r.stderr, says)
	}
	r := running(seen(0), "/nonexistent/command")
	assert.Equal(t, statusFailed, r.status)
	assert.Equal(t, "loopwatch: cannot start /nonexistent/command: no such file or directory; give the command as you would in a shell\n", r.stderr)
}

// Flags after the command are the command's.
func TestRunLeavesTheCommandItsFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "arguments")
	t.Setenv("OUT", file)
	r := running(seen(0), "sh", "-c", `echo "$0 $@" > "$OUT"`, "-f", "--pid", "x")
	require.Zero(t, r.status, r.stderr)
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "-f --pid x\n", string(written))
}

// Under sudo the command is the caller's again; nothing of root's is left.
func TestRunGivesUpRootUnderSudo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has something to give up")
	}
	dir := t.TempDir()
	for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		require.NoError(t, os.Chmod(d, 0o777))
	}
	file := filepath.Join(dir, "id")
	t.Setenv("OUT", file)
	t.Setenv("SUDO_UID", "65534")
	t.Setenv("SUDO_GID", "65534")
	r := running(seen(0), "sh", "-c", `echo $(id -u) $(id -g) $(id -G) $HOME $USER $SUDO_UID > "$OUT"`)
	require.Zero(t, r.status, r.stderr)
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	words := strings.Fields(string(written))
	require.Len(t, words, 5, string(written))
	assert.Equal(t, []string{"65534", "65534", "65534"}, words[:3])
	assert.Equal(t, "nobody", words[4])

	require.NoError(t, os.Remove(file))
	r = running(seen(0), "--as-root", "sh", "-c", `id -u > "$OUT"`)
	require.Zero(t, r.status, r.stderr)
	written, err = os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, strconv.Itoa(os.Geteuid()), strings.TrimSpace(string(written)))
}
