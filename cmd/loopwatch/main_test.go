// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/observe"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// asCommand names the variable that makes this test binary behave as loopwatch with a faked
// observation, for what only a real process shows: signals and pipes.
const asCommand = "LOOPWATCH_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		a := &app{stdout: os.Stdout, stderr: os.Stderr, screen: screenOf, observe: fakeObserve, watchBlocks: fakeWatch}
		os.Exit(a.run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// seen is what the faked observation reports.
func seen(blocks int) *model.Report {
	f := model.Frame{Function: "Handler.get", File: "/srv/app.py", Line: 42, App: true}
	var list []model.Block
	for i := range blocks {
		list = append(list, model.Block{PID: 7, TID: 7, StartNS: int64(i), DurationNS: 2e8, Cause: model.CauseSleep, Culprit: &f})
	}
	return summary.Assemble(summary.Meta{StartedAt: time.Now(), EndedNS: 1e9, ThresholdNS: 1e8},
		[]model.Loop{{PID: 7, TID: 7, Command: "python3 app.py"}}, list)
}

// fakeObserve watches nothing until it is told to end, then has seen one block.
func fakeObserve(ctx context.Context, o observe.Options) (*model.Report, error) {
	o.Ready(observe.Status{})
	o.Warn("watching") // tells the test that signals are expected from here on
	select {
	case <-ctx.Done():
	case <-time.After(o.Duration):
	}
	if os.Getenv(asCommand) == "stuck" {
		select {}
	}
	return seen(1), nil
}

// fakeWatch watches nothing until it is told to end.
func fakeWatch(ctx context.Context, o observe.Options, _ func(observe.Sighting)) (model.Lost, error) {
	o.Ready(observe.Status{})
	o.Warn("watching")
	<-ctx.Done()
	return model.Lost{}, nil
}

type result struct {
	status         int
	stdout, stderr string
	options        *observe.Options // nil where nothing was observed
}

// loopwatch runs a command line with an observation that ends at once.
func loopwatch(rep *model.Report, err error, args ...string) result {
	return observing(func(observe.Options) (*model.Report, error) { return rep, err }, args...)
}

// observing runs a command line with this as its observation.
func observing(do func(observe.Options) (*model.Report, error), args ...string) result {
	var stdout, stderr bytes.Buffer
	var r result
	a := &app{
		stdout: &stdout, stderr: &stderr,
		screen: func(io.Writer) (int, bool) { return 0, false },
		observe: func(_ context.Context, o observe.Options) (*model.Report, error) {
			r.options = &o
			return do(o)
		},
	}
	r.status = a.run(args)
	r.stdout, r.stderr = stdout.String(), stderr.String()
	return r
}

func TestWrongUsage(t *testing.T) {
	formats := reportFormats()
	for _, c := range []struct{ args, says string }{
		{"", "no command given"},
		{"reprot", `did you mean "report"`},
		{"report extra", `unexpected argument "extra"`},
		{"report 1234", "--pid 1234"},
		{"report --bogus", "unknown flag: --bogus"},
		{"report -z", "unknown shorthand flag"},
		{"report --pid", "needs an argument"},
		{"report -t 0", "more than 0"},
		{"report -t -5ms", "more than 0"},
		{"report -t 100", "unit"},
		{"report -t NaN", "unit"},
		{"report -t 99999999999h", "unit"},
		{"report --duration=0s", "more than 0"},
		{"report -d soon", "unit"},
		{"report -r -1", "1 to 10000"},
		{"report -r 0", "1 to 10000"},
		{"report -r 10001", "1 to 10000"},
		{"report -r fast", "1 to 10000"},
		{"report -p 0", "process id"},
		{"report -p -1", "process id"},
		{"report -p 12,", "process id"},
		{"report -p 99999999999999999999", "process id"},
		{"report -p init", "process id"},
		{"report -f xml", formats.list()},
		{"report -f JSON", formats.list()},
		{"report --attach kprobe", "auto, fentry or tracepoint"},
		{"report --children", "needs --pid"},
		{"report --output=", "name of a file"},
		{"report --no-color=maybe", "no-color"},
		{"version please", "unexpected argument"},
		{"top 1234", "--pid 1234"},
		{"top --delay 100ms", "from 200ms to 1h0m0s"},
		{"top --delay 2h", "from 200ms to 1h0m0s"},
		{"top --delay soon", "unit"},
		{"top --children", "needs --pid"},
		{"help nonsense", "no such command"},
		{"help report nonsense", "no such command"},
		{"completion", "no command given"},
		{"completion tcsh", "no such command"},
		{"completion bash extra", "extra"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := loopwatch(seen(0), nil, strings.Fields(c.args)...)
			assert.Equal(t, statusUsage, r.status)
			assert.Contains(t, r.stderr, c.says)
			assertOneLine(t, r.stderr)
			assert.Empty(t, r.stdout)
			assert.Nil(t, r.options, "nothing may be observed")
		})
	}
}

