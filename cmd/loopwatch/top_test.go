// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/live"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/observe"
)

// topping runs top on a faked observation that shows n views of one loop.
func topping(stdout io.Writer, n int, lost model.Lost, end error, args ...string) (status int, stderr string, o observe.Options, l observe.LiveOptions) {
	var errs bytes.Buffer
	a := &app{
		stdout: stdout, stderr: &errs,
		screen: func(io.Writer) (int, bool) { return 0, false },
		watchLive: func(ctx context.Context, options observe.Options, following observe.LiveOptions) (model.Lost, error) {
			o, l = options, following
			options.Ready(observe.Status{Loops: 1, Processes: 1})
			for range n + 1 {
				if ctx.Err() != nil {
					break
				}
				following.Show(&live.View{At: time.Now(), Every: time.Second, Threshold: 100 * time.Millisecond,
					Loops: []live.Loop{{Loop: model.Loop{PID: 7, TID: 7, Command: "python3 app.py"}}}})
				time.Sleep(time.Millisecond)
			}
			return lost, end
		},
	}
	return a.run(append([]string{"top"}, args...)), errs.String(), o, l
}

func TestTopPrintsLinesWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	status, stderr, o, l := topping(&out, 3, model.Lost{}, nil, "--delay", "5s", "-t", "20ms", "-p", "7")
	assert.Zero(t, status)
	assert.Contains(t, stderr, "watching 1 loop in 1 Python process, blocks of 20 ms and more")
	assert.Equal(t, 3, strings.Count(out.String(), " app.py[7] "))
	assert.Equal(t, 20*time.Millisecond, o.Threshold)
	assert.Equal(t, []int{7}, o.PIDs)
	assert.Zero(t, o.Duration, "until interrupted")
	assert.Equal(t, 5*time.Second, l.Every)
}

// A log on the terminal would be written over the screen.
func TestTopLogsElsewhere(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		a := &app{screen: func(io.Writer) (int, bool) { return 80, terminal }}
		f := &observeFlags{logLevel: choice{value: "info"}}
		err := a.checkLog(&cobra.Command{}, f, os.Stdout)
		assert.Equal(t, terminal, errors.As(err, new(usageError)), "%v", err)
		assert.NoError(t, a.checkLog(&cobra.Command{}, f, nil), "nothing is drawn")
		f.logLevel.value = noLog
		assert.NoError(t, a.checkLog(&cobra.Command{}, f, os.Stdout), "nothing is logged")
	}
}

func TestTopSaysWhatWasLost(t *testing.T) {
	status, stderr, _, _ := topping(io.Discard, 1, model.Lost{Events: 2, Stacks: 1}, nil)
	assert.Zero(t, status)
	assert.Contains(t, stderr, "2 events and 1 stack lost on the way")
}

func TestTopFails(t *testing.T) {
	status, stderr, _, _ := topping(io.Discard, 0, model.Lost{}, errors.New("no BTF; use another kernel"))
	assert.Equal(t, 1, status)
	assert.Contains(t, stderr, "loopwatch: no BTF; use another kernel\n")
}

func TestTopAppends(t *testing.T) {
	file := filepath.Join(t.TempDir(), "loops")
	for range 2 {
		status, stderr, _, _ := topping(io.Discard, 2, model.Lost{}, nil, "-o", file)
		require.Zero(t, status, stderr)
	}
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, 4, bytes.Count(written, []byte(" app.py[7] ")))
}

// A reader that has closed the pipe ends it; a full disk is said once and does not.
func TestTopWithBadReaders(t *testing.T) {
	status, stderr, _, _ := topping(brokenBy(syscall.EPIPE), 1000, model.Lost{}, nil)
	assert.Zero(t, status)
	assert.NotContains(t, stderr, "written")
	status, stderr, _, _ = topping(brokenBy(syscall.ENOSPC), 5, model.Lost{}, nil)
	assert.Zero(t, status)
	assert.Equal(t, 1, strings.Count(stderr, "no space left"), stderr)
	assert.Contains(t, stderr, "5 tables not printed")
}
