// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/testterm"
	"github.com/loopwatch/loopwatch/test/truth"
)

// liveView is a running "loopwatch top" on a terminal.
type liveView struct {
	*testterm.Terminal
	cmd    *exec.Cmd
	stderr bytes.Buffer
	exited chan error
}

func top(t testing.TB, width, height int, args ...string) *liveView {
	t.Helper()
	v := &liveView{Terminal: testterm.New(t, width, height), exited: make(chan error, 1)}
	args = append([]string{"top", "--threshold", usualThreshold().String()}, args...)
	if attach := os.Getenv(attachEnv); attach != "" {
		args = append(args, "--attach", attach)
	}
	v.cmd = exec.Command(binary, args...)
	v.cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	v.cmd.Stdin, v.cmd.Stdout, v.cmd.Stderr = v.File, v.File, &v.stderr
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0} // or a new size is not told
	require.NoError(t, v.cmd.Start())
	go func() { v.exited <- v.cmd.Wait() }()
	t.Cleanup(func() { _ = v.cmd.Process.Kill() })
	return v
}

func (v *liveView) until(t testing.TB, text string) string {
	t.Helper()
	return v.Await(t, patience, fmt.Sprintf("%q", text), func(s string) bool { return strings.Contains(s, text) })
}

// end waits for the program's end and checks that it left the terminal in order.
func (v *liveView) end(t testing.TB) {
	t.Helper()
	select {
	case err := <-v.exited:
		require.NoError(t, err, v.stderr.String())
	case <-time.After(patience):
		t.Fatalf("loopwatch does not end:\n%s", v.Screen())
	}
	v.Restored(t)
}

// over counts the blocks of a log that are to be seen at the usual threshold, by function.
func over(log []truth.Entry) (all int, functions map[string]int) {
	functions = map[string]int{}
	for _, e := range log {
		if e.Event == "" && time.Duration(e.EndNS-e.StartNS) >= usualThreshold() {
			functions[e.Function]++
			all++
		}
	}
	return all, functions
}

// blocker is a line such as " 1. receiving blocks.py:52  net, 290 ms in 2 blocks, max 150 ms".
var blockerLine = regexp.MustCompile(`(?m)^ *\d+\. (\S+) \S+:\d+  (\w+), .* in (\d+) blocks?, max`)

// TestTopShowsWhatBlocks: the table finds the loop, and its page names the functions that blocked it,
// as often as the program says.
func TestTopShowsWhatBlocks(t *testing.T) {
	p := newStage(t).run(t, newest(t), truth.Blocking, "asyncio", "--threshold", ftoa(usualThreshold().Seconds()),
		"--kind", "sleeping", "--kind", "receiving", "--kind", "reading_pipe", "--over", "3", "--under", "2")
	require.NoError(t, p.ready())
	v := top(t, 110, 120, "--pid", itoa(p.pid()))
	v.until(t, fmt.Sprintf("truth.py[%d]", p.pid()))
	v.Press(t, "\r")
	v.until(t, "None so far")
	log, err := p.play()
	require.NoError(t, err)
	text := v.until(t, "has ended")
	v.Press(t, "q")
	v.end(t)

	all, functions := over(log)
	require.GreaterOrEqual(t, all, 9, "what the program did")
	got := map[string]int{}
	for _, m := range blockerLine.FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(m[3])
		require.NoError(t, err)
		got[m[1]] += n
	}
	for function, n := range functions {
		// One that was to be short may have taken long on a busy machine.
		assert.GreaterOrEqual(t, got[function], n, "%s\n%s", function, text)
		assert.LessOrEqual(t, got[function], n+2, "%s\n%s", function, text)
	}
	assert.Contains(t, text, "→ ", "stacks show the line to blame")
	row := strings.Fields(regexp.MustCompile(`(?m)^  all the time .*`).FindString(text))
	require.NotEmpty(t, row, text)
	blocks, err := strconv.Atoi(row[len(row)-2])
	require.NoError(t, err)
	assert.GreaterOrEqual(t, blocks, all, text)
}

// TestTopTellsOfABlockGoingOn: while a loop is blocked the first line says so, with the line to
// blame, and for how long.
func TestTopTellsOfABlockGoingOn(t *testing.T) {
	p := sleeper(t, newest(t), "30")
	v := top(t, 80, 24, "--pid", itoa(p.pid()))
	v.until(t, fmt.Sprintf("[%d]", p.pid()))
	require.NoError(t, p.stdin.Close())
	s := v.Await(t, patience, "the block", func(s string) bool {
		return strings.Contains(s, "is blocked, for") && strings.Contains(strings.SplitN(s, "\n", 3)[0]+strings.SplitN(s, "\n", 3)[1], "sleep, ")
	})
	first := strings.SplitN(s, "\n", 2)[0]
	assert.Contains(t, first, fmt.Sprintf("[%d] is blocked, for", p.pid()))
	v.Press(t, "\r")
	page := v.until(t, "in clock_nanosleep")
	assert.Contains(t, page, "→ ")
	v.Press(t, "\x1b")
	v.until(t, "WORST BLOCKER")
	v.Press(t, "q")
	v.end(t)
}

