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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/observe"
	"github.com/loopwatch/loopwatch/internal/parallel"
)

// runWith runs "run" with real commands and this observation.
func runWith(do func(context.Context, observe.Options) (*model.Report, error), args ...string) result {
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr, screen: func(io.Writer) (int, bool) { return 0, false }, observe: do}
	r := result{status: a.run(append([]string{"run"}, args...))}
	r.stdout, r.stderr = stdout.String(), stderr.String()
	return r
}

// TestRunOutlivesItsObservation has the observation fail in every way, before the command has started and after.
func TestRunOutlivesItsObservation(t *testing.T) {
	type observation = func(context.Context, observe.Options) (*model.Report, error)
	const lost, off = "the command goes on, but is no longer observed, and there is no report: ", "the command runs, but is not observed: "
	for name, c := range map[string]struct {
		do   observation
		says string
	}{
		"cannot begin": {func(context.Context, observe.Options) (*model.Report, error) {
			return nil, errors.New("not root; run it with sudo")
		}, off + "not root; run it with sudo"},
		"panics at the start": {func(context.Context, observe.Options) (*model.Report, error) {
			panic("fallen over")
		}, off + "internal error: fallen over; set LOOPWATCH_DEBUG=1"},
		"fails in the middle": {func(_ context.Context, o observe.Options) (*model.Report, error) {
			o.Ready(observe.Status{})
			return nil, errors.New("the ring buffer is gone; try again")
		}, lost + "the ring buffer is gone; try again"},
		"panics in the middle": {func(_ context.Context, o observe.Options) (*model.Report, error) {
			o.Ready(observe.Status{})
			panic("fallen over")
		}, lost + "internal error: fallen over"},
		"panics elsewhere": {func(ctx context.Context, o observe.Options) (*model.Report, error) {
			o.Ready(observe.Status{})
			parallel.For(ctx, 8, func(int) { panic("fallen over") })
			return nil, nil
		}, lost + "internal error: fallen over"},
		"fails at the end": {func(ctx context.Context, o observe.Options) (*model.Report, error) {
			o.Ready(observe.Status{})
			<-ctx.Done()
			return nil, errors.New("out of memory; give it more")
		}, lost + "out of memory; give it more"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file")
			script := "sleep 0.1; echo done > " + file + "; exit "
			for _, status := range []string{"0", "7"} {
				r := runWith(c.do, "sh", "-c", script+status)
				assert.Equal(t, status == "7", r.status == 7, r.stderr)
				assert.Equal(t, status == "0", r.status == statusDone, r.stderr)
				assert.Contains(t, r.stderr, c.says)
				assertOneLine(t, r.stderr)
				assert.FileExists(t, file, "the command ran to its end")
				require.NoError(t, os.Remove(file))
			}
			assert.Equal(t, 137, runWith(c.do, "sh", "-c", "kill -KILL $$").status)
			assert.Equal(t, statusFailed, runWith(c.do, "--fail-on-block", "true").status, "nobody knows whether there was a block")
			assert.Equal(t, 7, runWith(c.do, "--fail-on-block", "sh", "-c", "exit 7").status)
			assert.Equal(t, statusFailed, runWith(c.do, "/no/such/command").status)
		})
	}
}

// An output that cannot be written to costs the report and not the command. One that cannot be opened is found out before.
func TestRunOutlivesItsOutput(t *testing.T) {
	for _, status := range []int{0, 7} {
		r := running(seen(0), "-o", "/dev/full", "sh", "-c", "exit "+string(rune('0'+status)))
		assert.Equal(t, status, r.status)
		assert.Contains(t, r.stderr, "cannot write to /dev/full: no space left on device")
		assertOneLine(t, r.stderr)
	}
	started := filepath.Join(t.TempDir(), "started")
	r := running(seen(0), "-o", "/no/such/directory/file", "touch", started)
	assert.Equal(t, statusFailed, r.status)
	assert.Contains(t, r.stderr, "cannot write to /no/such/directory/file: no such file or directory; name another file with --output")
	assert.NoFileExists(t, started)
	assert.Equal(t, statusBlocked, running(seen(1), "--fail-on-block", "-o", "/dev/full", "true").status, "that was seen")
}

// A signal before the command has started ends it all, also where the observation does not come back.
func TestRunIsInterruptedBeforeItsStart(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		for _, hangs := range []bool{false, true} {
			file := filepath.Join(t.TempDir(), "file")
			r := runWith(func(ctx context.Context, o observe.Options) (*model.Report, error) {
				require.NoError(t, syscall.Kill(os.Getpid(), sig))
				if hangs {
					select {}
				}
				<-ctx.Done()
				o.Ready(observe.Status{}) // too late
				return seen(0), nil
			}, "touch", file)
			assert.Equal(t, 128+int(sig), r.status)
			assert.Contains(t, r.stderr, "the command was not started: SIG")
			assertOneLine(t, r.stderr)
			assert.NoFileExists(t, file)
		}
	}
}

// What comes later is the command's.
func TestRunPassesSignalsOn(t *testing.T) {
	for _, fails := range []bool{false, true} {
		r := runWith(func(ctx context.Context, o observe.Options) (*model.Report, error) {
			if !fails {
				o.Ready(observe.Status{})
				time.AfterFunc(100*time.Millisecond, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM) })
				<-ctx.Done()
				return seen(0), nil
			}
			time.AfterFunc(100*time.Millisecond, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM) })
			return nil, errors.New("not root; run it with sudo")
		}, "sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.01; done")
		assert.Equal(t, 9, r.status, r.stderr)
		assert.Equal(t, fails, strings.Contains(r.stderr, "not observed"))
	}
}
