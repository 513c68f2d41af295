// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/replay"
	"github.com/loopwatch/loopwatch/test/truth"
)

// TestRecord: a recording that is judged again gives the blocks that the report has, and that goes for a block, too, that
// was under way when the recording ended.
func TestRecord(t *testing.T) {
	pythons := testpython.All(t)
	python := pythons[max(slices.IndexFunc(pythons, debians), 0)]
	stage := newStage(t)
	file := filepath.Join(t.TempDir(), "recording.zst")
	flags := []string{"--duration", "1h", "--record", file}
	var runs []*program
	for _, loop := range []string{"asyncio", "uvloop"} {
		p := stage.run(t, python, truth.Blocking, loop, "--threshold", seconds(usualThreshold()), "--part", "0/4", "--over", "1", "--under", "1")
		if err := p.ready(); loop != "asyncio" && errors.Is(err, errAbsent) {
			continue
		} else {
			require.NoError(t, err)
		}
		runs, flags = append(runs, p), append(flags, "--pid", itoa(p.pid()))
	}
	stands := stage.run(t, python, truth.Standing, "asyncio", "sleep")
	require.NoError(t, stands.ready())
	flags = append(flags, "--pid", itoa(stands.pid()))
	w := watch(t, flags...)
	time.Sleep(settling)
	var wait sync.WaitGroup
	errs := make([]error, len(runs))
	for n, p := range runs {
		wait.Go(func() { _, errs[n] = p.play() })
	}
	wait.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.NoError(t, stands.stdin.Close())
	_, err := stands.next() // it is about to sleep, for good
	require.NoError(t, err)
	time.Sleep(2 * usualThreshold())

	rep := w.stop(t)
	checkFrom(t, rep, file)
	require.True(t, slices.ContainsFunc(rep.Blocks, func(b model.Block) bool { return b.Ongoing }), "a block is under way")
	require.Greater(t, len(rep.Blocks), 1, "others have ended")
	again, err := replay.File(file)
	require.NoError(t, err)
	for i := range rep.Blocks {
		require.NotEmpty(t, rep.Blocks[i].StartedAt)
	}
	want, err := replay.Plain(rep.Blocks)
	require.NoError(t, err)
	got, err := replay.Plain(again.Blocks)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// checkFrom holds what is printed of a recording against the report that was made meanwhile, without privileges.
func checkFrom(t *testing.T, rep *model.Report, file string) {
	t.Helper()
	require.NoError(t, os.Chmod(file, 0o644))
	recorded, err := os.Open(file)
	require.NoError(t, err)
	defer recorded.Close()
	for _, format := range []string{"json", "text", "html", "folded"} {
		cmd := exec.Command(binary, "report", "--from", "-", "--format", format)
		_, err := recorded.Seek(0, io.SeekStart)
		require.NoError(t, err)
		cmd.Stdin, cmd.Dir = recorded, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		got, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", got)
		f, _ := report.Named(format)
		var want bytes.Buffer
		require.NoError(t, f.Write(&want, rep, report.Options{}))
		assert.Equal(t, want.String(), string(got), format)
	}
}