// TestTopRestoresTheTerminal: on whatever way out.
func TestTopRestoresTheTerminal(t *testing.T) {
	p := sleeper(t, newest(t), "1")
	for name, leave := range map[string]func(*liveView){
		"q":       func(v *liveView) { v.Press(t, "q") },
		"Ctrl-C":  func(v *liveView) { v.Press(t, "\x03") },
		"SIGTERM": func(v *liveView) { _ = v.cmd.Process.Signal(syscall.SIGTERM) },
		"SIGHUP":  func(v *liveView) { _ = v.cmd.Process.Signal(syscall.SIGHUP) },
		"SIGQUIT": func(v *liveView) { _ = v.cmd.Process.Signal(syscall.SIGQUIT) },
	} {
		t.Run(name, func(t *testing.T) {
			v := top(t, 80, 24, "--pid", itoa(p.pid()))
			v.until(t, fmt.Sprintf("[%d]", p.pid()))
			require.True(t, v.Full())
			leave(v)
			v.end(t)
		})
	}
	t.Run("the time is up", func(t *testing.T) { top(t, 80, 24, "--pid", itoa(p.pid()), "--duration", "1s").end(t) })
	t.Run("no such process", func(t *testing.T) {
		v := top(t, 80, 24, "--pid", "4194304")
		require.Error(t, <-v.exited)
		v.Restored(t)
		assert.Contains(t, v.stderr.String(), "no such process")
		v.Await(t, patience, "an empty screen", func(s string) bool { return strings.TrimSpace(s) == "" })
	})
}

// TestTopChangesTheThreshold: the kernel counts by it from then on, and no more once it is back.
func TestTopChangesTheThreshold(t *testing.T) {
	const length = 30 * time.Millisecond
	s := newStorm(t, 1, 5, length, 1e6) // until it is killed
	v := top(t, 100, 80, append([]string{"--delay", "500ms"}, s.flags()...)...)
	v.until(t, "storm.py")
	require.NoError(t, s.stdin.Close())
	v.until(t, "No loop was blocked")
	v.Press(t, "---") // 50, 20, 10 ms
	v.until(t, "≥ 10 ms since")
	v.Await(t, patience, "the blocker", func(s string) bool { return strings.Contains(s, "sleep block storm.py") })
	v.Press(t, "\r")
	v.until(t, "1. block storm.py")
	v.Press(t, "++++") // 20, 50, 100, 200 ms
	v.until(t, "≥ 200 ms since")
	v.until(t, "None so far")
	v.Press(t, "q")
	v.end(t)
}

// TestTopFits: what is drawn fits the terminal, also after that has changed its size, and one that
// is too small is told.
func TestTopFits(t *testing.T) {
	p := sleeper(t, newest(t), "1")
	v := top(t, 200, 50, "--pid", itoa(p.pid()))
	v.until(t, fmt.Sprintf("[%d]", p.pid()))
	v.until(t, "IT/S")
	v.Resize(t, 40, 12)
	v.until(t, "too small")
	v.Resize(t, 80, 24)
	v.until(t, "WORST BLOCKER")
	v.Press(t, "?")
	v.until(t, "keys and columns")
	v.Press(t, "q")
	v.end(t)
}

// TestTopHasNothingToShow says so, and waits.
func TestTopHasNothingToShow(t *testing.T) {
	cmd := newest(t).Command("-c", "import time; time.sleep(600)")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	v := top(t, 80, 24, "--pid", itoa(cmd.Process.Pid))
	v.until(t, "No event loop yet")
	v.Press(t, "q")
	v.end(t)
}

// TestTopWithoutATerminal prints lines that name the blocker, and every block stands in them.
func TestTopWithoutATerminal(t *testing.T) {
	p := newStage(t).run(t, newest(t), truth.Blocking, "asyncio", "--threshold", ftoa(usualThreshold().Seconds()),
		"--kind", "sleeping", "--over", "6", "--under", "2")
	require.NoError(t, p.ready())
	var stdout lockedBuffer
	var stderr lockedBuffer
	cmd := exec.Command(binary, "top", "--threshold", usualThreshold().String(), "--pid", itoa(p.pid()), "--delay", "500ms")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	require.Eventually(t, func() bool { return strings.Contains(stdout.String(), "truth.py[") }, patience, 20*time.Millisecond)
	log, err := p.play()
	require.NoError(t, err)
	all, _ := over(log)
	before := strings.Count(stdout.String(), "\n\n")
	require.Eventually(t, func() bool { return strings.Count(stdout.String(), "\n\n") >= before+3 }, patience, 20*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	require.NoError(t, cmd.Wait(), stderr.String())

	text := stdout.String()
	assert.NotContains(t, text, "\x1b")
	assert.Contains(t, text, "sleep sleeping blocks.py:")
	// Blocks of each interval; one going on at its end counts there and where it ends.
	blocks := 0
	for _, line := range strings.Split(text, "\n") {
		if m := regexp.MustCompile(`^ truth\.py\[\d+\] .* (\d+) +\S+% +\S+( \w+)?  \w+ sleeping`).FindStringSubmatch(line); m != nil {
			n, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			blocks += n
		}
	}
	assert.GreaterOrEqual(t, blocks, all, text)
	assert.LessOrEqual(t, blocks, 2*(all+2), text)
	for _, lines := range strings.Split(strings.TrimSpace(text), "\n\n") {
		assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S+  [A-Za-z]`, lines, "each table begins with the time and the answer")
	}
}
