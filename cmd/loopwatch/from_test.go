// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/recording"
	"github.com/loopwatch/loopwatch/internal/report"
	"github.com/loopwatch/loopwatch/internal/report/json"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
)

// savedReport writes a JSON report to a file.
func savedReport(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Write(&b, reporttest.Everything()))
	return savedAs(t, b.String())
}

func savedAs(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "saved")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

// A report that was saved is printed as the observation would have printed it, in every format.
func TestReportFromJSON(t *testing.T) {
	name := savedReport(t)
	for _, format := range report.Names() {
		want := loopwatch(reporttest.Everything(), nil, "report", "-f", format)
		got := loopwatch(nil, nil, "report", "--from", name, "-f", format)
		assert.Equal(t, statusDone, got.status, got.stderr)
		assert.Nil(t, got.options, "nothing is observed")
		assert.Equal(t, want.stdout, got.stdout, format)
		assert.Equal(t, want.stderr, got.stderr, format)
	}
	assert.Equal(t, statusBlocked, loopwatch(nil, nil, "report", "--from", name, "--fail-on-block").status)
}

func recordingOf(t *testing.T, arch string, notes ...recording.Note) string {
	t.Helper()
	var b bytes.Buffer
	w, err := recording.NewWriter(&b)
	require.NoError(t, err)
	h := recording.Header{ThresholdNS: 1e8, StartedAt: time.Unix(5, 0)}
	h.Host.Arch = arch
	w.Begin(h)
	for _, n := range notes {
		w.Note(n)
	}
	require.NoError(t, w.Close())
	return savedAs(t, b.String())
}

func TestReportFromRecording(t *testing.T) {
	end := recording.Note{End: &recording.End{EndedNS: 5e9, Processes: 3}}
	r := loopwatch(nil, nil, "report", "--from", recordingOf(t, runtime.GOARCH, end))
	assert.Equal(t, statusDone, r.status, r.stderr)
	assert.Contains(t, r.stdout, "No event loop was seen in 5 s: none of the 3 Python processes watched waited in one.")

	for _, c := range []struct{ name, says string }{
		{recordingOf(t, runtime.GOARCH), "has no end"},
		{recordingOf(t, "vax", end), "another architecture"},
		{recordingOf(t, runtime.GOARCH, end, end), "something follows the end"},
		{savedAs(t, "\x28\xb5\x2f\xfd and no more"), "no recording of this version, or is cut"},
	} {
		r := loopwatch(nil, nil, "report", "--from", c.name)
		assert.Equal(t, statusFailed, r.status)
		assert.Contains(t, r.stderr, c.says)
		assertOneLine(t, r.stderr)
	}
}

func TestReportFromWhatIsNone(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	for _, c := range []struct {
		status     int
		args, says string
	}{
		{statusUsage, "report --from=", "name of a file"},
		{statusUsage, "report --from x --pid 3 -t 5ms", "leave out --pid and --threshold"},
		{statusUsage, "report --from x --record y", "leave out --record"},
		{statusFailed, "report --from " + dir + "/absent", "no such file"},
		{statusFailed, "report --from " + dir, "is a directory"},
		{statusFailed, "report --from " + fifo, "is empty"},
		{statusFailed, "report --from " + savedAs(t, ""), "is empty"},
		{statusFailed, "report --from " + savedAs(t, "{}"), `no "schema"`},
		{statusFailed, "report --from " + savedAs(t, "<html>"), "no JSON at byte 0"},
		{statusFailed, "report --from " + savedAs(t, strings.Repeat("[", 1<<20)), "no JSON object"},
	} {
		r := loopwatch(nil, nil, strings.Fields(c.args)...)
		assert.Equal(t, c.status, r.status, c.args)
		assert.Contains(t, r.stderr, c.says)
		assertOneLine(t, r.stderr)
		assert.Empty(t, r.stdout)
	}
}

func TestReportFromANewerVersion(t *testing.T) {
	text, err := os.ReadFile(savedReport(t))
	require.NoError(t, err)
	newer := savedAs(t, strings.Replace(string(text), `"started_ns"`, `"we\u001b[31m": 1, "started_ns"`, 1))
	r := loopwatch(nil, nil, "report", "--from", newer)
	assert.Equal(t, statusDone, r.status)
	assert.Contains(t, r.stderr, `has fields that this version does not know, and that are left out: we\x1b[31m`)
	assertOneLine(t, r.stderr)
}

// Paths of annotations are relative to the top of the work tree, whichever directory of it loopwatch is started in.
func TestAnnotationsInTheWorkTree(t *testing.T) {
	top := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(top, ".git"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(top, "tests"), 0o755))
	t.Chdir(filepath.Join(top, "tests"))
	rep := seen(1)
	rep.Blockers[0].Culprit.File = filepath.Join(top, "shop", "a,b.py")
	r := loopwatch(rep, nil, "report", "-f", "github")
	assert.Contains(t, r.stdout, "::warning file=shop/a%2Cb.py,line=42,title=")
	r = loopwatch(rep, nil, "report", "-f", "github", "--fail-on-block")
	assert.Contains(t, r.stdout, "::error file=shop/a%2Cb.py,line=42,title=")
	assert.Equal(t, statusBlocked, r.status)
	assert.Contains(t, loopwatch(rep, nil, "report", "-f", "junit").stdout, `classname="shop/a,b.py"`)

	alone := t.TempDir()
	assert.Equal(t, alone, workTree(alone))
}
