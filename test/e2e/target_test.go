// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	_ "embed"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
)

//go:embed testdata/targets.py
var targetsProgram string

// targetEntry is what the program says of one of its blocks.
type targetEntry struct {
	Name    string
	StartNS int64 `json:"start_ns"`
	EndNS   int64 `json:"end_ns"`
	Cause   model.Cause
	Target  *string // nil: nobody can know
	FD      *int
	// RunDelayNS is for how long the thread has been waiting for a CPU just before, meanwhile, and just after.
	RunDelayNS int64 `json:"run_delay_ns"`
}

// TestTargets has every kind of blocking call name what it waits for. Interpreters make different
// syscalls for the same, and a tree of its own stands for a container: paths are the program's.
func TestTargets(t *testing.T) {
	const threshold = 50 * time.Millisecond
	proc, err := os.Open("/proc")
	require.NoError(t, err)
	t.Cleanup(func() { _ = proc.Close() })
	slots := make(chan struct{}, 4) // they hardly compute
	for _, python := range few(t) {
		t.Run(python.Name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			slow := mountSlowFS(t, 120*time.Millisecond)
			script := python.Script(t, "targets.py", targetsProgram)
			outside := filepath.Join("/", python.Root, path.Dir(script), "own")
			require.NoError(t, os.Mkdir(outside, 0o700))
			arguments := []string{"-W", "ignore", script, path.Join(path.Dir(script), "own"), slow}
			if python.Root != "" { // neither /proc nor the slow file system there
				arguments[len(arguments)-1] = "-"
			}
			cmd := python.Command(arguments...)
			cmd.ExtraFiles = []*os.File{proc}
			p := testpython.Start(t, cmd)
			require.Equal(t, "ready", p.ReadLine(t))
			w := watch(t, "--threshold", threshold.String(), "--duration", "1h", "--pid", strconv.Itoa(p.PID))
			time.Sleep(settling)
			require.NoError(t, p.Stdin.Close())
			var log []targetEntry
			for line := p.ReadLine(t); line != "done"; line = p.ReadLine(t) {
				var e targetEntry
				require.NoError(t, json.Unmarshal([]byte(line), &e))
				log = append(log, e)
			}
			least := 50
			if python.Root != "" {
				least = 35
			}
			require.Greater(t, len(log), least, "kinds of targets")
			rep := w.stop(t)
			queued := 0
			for _, e := range log {
				if !e.judge(t, rep, p.PID) {
					queued++
				}
			}
			assert.Less(t, queued, len(log)/2, "the machine is too busy to tell")
		})
	}
}

// judge looks for the block of an entry and holds its detail against what the program says. It
// returns false for one that was mostly a wait for a CPU, by the kernel's account, too.
func (e *targetEntry) judge(t *testing.T, rep *model.Report, pid int) bool {
	t.Helper()
	for _, b := range judge.BlocksOf(rep, pid) {
		if 2*judge.Overlap(b.StartNS, b.StartNS+b.DurationNS, e.StartNS, e.EndNS) < e.EndNS-e.StartNS {
			continue
		}
		if judge.Queued(&b, e.RunDelayNS) {
			return false
		}
		assert.Equal(t, e.Cause, b.Cause, "%s: cause (breakdown %v)", e.Name, b.BreakdownNS)
		if e.Target != nil {
			assert.Equal(t, *e.Target, b.Detail.Target, "%s: target", e.Name)
		}
		if e.FD != nil {
			if assert.NotNil(t, b.Detail.FD, "%s: descriptor", e.Name) {
				assert.Equal(t, *e.FD, *b.Detail.FD, "%s: descriptor", e.Name)
			}
		}
		assert.NotEmpty(t, b.Detail.Syscall+b.Detail.Target, "%s: evidence", e.Name)
		return true
	}
	assert.Fail(t, "missed", "%s", e.Name)
	return true
}
