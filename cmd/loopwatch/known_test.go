// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/report"
)

// What is known is let through, counted and shown in every format.
func TestIgnore(t *testing.T) {
	rules := savedAs(t, "cause=sleep file=*/none.py\nfunction=Handler.*  # legacy\n")
	for _, format := range report.Names() {
		r := loopwatch(seen(3), nil, "report", "--fail-on-block", "--ignore", rules, "-f", format)
		assert.Equal(t, statusDone, r.status, format)
		if f, _ := report.Named(format); f.Binary {
			r.stdout = ""
		}
		all := r.stdout + r.stderr
		if format == "json" {
			assert.Contains(t, all, `"let_through"`)
		} else {
			assert.Contains(t, all, "1 of 1 blocker let through", format)
		}
		assert.Contains(t, all, "cause=sleep file=*/none.py", format)
	}
	assert.Equal(t, statusBlocked, loopwatch(seen(3), nil, "report", "--fail-on-block", "--ignore", savedAs(t, "cause=cpu")).status)

	r := loopwatch(seen(3), nil, "report", "--ignore", rules)
	assert.Contains(t, r.stdout, "let through by "+rules+":2: legacy")
}

func TestBaseline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "baseline.json")
	r := loopwatch(seen(3), nil, "report", "--fail-on-block", "--write-baseline", file)
	assert.Equal(t, statusBlocked, r.status, "a new baseline lets nothing through")
	r = loopwatch(seen(3), nil, "report", "--fail-on-block", "--baseline", file)
	assert.Equal(t, statusDone, r.status, r.stderr)
	assert.Contains(t, r.stdout, "1 of 1 blocker let through as known: 3 blocks")
	assert.Contains(t, r.stdout, "let through: the baseline has it")
	r = loopwatch(nil, nil, "report", "--from", file, "--fail-on-block", "--baseline", file, "-f", "json")
	assert.Equal(t, statusDone, r.status, r.stderr)
	assert.Contains(t, r.stdout, `"baseline": "known"`)
}

func TestWrongIgnoreFilesAndBaselines(t *testing.T) {
	dir := t.TempDir()
	bad := savedAs(t, "cause=cpu\n\ncause=\x1bevil\n")
	other := savedAs(t, strings.Replace(mustRead(t, savedReport(t)), `"threshold_ns": 100000000`, `"threshold_ns": 50000000`, 1))
	for _, c := range []struct {
		status     int
		args, says string
	}{
		{statusFailed, "--ignore " + bad, bad + `:3: there is no cause "\x1bevil"`},
		{statusFailed, "--ignore " + dir + "/absent", "no such file"},
		{statusFailed, "--ignore " + dir, "is a directory"},
		{statusUsage, "--ignore=", "--ignore needs the name of a file"},
		{statusUsage, "--baseline=", "--baseline needs the name of a file"},
		{statusUsage, "--write-baseline -", "a baseline on stdout is --format json"},
		{statusFailed, "--baseline " + bad, "--baseline: cannot read the report in"},
		{statusFailed, "--baseline " + dir + "/absent", "no such file"},
		{statusFailed, "--write-baseline " + dir + "/absent/x", "--write-baseline"},
		{statusUsage, "--baseline " + other, "add --threshold 50ms"},
	} {
		for _, command := range []string{"report", "run"} {
			args := append([]string{command}, strings.Fields(c.args)...)
			if command == "run" {
				args = append(args, "--", "true")
			}
			r := loopwatch(seen(1), nil, args...)
			assert.Equal(t, c.status, r.status, "%s: %s", args, r.stderr)
			assert.Contains(t, r.stderr, c.says)
			assertOneLine(t, r.stderr)
			assert.Nil(t, r.options, "nothing is observed")
		}
	}
	r := loopwatch(nil, nil, "report", "--from", savedReport(t), "--baseline", other)
	assert.Equal(t, statusFailed, r.status)
	assert.Contains(t, r.stderr, "another threshold")
}

func mustRead(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}
