// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
	"github.com/loopwatch/loopwatch/internal/waits"
)

func waitsWith(take func(context.Context, waits.Options) (*model.WaitProfile, []*python.PIDError, error), args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs, screen: screenOf, takeWaits: take}
	status = a.run(append([]string{"waits"}, args...))
	return status, out.String(), errs.String()
}

func TestWaits(t *testing.T) {
	var asked waits.Options
	one := func(_ context.Context, o waits.Options) (*model.WaitProfile, []*python.PIDError, error) {
		asked = o
		return reporttest.Waits(""), nil, nil
	}
	status, stdout, stderr := waitsWith(one)
	assert.Equal(t, statusDone, status)
	assert.Empty(t, stderr)
	assert.Equal(t, waits.DefaultRate, asked.Rate)
	assert.Equal(t, defaultDuration, asked.Duration)
	assert.True(t, strings.HasPrefix(stdout, "Tasks waited most for a lock at get app.py:41: 62 % of 3,140 task-seconds, "), stdout)

	status, stdout, _ = waitsWith(one, "-p", "7", "--children", "-d", "20ms", "-r", "3", "--format", "json")
	assert.Equal(t, statusDone, status)
	assert.Equal(t, []int{7}, asked.PIDs)
	assert.True(t, asked.Children)
	assert.Equal(t, 20*time.Millisecond, asked.Duration)
	assert.Equal(t, 3, asked.Rate)
	var p model.WaitProfile
	require.NoError(t, json.Unmarshal([]byte(stdout), &p))
	assert.Equal(t, model.SchemaWaits, p.Schema)
	for _, format := range []string{"folded", "speedscope", "pprof", "html"} {
		file := filepath.Join(t.TempDir(), format)
		status, stdout, _ = waitsWith(one, "-f", format, "-o", file)
		assert.Equal(t, statusDone, status, format)
		assert.Empty(t, stdout)
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.Positive(t, info.Size())
	}
}

func TestWaitsSaysWhatIsWrong(t *testing.T) {
	refusal := &python.PIDError{Purpose: python.Watch, PID: 9, Reason: "there is no such process", Do: "give another"}
	asked := false
	none := func(context.Context, waits.Options) (*model.WaitProfile, []*python.PIDError, error) {
		asked = true
		return nil, nil, refusal
	}
	for _, args := range [][]string{
		{"-r", "0"}, {"-r", "1000000"}, {"-r", "auto"}, {"-d", "0"}, {"-d", "-1s"}, {"--children"}, {"-f", "github"}, {"-p", "0"}, {"7"}, {"--output", ""},
	} {
		status, stdout, stderr := waitsWith(none, args...)
		assert.Equal(t, statusUsage, status, args)
		assert.Empty(t, stdout)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
	assert.False(t, asked)
	_, _, stderr := waitsWith(none, "-r", "1000000")
	assert.Contains(t, stderr, "must be a whole number from 1 to 1000")
	status, stdout, stderr := waitsWith(none, "-p", "9")
	assert.Equal(t, statusFailed, status)
	assert.Empty(t, stdout)
	assert.Equal(t, "loopwatch: cannot watch process 9: there is no such process; give another\n", stderr)

	some := func(context.Context, waits.Options) (*model.WaitProfile, []*python.PIDError, error) {
		return &model.WaitProfile{}, []*python.PIDError{refusal}, nil
	}
	status, stdout, stderr = waitsWith(some, "-p", "8,9")
	assert.Equal(t, statusFailed, status)
	assert.Contains(t, stdout, "No Python process was found.")
	assert.Contains(t, stderr, "process 9")

	a := &app{stdout: io.Discard, stderr: io.Discard, screen: func(io.Writer) (int, bool) { return 80, true }, takeWaits: none}
	assert.Equal(t, statusUsage, a.run([]string{"waits", "-f", "pprof"}), "a terminal would obey it")
}
