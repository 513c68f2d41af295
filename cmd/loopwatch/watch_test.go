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
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/observe"
)

// watching runs "watch" with an observation that reports blocks and then, if wait is true, waits to be
// stopped.
func watching(stdout io.Writer, blocks int, wait bool, args ...string) (status int, stderr string) {
	var errs bytes.Buffer
	a := &app{
		stdout: stdout, stderr: &errs,
		screen: func(io.Writer) (int, bool) { return 0, false },
		watchBlocks: func(ctx context.Context, o observe.Options, report func(observe.Sighting)) (model.Lost, error) {
			o.Ready(observe.Status{Loops: 2, Processes: 1})
			for i := range blocks {
				report(observe.Sighting{
					Block: model.Block{PID: 7, TID: 7, StartNS: int64(i), DurationNS: 2e8, Cause: model.CauseSleep},
					Loop:  model.Loop{PID: 7, TID: 7, Command: "python3 app.py"}, Start: time.Now(),
				})
			}
			if wait {
				select {
				case <-ctx.Done():
				case <-time.After(time.Minute):
					return model.Lost{}, errors.New("was not stopped")
				}
			}
			return model.Lost{}, nil
		},
	}
	status = a.run(append([]string{"watch"}, args...))
	return status, errs.String()
}

func TestWatchPrintsALinePerBlock(t *testing.T) {
	var out bytes.Buffer
	status, stderr := watching(&out, 100, false, "-f", "jsonl")
	assert.Zero(t, status)
	assert.Contains(t, stderr, "watching 2 loops in 1 Python process, blocks of 100 ms and more")
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 100)
	for _, line := range lines {
		var b model.Block
		require.NoError(t, json.Unmarshal([]byte(line), &b))
		assert.Equal(t, model.SchemaBlock, b.Schema)
	}

	out.Reset()
	status, _ = watching(&out, 100, false)
	assert.Zero(t, status)
	assert.Equal(t, 2, strings.Count(out.String(), "\n"), out.String())
	assert.Contains(t, out.String(), "x99 in the last 1 s")
}

// A reader that goes away ends it.
func TestWatchEndsWithItsReader(t *testing.T) {
	status, stderr := watching(brokenBy(syscall.EPIPE), 1, true, "-f", "jsonl")
	assert.Zero(t, status)
	assert.NotContains(t, stderr, "warning")
}

// A full disk is said once, the lines it cost are counted, and it goes on.
func TestWatchSurvivesAFullDisk(t *testing.T) {
	status, stderr := watching(brokenBy(syscall.ENOSPC), 50, false, "-f", "jsonl")
	assert.Zero(t, status)
	assert.Equal(t, 1, strings.Count(stderr, "no space left"), stderr)
	assert.Contains(t, stderr, "50 lines not printed")
}

// A slow reader costs blocks, never time, and is told how many.
func TestWatchCountsWhatASlowReaderMisses(t *testing.T) {
	p := &printer{queue: make(chan observe.Sighting, 3)}
	for range 10 {
		p.enqueue(observe.Sighting{})
	}
	assert.EqualValues(t, 7, p.dropped.Load())
}

// What waits for a slow reader is bounded by its stacks, too.
func TestWatchBoundsTheStacksThatWait(t *testing.T) {
	p := &printer{queue: make(chan observe.Sighting, watchQueue)}
	deep := observe.Sighting{Block: model.Block{Stacks: []model.Stack{{Frames: make([]model.Frame, watchQueueSize/4/64)}}}}
	for range 10 {
		p.enqueue(deep)
	}
	kept := watchQueueSize / deep.Size()
	assert.Len(t, p.queue, kept)
	assert.EqualValues(t, 10-kept, p.dropped.Load())
	assert.EqualValues(t, kept*deep.Size(), p.waiting.Load())
}

func TestWatchAppends(t *testing.T) {
	file := filepath.Join(t.TempDir(), "blocks")
	for range 2 {
		status, stderr := watching(io.Discard, 3, false, "-f", "jsonl", "-o", file)
		require.Zero(t, status, stderr)
	}
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, 6, bytes.Count(written, []byte("\n")))
}

// brokenBy is a writer that always fails.
func brokenBy(err error) io.Writer {
	return &flaky{w: io.Discard, failures: -1, err: err, nothing: true}
}

// flaky writes a part of what it is given and fails, so many times.
type flaky struct {
	w        io.Writer
	failures int
	err      error
	nothing  bool
}

func (f *flaky) Write(p []byte) (int, error) {
	if f.failures == 0 {
		return f.w.Write(p)
	}
	f.failures--
	if f.nothing {
		return 0, f.err
	}
	n, _ := f.w.Write(p[:2])
	return n, syscall.ENOSPC
}
