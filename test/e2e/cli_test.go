// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/truth"
)

func itoa(n int) string { return strconv.Itoa(n) }

func ftoa(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// outcome is what a command line led to.
type outcome struct {
	status         int
	stdout, stderr string
}

// do runs loopwatch with args, as user if that is not 0.
func do(t testing.TB, user uint32, args ...string) outcome {
	t.Helper()
	if user == 0 {
		return doAs(t, nil, args...)
	}
	return doAs(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}, args...)
}

// doAs is do with attributes of the process.
func doAs(t testing.TB, attributes *syscall.SysProcAttr, args ...string) outcome {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.SysProcAttr = "/", attributes
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if bytes.HasPrefix(stdout.Bytes(), []byte("{")) {
		checkSchema(t, stdout.Bytes())
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// TestBadInput: one line that says what and why, the exit status of the contract, and nothing
// on stdout.
func TestBadInput(t *testing.T) {
	sleep := exec.Command("sleep", "60")
	require.NoError(t, sleep.Start())
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }()
	gone := exec.Command("true")
	require.NoError(t, gone.Run())

	started := filepath.Join(publicDir(t), "started")

	for _, test := range []struct {
		name   string
		user   uint32
		args   []string
		status int
		says   string
	}{
		{"not root", nobody, []string{"report", "-d", "1s"}, 1, "root"},
		{"no such process", 0, []string{"report", "-d", "1s", "--pid", itoa(gone.Process.Pid)}, 1, itoa(gone.Process.Pid)},
		{"not Python", 0, []string{"report", "-d", "1s", "--pid", itoa(sleep.Process.Pid)}, 1, itoa(sleep.Process.Pid)},
		{"pid 0", 0, []string{"report", "--pid", "0"}, 2, "pid"},
		{"negative pid", 0, []string{"report", "--pid", "-1"}, 2, "pid"},
		{"pid no number", 0, []string{"report", "--pid", "python"}, 2, "python"},
		{"threshold 0", 0, []string{"report", "--threshold", "0"}, 2, "threshold"},
		{"negative threshold", 0, []string{"report", "--threshold", "-5ms"}, 2, "threshold"},
		{"threshold without unit", 0, []string{"report", "--threshold", "5"}, 2, "threshold"},
		{"duration 0", 0, []string{"report", "--duration", "0s"}, 2, "duration"},
		{"nonsense rate", 0, []string{"report", "--rate", "-7"}, 2, "rate"},
		{"unknown format", 0, []string{"report", "--format", "yaml"}, 2, "yaml"},
		{"unknown attach", 0, []string{"report", "--attach", "magic"}, 2, "magic"},
		{"unknown flag", 0, []string{"report", "--nonsense"}, 2, "--nonsense"},
		{"unknown command", 0, []string{"reprot"}, 2, "report"},
		{"argument", 0, []string{"report", "1234"}, 2, "1234"},
		{"children of nobody", 0, []string{"report", "--children"}, 2, "--pid"},
		{"output in no directory", 0, []string{"report", "-d", "1s", "-o", filepath.Join(t.TempDir(), "no", "report.json")}, 1, "no/report.json"},
		{"output is a directory", 0, []string{"report", "-d", "1s", "-o", t.TempDir()}, 1, "directory"},
		{"watch: unknown format", 0, []string{"watch", "--format", "html"}, 2, "html"},
		{"watch: output in no directory", 0, []string{"watch", "-o", filepath.Join(t.TempDir(), "no", "blocks")}, 1, "no/blocks"},
		{"watch: no such process", 0, []string{"watch", "--pid", itoa(gone.Process.Pid)}, 1, itoa(gone.Process.Pid)},
		{"watch: not root", nobody, []string{"watch"}, 1, "root"},
		{"run: no command", 0, []string{"run"}, 2, "command"},
		{"run: unknown format", 0, []string{"run", "-f", "jsonl", "--", "true"}, 2, "jsonl"},
		{"run: pid", 0, []string{"run", "--pid", "1", "--", "true"}, 2, "--pid"},
		{"run: output is a directory", 0, []string{"run", "-o", t.TempDir(), "--", "touch", started}, 1, "directory"},
		{"run: no such command", 0, []string{"run", "--", filepath.Join(t.TempDir(), "command")}, 1, "cannot start"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := do(t, test.user, test.args...)
			assert.Equal(t, test.status, got.status, got.stderr)
			assert.Empty(t, got.stdout)
			assert.Contains(t, got.stderr, test.says)
			assert.Equal(t, 1, strings.Count(got.stderr, "\n"), "one line:\n%s", got.stderr)
			assert.NotContains(t, got.stderr, "goroutine")
		})
	}
	assert.NoFileExists(t, started, "a command is not started where its report could go nowhere")
}