func assertOneLine(t *testing.T, s string) {
	t.Helper()
	assert.True(t, strings.HasPrefix(s, "loopwatch: "), s)
	assert.Equal(t, 1, strings.Count(s, "\n"), s)
	assert.True(t, strings.HasSuffix(s, "\n"), s)
}

func TestFlagsReachTheObservation(t *testing.T) {
	r := loopwatch(seen(0), nil, "report")
	require.NotNil(t, r.options)
	assert.Equal(t, 100*time.Millisecond, r.options.Threshold)
	assert.Equal(t, 10*time.Second, r.options.Duration)
	assert.Equal(t, "auto", r.options.Attach)
	assert.Zero(t, r.options.Rate)
	assert.Empty(t, r.options.PIDs)

	r = loopwatch(seen(0), nil, strings.Fields("report -p 12 --pid=13,12 --children -t 20ms -d 1m -r 500 --attach tracepoint")...)
	require.NotNil(t, r.options)
	assert.Equal(t, []int{12, 13}, r.options.PIDs)
	assert.True(t, r.options.Children)
	assert.Equal(t, 20*time.Millisecond, r.options.Threshold)
	assert.Equal(t, time.Minute, r.options.Duration)
	assert.Equal(t, 500, r.options.Rate)
	assert.Equal(t, "tracepoint", r.options.Attach)
}

func TestLog(t *testing.T) {
	r := loopwatch(seen(0), nil, "report")
	r.options.Log.Error("silent")
	assert.Empty(t, r.stderr)

	r = observing(func(o observe.Options) (*model.Report, error) {
		o.Log.Info("too little")
		o.Log.Warn("found", "command", "a\x1b[31m\nb")
		return seen(0), nil
	}, "report", "--log-level", "warn")
	require.Equal(t, statusDone, r.status)
	assert.Equal(t, 1, strings.Count(r.stderr, "\n"), "one line: %s", r.stderr)
	assert.Contains(t, r.stderr, `level=WARN msg=found command="a\x1b[31m\nb"`)

	r = loopwatch(seen(0), nil, "report", "--log-level", "loud")
	assert.Equal(t, statusUsage, r.status)
	assertOneLine(t, r.stderr)
}

func TestReport(t *testing.T) {
	r := loopwatch(seen(3), nil, "report")
	assert.Equal(t, statusDone, r.status)
	assert.Contains(t, r.stdout, "Worst: Handler.get app.py:42, sleep, 3 x")
	assert.Empty(t, r.stderr)

	r = loopwatch(seen(3), nil, "report", "-f", "json")
	var rep model.Report
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &rep))
	assert.Len(t, rep.Blocks, 3)

	assert.Equal(t, statusBlocked, loopwatch(seen(1), nil, "report", "--fail-on-block").status)
	assert.Empty(t, loopwatch(seen(1), nil, "report", "--fail-on-block").stderr)
	assert.Equal(t, statusDone, loopwatch(seen(0), nil, "report", "--fail-on-block").status)
}

func TestFailureIsOneLine(t *testing.T) {
	r := loopwatch(nil, errors.New("cannot watch: not root;\nrun \x1b[31mit with sudo"), "report")
	assert.Equal(t, statusFailed, r.status)
	assert.Equal(t, `loopwatch: cannot watch: not root;\nrun \x1b[31mit with sudo`+"\n", r.stderr)
	assert.Empty(t, r.stdout)
}

func TestPanicIsOneLine(t *testing.T) {
	broken := func() (int, string) {
		var stderr bytes.Buffer
		a := &app{stdout: io.Discard, stderr: &stderr, screen: screenOf,
			observe: func(context.Context, observe.Options) (*model.Report, error) { panic("index out of range") }}
		return a.run([]string{"report"}), stderr.String()
	}
	t.Setenv("LOOPWATCH_DEBUG", "")
	status, stderr := broken()
	assert.Equal(t, statusFailed, status)
	assert.Contains(t, stderr, "internal error: index out of range; set LOOPWATCH_DEBUG=1")
	assertOneLine(t, stderr)
	t.Setenv("LOOPWATCH_DEBUG", "1")
	_, stderr = broken()
	assert.Contains(t, stderr, "main_test.go")
}

