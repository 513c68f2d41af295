// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	_ "embed"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
)

//go:embed testdata/forked.py
var forkedProgram string

// forks is a program that forks, and which of its processes run a loop of their own.
type forks struct {
	*testpython.Program
	what   string
	python testpython.Interp
	Loops  []int `json:"loops"`
	Copies []int `json:"copies"`
}

// startForks starts every way to fork, under each of the interpreters, and waits until all have forked.
func startForks(t *testing.T, pythons []testpython.Interp) (all []*forks) {
	t.Helper()
	for _, python := range pythons {
		script := python.Script(t, "forked.py", forkedProgram)
		for _, what := range []string{"pool", "bare", "nested", "before"} {
			all = append(all, &forks{Program: testpython.Start(t, python.Command(script, what)), what: what, python: python})
		}
	}
	for _, f := range all {
		require.NoError(t, json.Unmarshal([]byte(f.ReadLine(t)), f))
	}
	return all
}

// end ends the programs with the processes they forked.
func end(t *testing.T, all []*forks) {
	t.Helper()
	for _, f := range all {
		require.NoError(t, f.Stdin.Close())
	}
	for _, f := range all {
		<-f.Exited()
	}
}

// held reports whether a process was seen to block where its loop does.
func held(rep *model.Report, pid int) bool {
	return slices.ContainsFunc(judge.BlocksOf(rep, pid), func(b model.Block) bool {
		return b.Cause == model.CauseSleep && b.Culprit != nil && b.Culprit.Function == "hold"
	})
}

// judge holds a report against what the programs are.
func (f *forks) judge(t *testing.T, rep *model.Report, when string) {
	t.Helper()
	for _, pid := range f.Loops {
		assert.Len(t, loopsOf(rep, pid), 1, "%s, %s, %s: %d runs a loop", f.python, f.what, when, pid)
		assert.True(t, held(rep, pid), "%s, %s, %s: %d blocks by hold: %+v", f.python, f.what, when, pid, judge.BlocksOf(rep, pid))
	}
	for _, pid := range f.Copies {
		assert.Empty(t, loopsOf(rep, pid), "%s, %s, %s: the loop of %d is its parent's", f.python, f.what, when, pid)
		assert.Empty(t, judge.BlocksOf(rep, pid), "%s, %s, %s: %d has no loop to block", f.python, f.what, when, pid)
	}
}

// TestForkedInLoop: a process forked in a callback has its parent's loop on the stack, and does not run it.
func TestForkedInLoop(t *testing.T) {
	pythons := testpython.All(t)
	pythons = slices.DeleteFunc(pythons, func(p testpython.Interp) bool { return !p.Supported() })

	w := watch(t, "--duration", "1h")
	all := startForks(t, pythons)
	time.Sleep(12 * usualThreshold())
	rep := w.stop(t)
	for _, f := range all {
		f.judge(t, rep, "begun meanwhile")
	}

	rep = watch(t, "--duration", (12 * usualThreshold()).String()).report(t)
	var dump model.Dump
	require.NoError(t, json.Unmarshal([]byte(do(t, 0, "dump", "--format", "json").stdout), &dump))
	for _, f := range all {
		f.judge(t, rep, "running before")
		for _, p := range dump.Processes {
			if slices.Contains(f.Loops, p.PID) {
				assert.Len(t, p.Loops, 1, "%s, %s: dump of %d", f.python, f.what, p.PID)
			}
			if slices.Contains(f.Copies, p.PID) {
				assert.Empty(t, p.Loops, "%s, %s: dump of %d", f.python, f.what, p.PID)
			}
		}
	}
	end(t, all)
}
