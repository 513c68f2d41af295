// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/dump"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/python"
)

func dumpWith(take func(context.Context, dump.Options) (*model.Dump, []*python.PIDError, error), args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs, screen: screenOf, takeDump: take}
	status = a.run(append([]string{"dump"}, args...))
	return status, out.String(), errs.String()
}

func TestDump(t *testing.T) {
	var asked dump.Options
	one := func(_ context.Context, o dump.Options) (*model.Dump, []*python.PIDError, error) {
		asked = o
		return &model.Dump{Processes: []model.DumpProcess{{PID: 7, Command: "app.py"}}}, nil, nil
	}
	status, stdout, stderr := dumpWith(one, "7", "-p", "8", "--threshold", "20ms")
	assert.Equal(t, statusDone, status)
	assert.ElementsMatch(t, []int{7, 8}, asked.PIDs)
	assert.Equal(t, 20*time.Millisecond, asked.Threshold)
	assert.True(t, strings.HasPrefix(stdout, "No event loop runs in 1 Python process.\n"), stdout)
	assert.Empty(t, stderr)

	status, stdout, _ = dumpWith(one, "--format", "json")
	assert.Equal(t, statusDone, status)
	var d model.Dump
	require.NoError(t, json.Unmarshal([]byte(stdout), &d))
	assert.Equal(t, model.SchemaDump, d.Schema)
	require.Len(t, d.Processes, 1)
}

func TestDumpSaysWhatIsWrong(t *testing.T) {
	refusal := &python.PIDError{Purpose: python.LookAt, PID: 9, Reason: "there is no such process", Do: "give another"}
	none := func(context.Context, dump.Options) (*model.Dump, []*python.PIDError, error) { return nil, nil, refusal }
	some := func(context.Context, dump.Options) (*model.Dump, []*python.PIDError, error) {
		return &model.Dump{}, []*python.PIDError{refusal}, nil
	}
	for _, c := range []struct {
		take   func(context.Context, dump.Options) (*model.Dump, []*python.PIDError, error)
		args   []string
		status int
		shown  bool
	}{
		{none, []string{"9"}, statusFailed, false},
		{some, []string{"9", "10"}, statusFailed, true},
		{none, []string{"x"}, statusUsage, false},
		{none, []string{"--format", "html"}, statusUsage, false},
		{none, []string{"--output", ""}, statusUsage, false},
		{none, []string{"--output", "/no/such/directory/file"}, statusFailed, false},
	} {
		status, stdout, stderr := dumpWith(c.take, c.args...)
		assert.Equal(t, c.status, status, c.args)
		assert.Equal(t, c.shown, stdout != "", c.args)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
}
