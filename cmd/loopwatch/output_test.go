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
	"syscall"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/observe"
	"github.com/loopwatch/loopwatch/internal/summary"
)

func TestOutputFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "report.json")
	require.Equal(t, statusDone, loopwatch(seen(1), nil, "report", "-f", "json", "-o", file).status)
	first, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.True(t, json.Valid(first))

	require.NoError(t, os.Chmod(file, 0o600))
	r := loopwatch(seen(0), nil, "report", "-o", file)
	require.Equal(t, statusDone, r.status)
	assert.Empty(t, r.stdout)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "keeps its mode")

	before, _ := os.ReadFile(file)
	require.Equal(t, statusFailed, loopwatch(nil, errors.New("x: y; z"), "report", "-o", file).status)
	after, _ := os.ReadFile(file)
	assert.Equal(t, before, after, "a failed observation leaves the old report")

	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(file, link))
	require.Equal(t, statusDone, loopwatch(seen(1), nil, "report", "-f", "json", "-o", link).status)
	target, err := os.Readlink(link)
	require.NoError(t, err)
	assert.Equal(t, file, target, "a link stays a link")
	through, _ := os.ReadFile(file)
	assert.True(t, json.Valid(through), "nothing of the longer old text is left")

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 2, "no temporary file is left")

	r = loopwatch(seen(1), nil, "report", "-o", "-")
	assert.Contains(t, r.stdout, "Worst:")
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

// TestFullDiskLeavesTheOldFile needs a file system of a few pages.
func TestFullDiskLeavesTheOldFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting takes root")
	}
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32k"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
	file := filepath.Join(dir, "report")
	require.NoError(t, os.WriteFile(file, []byte("old"), 0o644))
	for _, format := range []string{"text", "json", "speedscope"} {
		rep := seen(5000)
		rep.Unsupported = append(rep.Unsupported, model.Unsupported{Reason: strings.Repeat("x", 200_000)})
		if format == "text" {
			for range 2000 {
				rep.Unsupported = append(rep.Unsupported, model.Unsupported{PID: 1, Reason: strings.Repeat("x", 150)})
			}
		}
		r := loopwatch(rep, nil, "report", "-v", "-f", format, "-o", file)
		assert.Equal(t, statusFailed, r.status, format)
		assert.Contains(t, r.stderr, "no space left on device; make room there")
		assertOneLine(t, r.stderr)
		old, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, "old", string(old))
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Len(t, entries, 1, "no half file is left")
	}
}

func TestOutputHonoursTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	file := filepath.Join(t.TempDir(), "report")
	require.Equal(t, statusDone, loopwatch(seen(1), nil, "report", "-o", file).status)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o640), info.Mode().Perm())
}

// TestOthersDoNotDecideWhereRootWrites puts into a directory what another user could.
func TestOthersDoNotDecideWhereRootWrites(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("chown takes root")
	}
	const nobody = 65534
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o1777))
	precious := filepath.Join(dir, "precious")
	require.NoError(t, os.WriteFile(precious, []byte("precious"), 0o600))

	link, fifo := filepath.Join(dir, "link"), filepath.Join(dir, "fifo")
	require.NoError(t, os.Symlink(precious, link))
	require.NoError(t, unix.Mkfifo(fifo, 0o666))
	for _, path := range []string{link, fifo} {
		require.NoError(t, os.Lchown(path, nobody, nobody))
		r := loopwatch(seen(1), nil, "report", "-o", path)
		assert.Equal(t, statusFailed, r.status)
		assert.Contains(t, r.stderr, "of another user (65534); name another file")
		assertOneLine(t, r.stderr)
		assert.Nil(t, r.options)
	}
	ours := filepath.Join(dir, "ours") // a link of ours to theirs
	require.NoError(t, os.Symlink("link", ours))
	assert.Equal(t, statusFailed, loopwatch(seen(1), nil, "report", "-o", ours).status)
	kept, err := os.ReadFile(precious)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(kept))

	// A file of theirs gives way to one of ours, which they cannot write to.
	theirs := filepath.Join(dir, "theirs")
	require.NoError(t, os.WriteFile(theirs, nil, 0o666))
	require.NoError(t, os.Chmod(theirs, 0o666))
	require.NoError(t, os.Chown(theirs, nobody, nobody))
	held, err := os.OpenFile(theirs, os.O_RDWR, 0)
	require.NoError(t, err)
	defer held.Close()
	require.Equal(t, statusDone, loopwatch(seen(1), nil, "report", "-o", theirs).status)
	info, err := os.Stat(theirs)
	require.NoError(t, err)
	assert.Zero(t, info.Mode().Perm()&0o022)
	assert.Zero(t, info.Sys().(*syscall.Stat_t).Uid)
	old, err := io.ReadAll(held)
	require.NoError(t, err)
	assert.Empty(t, old, "nothing is written to the file they hold open")
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

func TestLinksAreFollowedOnlySoFar(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Symlink("b", filepath.Join(dir, "a")))
	require.NoError(t, os.Symlink("a", filepath.Join(dir, "b")))
	r := loopwatch(seen(1), nil, "report", "-o", filepath.Join(dir, "a"))
	assert.Equal(t, statusFailed, r.status)
	assert.Contains(t, r.stderr, "too many levels of symbolic links")

	require.NoError(t, os.Symlink("report", filepath.Join(dir, "dangling")))
	require.Equal(t, statusDone, loopwatch(seen(1), nil, "report", "-o", filepath.Join(dir, "dangling")).status)
	assert.FileExists(t, filepath.Join(dir, "report"))
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
