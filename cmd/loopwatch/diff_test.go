// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
)

func TestDiff(t *testing.T) {
	before := savedReport(t)
	text := mustRead(t, before)
	r := loopwatch(nil, nil, "diff", before, before)
	assert.Equal(t, statusDone, r.status, r.stderr)
	assert.Regexp(t, "^Nothing is known to be worse: of the blockers ", r.stdout)
	assert.Equal(t, statusDone, loopwatch(nil, nil, "diff", "--fail-on-worse", before, before).status)

	// The loop time is a hundredth: all is a hundred times as often.
	after := savedAs(t, strings.ReplaceAll(strings.ReplaceAll(text, `"idle_ns": 50000000000`, `"idle_ns": 400000000`), `"active_ns": 1000000`, `"active_ns": 10000`))
	for _, format := range []string{"text", "json", "html"} {
		r = loopwatch(nil, nil, "diff", "--fail-on-worse", "-f", format, before, after)
		assert.Equal(t, statusBlocked, r.status, r.stderr)
		assert.Empty(t, r.stderr)
		assert.NotEmpty(t, r.stdout)
		if format == "json" {
			var d model.Diff
			require.NoError(t, json.Unmarshal([]byte(r.stdout), &d))
			assert.Equal(t, model.SchemaDiff, d.Schema)
			assert.Equal(t, model.VerdictWorse, d.Blockers[0].Verdict)
		}
	}
	assert.Equal(t, statusDone, loopwatch(nil, nil, "diff", "--fail-on-worse", after, before).status, "better")

	out := filepath.Join(t.TempDir(), "diff.html")
	assert.Equal(t, statusDone, loopwatch(nil, nil, "diff", "-f", "html", "-o", out, before, after).status)
	assert.FileExists(t, out)
}

func TestDiffOfWhatCannotBeCompared(t *testing.T) {
	before := savedReport(t)
	text := mustRead(t, before)
	other := savedAs(t, strings.Replace(text, `"threshold_ns": 100000000`, `"threshold_ns": 50000000`, 1))
	start, rest, _ := strings.Cut(text, `"loops": [`)
	_, rest, _ = strings.Cut(rest, "\n  ],")
	none := savedAs(t, start+`"loops": [],`+rest)
	for _, c := range []struct {
		status     int
		args, says string
	}{
		{statusUsage, before, "diff needs two reports"},
		{statusUsage, "a b c", "diff needs two reports"},
		{statusUsage, "- -", "only one of the reports"},
		{statusUsage, "-f pprof a b", "text, json or html"},
		{statusUsage, "--output= a b", "name of a file"},
		{statusFailed, before + " /absent", "no such file"},
		{statusFailed, before + " " + other, "different thresholds, 100ms and 50ms"},
		{statusFailed, before + " " + none, "no loop was watched in the report after"},
		{statusFailed, none + " " + before, "no loop was watched in the report before"},
		{statusFailed, before + " " + savedAs(t, "{}"), `no "schema"`},
	} {
		r := loopwatch(nil, nil, append([]string{"diff"}, strings.Fields(c.args)...)...)
		assert.Equal(t, c.status, r.status, c.args)
		assert.Contains(t, r.stderr, c.says)
		assertOneLine(t, r.stderr)
		assert.Empty(t, r.stdout)
	}
}
