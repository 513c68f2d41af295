// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/hungfs"
)

//go:embed testdata/mounted.py
var mountedProgram string

// TestHungMount: processes on a file system that no longer answers hold nothing up. What can be known of them without it is
// told, and the others are watched as ever. A call that the file system never answers does not keep loopwatch from ending.
func TestHungMount(t *testing.T) {
	python := onHost(t, "asyncio")
	files, mount, host := t.TempDir(), t.TempDir(), t.TempDir()
	for _, dir := range []string{files, host} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "mounted.py"), []byte(mountedProgram), 0o644))
	}
	copyFile(t, python.Path, filepath.Join(files, "python"))
	home := filepath.Dir(filepath.Dir(python.Path))
	fs, err := hungfs.Mount(files, mount)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fs.Unmount()) })
	defer fs.Answer() // before what was started is waited for

	script := startAt(t, mount, home, python, filepath.Join(mount, "mounted.py"))
	other := python
	other.Path = filepath.Join(mount, "python")
	binary := startAt(t, host, home, other, filepath.Join(host, "mounted.py"))
	innocent := startAt(t, host, home, python, filepath.Join(host, "mounted.py"))
	fs.Hang()

	s := startInShell(t, &unix.SysProcAttr{Setsid: true}, nil, "watch", "--format", "jsonl")
	for _, p := range []*testpython.Program{script, innocent} {
		fmt.Fprintln(p.Stdin)
		require.Equal(t, "done", p.ReadLine(t))
	}
	first, _ := s.loopwatch(t)
	require.NoError(t, unix.Kill(first, unix.SIGINT))
	require.Zero(t, s.wait(t), s.stderr.String())
	blocks, torn := decodeBlocks(t, []byte(s.stdout.String()))
	assert.Zero(t, torn)
	for name, p := range map[string]*testpython.Program{"script": script, "innocent": innocent} {
		held := slices.DeleteFunc(slices.Clone(blocks), func(b model.Block) bool {
			return b.PID != p.PID || b.Ongoing || b.Culprit == nil || b.Culprit.Function != "hold"
		})
		if assert.Len(t, held, 1, "%s: %v", name, blocks) {
			assert.Equal(t, model.CauseSleep, held[0].Cause, name)
			assert.Equal(t, 13, held[0].Culprit.Line, name)
		}
	}

	var d model.Dump
	require.NoError(t, json.Unmarshal([]byte(do(t, 0, "dump", "--format", "json").stdout), &d))
	assert.True(t, slices.ContainsFunc(d.Processes, func(p model.DumpProcess) bool { return p.PID == innocent.PID }))
	n := slices.IndexFunc(d.Unsupported, func(u model.Unsupported) bool { return u.PID == binary.PID })
	if assert.GreaterOrEqual(t, n, 0, "the interpreter cannot be read: %v", d.Unsupported) {
		assert.Contains(t, d.Unsupported[n].Reason, "answer")
	}
}

// startAt starts a program in a directory and waits until its loop runs.
func startAt(t *testing.T, directory, home string, python testpython.Interp, script string) *testpython.Program {
	t.Helper()
	cmd := python.Command(script)
	cmd.Dir = directory
	cmd.Env = append(cmd.Env, "PYTHONHOME="+home) // where an interpreter elsewhere finds its library
	hungfs.Through(cmd)
	p := testpython.Start(t, cmd)
	require.Equal(t, "ready", p.ReadLine(t))
	return p
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	require.NoError(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(out, in)
	require.NoError(t, err)
	require.NoError(t, out.Close())
}
