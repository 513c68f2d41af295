// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/recording"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
)

// recordingsDir is where TestTruth and TestCauses put recordings for test/replay. They play less then: one interpreter for
// each release, and all loops on Debian's own alone. Empty: they play all and record nothing.
var recordingsDir = os.Getenv("LOOPWATCH_RECORDINGS")

// recordingFile is a recording being made, nil where none is.
type recordingFile struct{ name string }

// newRecording returns the recording of this name, if recordings are made.
func newRecording(format string, args ...any) *recordingFile {
	if recordingsDir == "" {
		return nil
	}
	return &recordingFile{filepath.Join(recordingsDir, fmt.Sprintf(format, args...))}
}

// flags are what a report needs to make the recording.
func (r *recordingFile) flags() []string {
	if r == nil {
		return nil
	}
	return []string{"--record", r.name + ".zst"}
}

// keep finishes a recording once its report is there, and writes its log. program is the truth program that all played.
// One that lacks a block, or has one too many, is no good: it is to be made again.
func (r *recordingFile) keep(t *testing.T, program string, threshold time.Duration, rep *model.Report, played []*performance, w *waits) {
	t.Helper()
	if r == nil {
		return
	}
	var programs []judge.Program
	pids := map[int]bool{}
	for _, p := range played {
		one := judge.Program{
			Python: p.python.Name, Version: p.python.Version, Program: program, Loop: p.loop,
			PID: p.pid, ThresholdNS: int64(threshold), Log: p.log,
		}
		out := one.Judge(rep, w)
		one.Unplanned, one.Complaints = out.Unplanned, len(out.Complaints)
		assert.Zero(t, out.Missed+out.FalseAlarms, "%s on %s is not fit to be kept:\n%s", filepath.Base(r.name), p.name(), strings.Join(out.Complaints, "\n"))
		programs, pids[p.pid] = append(programs, one), true
	}
	log, err := os.Create(r.name + ".log")
	require.NoError(t, err)
	defer log.Close()
	require.NoError(t, judge.WritePrograms(log, programs))
	require.NoError(t, r.strip(pids), "strip %s", r.name)
}

// strip leaves in a recording only what these processes did, and nothing of the host but its architecture: recordings are
// made on machines that do other things, too, and are published. It also makes the file as small as it can be.
func (r *recordingFile) strip(pids map[int]bool) error {
	whole, err := os.Open(r.name + ".zst")
	if err != nil {
		return err
	}
	defer whole.Close()
	unzip, err := zstd.NewReader(whole)
	if err != nil {
		return err
	}
	defer unzip.Close()
	name := r.name + ".stripped"
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	defer out.Close()
	zip, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(1<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if err := copyOf(zip, bufio.NewReader(unzip), pids); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	return os.Rename(name, r.name+".zst")
}

// copyOf copies the lines of a recording that are about these processes.
func copyOf(w io.Writer, lines *bufio.Reader, pids map[int]bool) error {
	for n := 0; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		} else if err != nil {
			return err
		}
		if n == 0 {
			var h recording.Header
			if err := json.Unmarshal(line, &h); err != nil {
				return err
			}
			h.Host = model.Host{Arch: h.Host.Arch}
			if line, err = json.Marshal(h); err != nil {
				return err
			}
			line = append(line, '\n')
		} else {
			var e struct{ PID int }
			if err := json.Unmarshal(line, &e); err != nil {
				return err
			}
			if !pids[e.PID] {
				continue
			}
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
}

// watchedTogether returns the interpreters that are to be watched together: while recordings are made one of each release,
// each alone.
func watchedTogether(t *testing.T) (all [][]testpython.Interp) {
	t.Helper()
	pythons := testpython.All(t)
	if recordingsDir == "" {
		return slices.Collect(slices.Chunk(pythons, batch))
	}
	return slices.Collect(slices.Chunk(releases(pythons), 1))
}

// debians reports whether an interpreter is this machine's own python3, which Debian's libraries are for.
func debians(python testpython.Interp) bool {
	return python.Root == "" && strings.HasPrefix(python.Path, "/usr/bin/")
}
