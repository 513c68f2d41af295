// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/observe"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// A command replaces its file, and leaves it alone where it fails.
func TestOutputFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	require.Equal(t, statusDone, loopwatch(seen(1), nil, "report", "-f", "json", "-o", file).status)
	first, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.True(t, json.Valid(first))
	r := loopwatch(seen(0), nil, "report", "-o", file)
	require.Equal(t, statusDone, r.status)
	assert.Empty(t, r.stdout)
	before, _ := os.ReadFile(file)
	assert.NotEqual(t, first, before)
	require.Equal(t, statusFailed, loopwatch(nil, errors.New("x: y; z"), "report", "-o", file).status)
	after, _ := os.ReadFile(file)
	assert.Equal(t, before, after, "a failed observation leaves the old report")
	assert.Contains(t, loopwatch(seen(1), nil, "report", "-o", "-").stdout, "Worst:")
}

func TestUnwritableOutputIsFoundBeforeObserving(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	for _, name := range []string{dir, filepath.Join(dir, "no", "such"), filepath.Join(file, "below"), "/proc/nothing", "/proc/version", strings.Repeat("x", 300) + "/y"} {
		r := loopwatch(seen(1), nil, "report", "-o", name)
		assert.Equal(t, statusFailed, r.status, name)
		assert.Contains(t, r.stderr, "cannot write to")
		assertOneLine(t, r.stderr)
		assert.Nil(t, r.options, "%s: observed before it was found unwritable", name)
	}
}

func TestFullDeviceIsAnError(t *testing.T) {
	r := loopwatch(seen(1), nil, "report", "-o", "/dev/full")
	assert.Equal(t, statusFailed, r.status)
	assert.Contains(t, r.stderr, "no space left on device")
	assertOneLine(t, r.stderr)
}

func TestFormats(t *testing.T) {
	f := loopwatch(seen(3), nil, "report", "-f", "folded")
	assert.Equal(t, "app.py[7];unknown;[no stack] 600000000\n", f.stdout)
	assert.Empty(t, f.stderr)
	assert.True(t, json.Valid([]byte(loopwatch(seen(3), nil, "report", "-f", "speedscope").stdout)))
	p, err := profile.ParseData([]byte(loopwatch(seen(3), nil, "report", "-f", "pprof").stdout))
	require.NoError(t, err)
	assert.Equal(t, []int64{3, 6e8}, p.Sample[0].Value)
	for _, format := range reportFormats().allowed {
		r := loopwatch(seen(1), nil, "report", "-f", format, "--fail-on-block")
		assert.Equal(t, statusBlocked, r.status, format)
		assert.NotEmpty(t, r.stdout, format)
		assert.Equal(t, statusDone, loopwatch(seen(0), nil, "report", "-f", format, "--fail-on-block").status, format)
	}
}

func TestFormatsSayWhatTheyLeaveOut(t *testing.T) {
	rep := seen(1)
	rep.Lost.Reasons = map[string]int64{summary.ReasonBlocksOverLimit: 1234}
	for _, format := range []string{"folded", "speedscope", "pprof"} {
		r := loopwatch(rep, nil, "report", "-f", format)
		assert.Equal(t, statusDone, r.status)
		assert.Contains(t, r.stderr, "1234 blocks, the shortest, are not in this "+format+" file")
		assertOneLine(t, r.stderr)
	}
	assert.Empty(t, loopwatch(rep, nil, "report", "-f", "json").stderr, "it says so itself")
}

func TestBinaryIsNotForTerminals(t *testing.T) {
	run := func(args ...string) (int, string) {
		var stderr bytes.Buffer
		a := &app{stdout: io.Discard, stderr: &stderr, screen: func(w io.Writer) (int, bool) { return 80, w == io.Discard },
			observe: func(context.Context, observe.Options) (*model.Report, error) { return seen(1), nil }}
		return a.run(append([]string{"report"}, args...)), stderr.String()
	}
	for _, args := range [][]string{{"-f", "pprof"}, {"-f", "pprof", "-o", "-"}} {
		status, stderr := run(args...)
		assert.Equal(t, statusUsage, status)
		assert.Contains(t, stderr, "--output FILE")
		assertOneLine(t, stderr)
	}
	status, _ := run("-f", "pprof", "-o", filepath.Join(t.TempDir(), "p"))
	assert.Equal(t, statusDone, status)
	status, _ = run("-f", "folded")
	assert.Equal(t, statusDone, status)
}

// TestDirectoryIsTheOneFound swaps the directory while the observation runs.
func TestDirectoryIsTheOneFound(t *testing.T) {
	top := t.TempDir()
	dir, moved, elsewhere := filepath.Join(top, "dir"), filepath.Join(top, "moved"), filepath.Join(top, "elsewhere")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.Mkdir(elsewhere, 0o755))
	a := &app{stdout: io.Discard, stderr: io.Discard, screen: func(io.Writer) (int, bool) { return 0, false },
		observe: func(context.Context, observe.Options) (*model.Report, error) {
			require.NoError(t, os.Rename(dir, moved))
			require.NoError(t, os.Symlink(elsewhere, dir))
			return seen(1), nil
		}}
	require.Equal(t, statusDone, a.run([]string{"report", "-o", filepath.Join(dir, "report")}))
	assert.FileExists(t, filepath.Join(moved, "report"))
	assert.NoFileExists(t, filepath.Join(elsewhere, "report"))
}

func TestOutputToAnOpenFile(t *testing.T) {
	read, write, err := os.Pipe()
	require.NoError(t, err)
	cmd := process(t, "obeys", write, "report", "-d", "10ms", "-f", "json", "-o", "/dev/stdout")
	require.NoError(t, write.Close())
	data, err := io.ReadAll(read)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
	assert.True(t, json.Valid(data))
}