func TestProgressOnATerminal(t *testing.T) {
	var stderr bytes.Buffer
	a := &app{stdout: io.Discard, stderr: &stderr, screen: func(io.Writer) (int, bool) { return 40, true },
		observe: func(_ context.Context, o observe.Options) (*model.Report, error) {
			o.Ready(observe.Status{Loops: 1, Processes: 2})
			o.Warn("something odd\x1b[0m")
			o.Progress(observe.Status{Loops: 3, Processes: 2, Blocks: 1, Elapsed: 9500 * time.Millisecond})
			return seen(0), nil
		}}
	require.Equal(t, statusDone, a.run([]string{"report"}))
	written := stderr.String()
	assert.Contains(t, written, "watching 1 loop in 2 Python processes")
	assert.Contains(t, written, eraseLine+"loopwatch: warning: something odd\\x1b[0m\n")
	assert.True(t, strings.HasSuffix(written, eraseLine), "the line is gone in the end")
	shown := 0
	for _, line := range strings.FieldsFunc(written, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = strings.TrimPrefix(line, "\x1b[K"); strings.HasPrefix(line, "watching") {
			assert.Less(t, len([]rune(line)), 40, "wraps, and then cannot be erased: %q", line)
			shown++
		}
	}
	assert.Equal(t, 3, shown)
}

func TestColour(t *testing.T) {
	coloured := func(args ...string) bool {
		var stdout bytes.Buffer
		a := &app{stdout: &stdout, stderr: io.Discard, screen: func(io.Writer) (int, bool) { return 100, true },
			observe: func(context.Context, observe.Options) (*model.Report, error) { return seen(1), nil }}
		require.Equal(t, statusDone, a.run(append([]string{"report"}, args...)))
		return strings.Contains(stdout.String(), "\x1b[")
	}
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	assert.True(t, coloured())
	assert.False(t, coloured("--no-color"))
	assert.False(t, coloured("-f", "json"))
	t.Setenv("NO_COLOR", "1")
	assert.False(t, coloured())
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "dumb")
	assert.False(t, coloured())
}

func TestHelpNamesTheFlagsOfTheContract(t *testing.T) {
	for _, args := range [][]string{{"help", "report"}, {"report", "--help"}, {"report", "-h"}} {
		r := loopwatch(nil, nil, args...)
		assert.Equal(t, statusDone, r.status)
		assert.Empty(t, r.stderr)
		for _, flag := range []string{"-p, --pid", "--children", "-t, --threshold", "-d, --duration", "-r, --rate", "-f, --format",
			"-o, --output", "--attach", "--no-color", "-v, --verbose", "--fail-on-block", "(default 100ms)", "(default 10s)"} {
			assert.Contains(t, r.stdout, flag)
		}
	}
	for _, c := range []string{"help", "--help", "version", "completion bash", "completion zsh", "completion fish", "help completion"} {
		r := loopwatch(nil, nil, strings.Fields(c)...)
		assert.Equal(t, statusDone, r.status, c)
		assert.NotEmpty(t, r.stdout, c)
		assert.Empty(t, r.stderr, c)
	}
}

func TestVersionOf(t *testing.T) {
	assert.Equal(t, "unknown", versionOf(nil))
	info := &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}
	assert.Equal(t, "unknown", versionOf(info))
	info.Settings = []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}
	assert.Equal(t, "0123456789ab-dirty", versionOf(info))
	info.Main.Version = "v1.2.3"
	assert.Equal(t, "v1.2.3", versionOf(info))
	assert.Regexp(t, `^loopwatch \S+ \(go\S+, linux/\w+\)$`, versionLine())
}

// process starts this test binary as loopwatch and waits until it observes.
func process(t *testing.T, mode string, stdout io.Writer, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asCommand+"="+mode)
	cmd.Stdout = stdout
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line := make([]byte, len("loopwatch: warning: watching\n"))
	_, err = io.ReadFull(stderr, line)
	require.NoError(t, err)
	require.Contains(t, string(line), "watching")
	return cmd
}

func TestSignalsEndEarlyAndStillPrint(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			var stdout bytes.Buffer
			cmd := process(t, "obeys", &stdout, "report", "-d", "1h", "-f", "json")
			require.NoError(t, cmd.Process.Signal(sig))
			require.NoError(t, cmd.Wait())
			assert.True(t, json.Valid(stdout.Bytes()), stdout.String())
		})
	}
}

func TestSecondSignalKills(t *testing.T) {
	var stdout bytes.Buffer
	cmd := process(t, "stuck", &stdout, "report", "-d", "1h")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	for first := true; ; first = false {
		_ = cmd.Process.Signal(syscall.SIGINT)
		select {
		case err = <-ended:
			require.False(t, first, "one signal alone must not kill")
		case <-time.After(100 * time.Millisecond): // the handler of the first needs a moment to step aside
			continue
		}
		break
	}
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	status := exit.Sys().(syscall.WaitStatus)
	assert.True(t, status.Signaled() && status.Signal() == syscall.SIGINT, fmt.Sprint(exit))
	assert.Empty(t, stdout.String())
}

func TestReaderThatWentAwayIsNoError(t *testing.T) {
	read, write, err := os.Pipe()
	require.NoError(t, err)
	cmd := process(t, "obeys", write, "report", "-d", "1h", "--fail-on-block")
	require.NoError(t, write.Close())
	require.NoError(t, read.Close())
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	assert.Equal(t, statusBlocked, exit.ExitCode(), "neither killed by SIGPIPE nor failed")
}
