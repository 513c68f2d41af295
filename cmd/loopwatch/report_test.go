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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/observe"
	"github.com/loopwatch/loopwatch/internal/output"
	"github.com/loopwatch/loopwatch/internal/recording"
)

// recorded runs "loopwatch report" with an observation that records what record does.
func recorded(record func(*recording.Writer), args ...string) result {
	return observing(func(o observe.Options) (*model.Report, error) {
		record(o.Record)
		return seen(1), nil
	}, append([]string{"report", "-f", "json"}, args...)...)
}

func onePeriod(w *recording.Writer) {
	w.Begin(recording.Header{ThresholdNS: 5})
	w.Add(&block.Evidence{PID: 7})
}

func TestRecordAndReport(t *testing.T) {
	dir := t.TempDir()
	r := recorded(onePeriod, "--record", filepath.Join(dir, "a.zst"), "-o", filepath.Join(dir, "a.json"))
	require.Equal(t, statusDone, r.status, r.stderr)
	text, err := os.ReadFile(filepath.Join(dir, "a.json"))
	require.NoError(t, err)
	assert.True(t, json.Valid(text))
	f, err := os.Open(filepath.Join(dir, "a.zst"))
	require.NoError(t, err)
	defer f.Close()
	read, err := recording.NewReader(f)
	require.NoError(t, err)
	defer read.Close()
	assert.Equal(t, int64(5), read.Header.ThresholdNS)
	e, err := read.Next()
	require.NoError(t, err)
	assert.Equal(t, 7, e.Evidence.PID)
}

// One file cannot hold both, by whatever names it is called.
func TestRecordingAndReportNeedTwoFiles(t *testing.T) {
	dir := t.TempDir()
	fresh, there, link := filepath.Join(dir, "fresh"), filepath.Join(dir, "there"), filepath.Join(dir, "link")
	require.NoError(t, os.WriteFile(there, []byte("old"), 0o644))
	require.NoError(t, os.Symlink("there", link))
	aside := filepath.Join(dir, "aside")
	require.NoError(t, os.Symlink(".", aside))
	for _, c := range [][2]string{
		{fresh, fresh}, {there, there}, {dir + "/./fresh", fresh}, {link, there}, {there, link},
		{filepath.Join(aside, "fresh"), fresh}, {"/dev/null", "/dev/null"},
	} {
		r := recorded(onePeriod, "--record", c[0], "--output", c[1])
		assert.Equal(t, statusUsage, r.status, c)
		assert.Contains(t, r.stderr, "--record and --output need two files")
		assertOneLine(t, r.stderr)
		assert.Nil(t, r.options, "nothing may be observed")
	}
	old, err := os.ReadFile(there)
	require.NoError(t, err)
	assert.Equal(t, "old", string(old))
	assert.NoFileExists(t, fresh)
	for _, c := range [][2]string{{fresh, there}, {link, fresh}, {"/dev/null", fresh}} {
		assert.Equal(t, statusDone, recorded(onePeriod, "--record", c[0], "--output", c[1]).status, c)
	}
}

// TestRecordingOverStdout: stdout is redirected to the very file that --record names.
func TestRecordingOverStdout(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	stdout, err := os.Create(name)
	require.NoError(t, err)
	defer stdout.Close()
	var stderr bytes.Buffer
	a := &app{stdout: stdout, stderr: &stderr, screen: func(io.Writer) (int, bool) { return 0, false },
		observe: func(context.Context, observe.Options) (*model.Report, error) { return seen(1), nil }}
	assert.Equal(t, statusUsage, a.run([]string{"report", "--record", name}))
	assert.Contains(t, stderr.String(), "need two files")
}

func TestRecordNeedsAName(t *testing.T) {
	for _, name := range []string{"", output.Stdout} {
		r := recorded(onePeriod, "--record="+name)
		assert.Equal(t, statusUsage, r.status)
		assert.Contains(t, r.stderr, "--record needs the name of a file")
		assert.Nil(t, r.options)
	}
}

func TestUnwritableRecordingIsFoundBeforeObserving(t *testing.T) {
	r := recorded(onePeriod, "--record", filepath.Join(t.TempDir(), "no", "such"))
	assert.Equal(t, statusFailed, r.status)
	assert.Contains(t, r.stderr, "no such file or directory; name another file with --record")
	assertOneLine(t, r.stderr)
	assert.Nil(t, r.options)
}

// A recording that cannot be written costs the exit status and not the report.
func TestFailedRecordingStillReports(t *testing.T) {
	for name, c := range map[string]struct {
		file   string
		record func(*recording.Writer)
		says   string
	}{
		"full disk": {"/dev/full", onePeriod, "cannot write to /dev/full: no space left on device; make room there, or name another file with --record"},
		"long line": {"", func(w *recording.Writer) {
			w.Begin(recording.Header{Host: model.Host{Hostname: strings.Repeat("x", 1<<20)}})
		}, "take fewer samples with --rate"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.file == "" {
				c.file = filepath.Join(t.TempDir(), "recording")
			}
			r := recorded(c.record, "--record", c.file)
			assert.Equal(t, statusFailed, r.status)
			assert.True(t, json.Valid([]byte(r.stdout)), "the report is there")
			assert.Contains(t, r.stderr, c.says)
			assertOneLine(t, r.stderr)
			if c.file != "/dev/full" {
				assert.NoFileExists(t, c.file, "no half of a recording is left")
			}
		})
	}
}
