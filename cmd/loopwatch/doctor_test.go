// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/doctor"
)

func TestDoctorStatus(t *testing.T) {
	working := &doctor.Diagnosis{Answer: "it works", Works: true, Processes: []doctor.Process{{PID: 7, Watchable: true}, {PID: 8, Reason: "PyPy"}}}
	broken := &doctor.Diagnosis{Answer: "it does not"}
	for _, c := range []struct {
		found          *doctor.Diagnosis
		err            error
		args           []string
		status         int
		stdout, stderr string
	}{
		{working, nil, nil, 0, "it works\n", ""},
		{working, nil, []string{"-p", "7,8"}, 1, "it works\n", ""},
		{broken, nil, nil, 1, "it does not\n", ""}, // said on stdout: it is what was asked for
		{nil, errors.New("list processes: no /proc"), nil, 1, "", "loopwatch: list processes: no /proc\n"},
		{nil, nil, []string{"-f", "html"}, 2, "", "must be text or json"},
		{nil, nil, []string{"1234"}, 2, "", "--pid 1234"},
	} {
		var stdout, stderr bytes.Buffer
		var asked []int
		a := &app{
			stdout: &stdout, stderr: &stderr, screen: func(io.Writer) (int, bool) { return 0, false },
			examine: func(_ context.Context, pids []int) (*doctor.Diagnosis, error) { asked = pids; return c.found, c.err },
		}
		assert.Equal(t, c.status, a.run(append([]string{"doctor"}, c.args...)), c.args)
		if c.stdout == "" {
			assert.Empty(t, stdout.String())
		} else {
			assert.Contains(t, stdout.String(), c.stdout)
		}
		if c.stderr == "" {
			assert.Empty(t, stderr.String())
		} else {
			assert.Contains(t, stderr.String(), c.stderr)
		}
		if len(c.args) == 2 && c.args[0] == "-p" {
			assert.Equal(t, []int{7, 8}, asked)
		}
	}
}

func TestDoctorJSON(t *testing.T) {
	var stdout bytes.Buffer
	a := &app{
		stdout: &stdout, stderr: io.Discard, screen: func(io.Writer) (int, bool) { return 0, false },
		examine: func(context.Context, []int) (*doctor.Diagnosis, error) {
			return &doctor.Diagnosis{Schema: doctor.Schema, Works: true}, nil
		},
	}
	assert.Zero(t, a.run([]string{"doctor", "--format", "json"}))
	var d doctor.Diagnosis
	assert.NoError(t, json.Unmarshal(stdout.Bytes(), &d))
	assert.Equal(t, "loopwatch.doctor/v1", d.Schema)
}