// TestRunWithoutObservation: a command that cannot be observed runs all the same, and its status is passed on.
func TestRunWithoutObservation(t *testing.T) {
	got := do(t, nobody, "run", "--", "sh", "-c", "echo ran; exit 7")
	assert.Equal(t, 7, got.status, got.stderr)
	assert.Equal(t, "ran\n", got.stdout)
	assert.Contains(t, got.stderr, "the command runs, but is not observed: ")
	assert.Contains(t, got.stderr, "root")
	assert.Equal(t, 1, strings.Count(got.stderr, "\n"), "one line:\n%s", got.stderr)
}

// TestPIDNamespace: where process numbers are not the kernel's it says so, and does not watch
// the wrong ones.
func TestPIDNamespace(t *testing.T) {
	cmd := exec.Command("timeout", "-s", "KILL", "60", "unshare", "--pid", "--fork", "--mount-proc", "--kill-child", binary, "report", "-d", "1s")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Run(), &exit)
	assert.Equal(t, 1, exit.ExitCode())
	assert.Contains(t, stderr.String(), "PID namespace")
	assert.Equal(t, 1, strings.Count(stderr.String(), "\n"), "one line:\n%s", stderr.String())
	assert.Empty(t, stdout.String())
}

// TestProcessEndsMeanwhile: it is said when nothing is left to watch, and what was seen is printed.
func TestProcessEndsMeanwhile(t *testing.T) {
	resting := func(t *testing.T) *program {
		p := newStage(t).run(t, newest(t), truth.Resting, "idle_server")
		line, err := p.line()
		require.NoError(t, err)
		require.Equal(t, "ready", string(line))
		return p
	}
	const ended = "has ended"
	// lookAgain is time enough to say it once more.
	const lookAgain = time.Second
	t.Run("report", func(t *testing.T) {
		p := resting(t)
		w := watch(t, "--pid", itoa(p.pid()), "--duration", "1h")
		p.kill()
		require.Eventually(t, func() bool { return strings.Contains(w.screen.text(), ended) }, patience, 5*time.Millisecond)
		time.Sleep(lookAgain)
		rep := w.stop(t)
		assert.Equal(t, 1, strings.Count(w.screen.text(), ended), "said once: %s", w.screen.text())
		if loops := loopsOf(rep, p.pid()); assert.Len(t, loops, 1) {
			assert.Contains(t, loops[0].Command, truth.Resting)
		}
	})
	t.Run("watch", func(t *testing.T) {
		p := resting(t)
		w := watchStream(t, nil, nil, "--pid", itoa(p.pid()))
		p.kill()
		require.Eventually(t, func() bool { return strings.Contains(w.stderr.String(), ended) }, patience, 5*time.Millisecond)
		time.Sleep(lookAgain)
		w.stop(t)
		assert.Equal(t, 1, strings.Count(w.stderr.String(), ended), "said once: %s", w.stderr.String())
	})
}

// TestFullDisk: a report that cannot be written is a failure, not a short report.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	cmd := exec.Command(binary, "report", "-d", "100ms")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = full, &stderr
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Run(), &exit)
	assert.Equal(t, 1, exit.ExitCode())
	assert.Contains(t, stderr.String(), "no space left")
}

// TestQuietHost: nothing to report is a report.
func TestQuietHost(t *testing.T) {
	got := do(t, 0, "report", "-d", "200ms")
	assert.Equal(t, 0, got.status, got.stderr)
	assert.NotEmpty(t, got.stdout)
	assert.NotContains(t, got.stderr, "\n\n")
}

// TestFailOnBlock: the exit status reports whether a block was seen.
func TestFailOnBlock(t *testing.T) {
	p := sleeper(t, newest(t), "60")
	status := func(w *watcher) (int, model.Report) {
		require.NoError(t, w.cmd.Process.Signal(syscall.SIGINT))
		<-w.exited
		var rep model.Report
		require.NoError(t, json.Unmarshal(w.stdout.Bytes(), &rep), w.screen.text())
		return w.cmd.ProcessState.ExitCode(), rep
	}
	// On a busy machine a loop at rest may be kept waiting for a CPU, but not for so long.
	const threshold = "5s"
	w := watch(t, "--pid", itoa(p.pid()), "--duration", "1h", "--fail-on-block", "--threshold", threshold)
	time.Sleep(settling)
	calm, rep := status(w)
	assert.Equal(t, 0, calm, rep.Blocks)
	w = watch(t, "--pid", itoa(p.pid()), "--duration", "1h", "--fail-on-block")
	p.block(t)
	time.Sleep(5 * usualThreshold())
	blocked, rep := status(w)
	assert.Equal(t, 3, blocked)
	require.NotEmpty(t, rep.Blocks)
	sleeping(t, rep.Blocks[len(rep.Blocks)-1])
}
