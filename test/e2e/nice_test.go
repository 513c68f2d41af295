// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// preferred is the niceness loopwatch gives itself.
const preferred = -20

// status is what the kernel says about a process or thread, "" if it has ended.
type status string

func statusOf(pid int) status {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	return status(text)
}

// field returns one of the fields behind the name, by its number in proc(5).
func (s status) field(n int) string {
	fields := strings.Fields(string(s)[strings.LastIndexByte(string(s), ')')+1:])
	if len(fields) < n-2 {
		return ""
	}
	return fields[n-3]
}

func (s status) state() string   { return s.field(3) }
func (s status) session() string { return s.field(6) }
func (s status) nice() string    { return s.field(19) }

// niceness lists the nicenesses that the threads of a process have, each once.
func niceness(pid int) []string {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	var all []string
	for _, task := range tasks {
		if tid, _ := strconv.Atoi(filepath.Base(task)); statusOf(tid) != "" {
			all = append(all, statusOf(tid).nice())
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// childrenOf lists the children of a process.
func childrenOf(pid int) []int {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var all []int
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, word := range strings.Fields(string(text)) {
			child, _ := strconv.Atoi(word)
			all = append(all, child)
		}
	}
	return all
}

// autogroup returns what the kernel shows of the session of a process, "" where it knows none.
func autogroup(t testing.TB, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/autogroup", pid))
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	return strings.TrimSpace(string(text))
}

// sessionsShare reports whether this machine shares the CPU among sessions.
func sessionsShare(t testing.TB) bool {
	t.Helper()
	enabled, err := os.ReadFile("/proc/sys/kernel/sched_autogroup_enabled")
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	require.NoError(t, err)
	groups, err := os.ReadFile("/proc/self/cgroup")
	require.NoError(t, err)
	for line := range strings.Lines(string(groups)) {
		// The tests run in no cgroup that has a share of the CPU.
		if strings.Contains(line, "cpu,") || strings.Contains(line, ":cpu:") {
			require.True(t, strings.HasSuffix(line, ":/\n"), line)
		}
	}
	return strings.TrimSpace(string(enabled)) == "1"
}

// shellAround is a shell in a session of its own that runs loopwatch in it, and ends as that does.
type shellAround struct {
	cmd            *exec.Cmd
	stdout, stderr lockedBuffer
	exited         chan struct{}
}

func startInShell(t testing.TB, attributes *syscall.SysProcAttr, terminal *os.File, args ...string) *shellAround {
	t.Helper()
	if attach := os.Getenv(attachEnv); attach != "" {
		args = append(args, "--attach", attach)
	}
	s := &shellAround{exited: make(chan struct{})}
	s.cmd = exec.Command("/bin/sh", append([]string{"-c", `"$0" "$@"; exit $?`, binary}, args...)...)
	s.cmd.SysProcAttr = attributes
	s.cmd.Stdout, s.cmd.Stderr = &s.stdout, &s.stderr
	if terminal != nil {
		s.cmd.Stdin = terminal
	}
	require.NoError(t, s.cmd.Start())
	if terminal != nil {
		require.NoError(t, terminal.Close())
	}
	go func() { _ = s.cmd.Wait(); close(s.exited) }()
	t.Cleanup(func() {
		_ = unix.Kill(-s.cmd.Process.Pid, unix.SIGKILL)
		<-s.exited
	})
	require.Eventually(t, func() bool { return strings.Contains(s.stderr.String(), "watching") }, patience, 10*time.Millisecond, "loopwatch does not watch")
	return s
}

func (s *shellAround) pid() int { return s.cmd.Process.Pid }

func (s *shellAround) wait(t testing.TB) int {
	t.Helper()
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Fatalf("loopwatch does not end: %s", s.stderr.String())
	}
	return s.cmd.ProcessState.ExitCode()
}

// loopwatch returns the process the shell has started, and that which this has started in a session
// of its own; one and the same where this machine does not share the CPU among sessions.
func (s *shellAround) loopwatch(t testing.TB) (first, second int) {
	t.Helper()
	started := childrenOf(s.pid())
	require.Len(t, started, 1)
	first = started[0]
	if !sessionsShare(t) {
		require.Empty(t, childrenOf(first))
		return first, first
	}
	moved := childrenOf(first)
	require.Len(t, moved, 1)
	assert.Equal(t, itoa(moved[0]), statusOf(moved[0]).session(), "a session of its own")
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", moved[0]))
	require.NoError(t, err)
	assert.Equal(t, filepath.Base(binary), strings.TrimSpace(string(name)))
	return first, moved[0]
}

// TestNice: who looks on has a higher priority, all threads of it, and nobody else has.
func TestNice(t *testing.T) {
	for signal, want := range map[syscall.Signal]int{syscall.SIGINT: 0, syscall.SIGTERM: 0, syscall.SIGHUP: 128 + int(syscall.SIGHUP), syscall.SIGKILL: 128 + int(syscall.SIGKILL)} {
		t.Run(signal.String(), func(t *testing.T) {
			s := startInShell(t, &syscall.SysProcAttr{Setsid: true}, nil, "watch")
			before := autogroup(t, s.pid())
			first, second := s.loopwatch(t)
			for _, pid := range []int{first, second} {
				assert.Eventually(t, func() bool { return slices.Equal(niceness(pid), []string{itoa(preferred)}) }, patience, 10*time.Millisecond, "all threads: %v", niceness(pid))
			}
			if sessionsShare(t) {
				require.NotEmpty(t, before)
				assert.Contains(t, autogroup(t, second), " nice -20")
				assert.True(t, strings.HasSuffix(before, " nice 0"), before)
				assert.Equal(t, before, autogroup(t, first))
			}
			assert.Equal(t, []string{"0"}, niceness(s.pid()), "the shell")
			require.NoError(t, unix.Kill(first, signal))
			assert.Equal(t, want, s.wait(t))
			assert.Eventually(t, func() bool { return statusOf(second) == "" }, patience, 10*time.Millisecond, "it does not stay behind")
		})
	}
}

// TestNiceSessionOfItsOwn: where nobody else is in the session, there is one process only.
func TestNiceSessionOfItsOwn(t *testing.T) {
	w := watch(t, "--duration", "1h")
	pid := w.cmd.Process.Pid
	assert.Empty(t, childrenOf(pid))
	assert.Eventually(t, func() bool { return slices.Equal(niceness(pid), []string{itoa(preferred)}) }, patience, 10*time.Millisecond, "all threads: %v", niceness(pid))
	if sessionsShare(t) {
		assert.Contains(t, autogroup(t, pid), " nice -20")
	}
	w.stop(t)
}

// TestNiceZero leaves everything as it is, as does the default where somebody has chosen already.
func TestNiceZero(t *testing.T) {
	for _, test := range []struct {
		name string
		wrap []string
		args []string
		want string
	}{
		{"zero", nil, []string{"--nice", "0"}, "0"},
		{"lower already", []string{"nice", "-n", "5"}, nil, "5"},
		{"a class of its own", []string{"chrt", "--batch", "0"}, nil, "0"},
		{"asked for", []string{"nice", "-n", "5"}, []string{"--nice", "7"}, "7"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := watchStream(t, nil, test.wrap, test.args...)
			assert.Equal(t, []string{test.want}, niceness(s.cmd.Process.Pid))
			assert.Empty(t, childrenOf(s.cmd.Process.Pid))
			assert.Equal(t, autogroup(t, os.Getpid()), autogroup(t, s.cmd.Process.Pid))
		})
	}
}

// TestNiceOfCommand: what "run" starts has the priority that loopwatch was started with, all its threads;
// loopwatch itself has a higher one meanwhile, and the session, which is the command's too, has not.
func TestNiceOfCommand(t *testing.T) {
	const app = `
import os, sys, threading

def field(path, n):
    with open(path) as f:
        return f.read().rsplit(")", 1)[1].split()[n - 3]

def autogroup():
    try:
        return open("/proc/self/autogroup").read().strip()
    except OSError:
        return ""

there = threading.Event()
thread = threading.Thread(target=there.wait)
thread.start()
print(sorted({field("/proc/self/task/%s/stat" % t, 19) for t in os.listdir("/proc/self/task")}), len(os.listdir("/proc/self/task")))
parent = "/proc/%d/task" % os.getppid()
print(sorted({field("%s/%s/stat" % (parent, t), 19) for t in os.listdir(parent)}))
print(autogroup())
print(sorted(os.sched_getaffinity(0)), os.sched_getscheduler(0), open("/proc/self/oom_score_adj").read().strip())
print(os.getpgrp() == os.getpgid(os.getppid()), os.getsid(0) == os.getsid(os.getppid()))
there.set()
`
	const python = "/usr/bin/python3"
	file := script(t, app)
	for nice, prefix := range map[string][]string{"0": nil, "-3": {"nice", "-n", "-3"}} {
		t.Run(nice, func(t *testing.T) {
			var lines [2][]string
			for i, attributes := range []*syscall.SysProcAttr{nil, {Setsid: true}} {
				cmd := runOf([]string{"-o", os.DevNull}, python, file)
				cmd = exec.Command("nice", append([]string{"-n", "0"}, cmd.Args...)...)
				if prefix != nil {
					cmd = exec.Command(prefix[0], append(prefix[1:], cmd.Args...)...)
				}
				cmd.SysProcAttr = attributes
				got := finish(t, cmd)
				require.Zero(t, got.status, got.stderr)
				lines[i] = strings.Split(strings.TrimSpace(got.stdout), "\n")
				require.Len(t, lines[i], 5, got.stdout)
				assert.Equal(t, fmt.Sprintf("['%s'] 2", nice), lines[i][0], "the command")
				assert.Equal(t, fmt.Sprintf("['%d']", preferred), lines[i][1], "loopwatch")
				if lines[i][2] != "" {
					assert.True(t, strings.HasSuffix(lines[i][2], " nice 0"), lines[i][2])
				}
				assert.Equal(t, "True True", lines[i][4], "in the job and session of loopwatch")
			}
			plain, err := exec.Command(python, file).Output()
			require.NoError(t, err)
			without := strings.Split(strings.TrimSpace(string(plain)), "\n")
			assert.Equal(t, without[2], lines[0][2], "in the session of who called")
			assert.Equal(t, without[3], lines[0][3], "CPUs, class and what the kernel kills first")
		})
	}
}

// TestNiceAtATerminal: the shell's job is stopped, continued and interrupted as a whole.
func TestNiceAtATerminal(t *testing.T) {
	master, peer := openTerminal(t)
	s := startInShell(t, &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}, peer, "watch")
	first, second := s.loopwatch(t)
	both := func(stopped bool) func() bool {
		return func() bool {
			return (statusOf(first).state() == "T") == stopped && (statusOf(second).state() == "T") == stopped
		}
	}
	require.True(t, both(false)())
	// A session's first group is nobody's to stop from the terminal: as a shell does with its jobs.
	require.NoError(t, unix.Kill(first, unix.SIGTSTP))
	require.Eventually(t, both(true), patience, 10*time.Millisecond, "stopped")
	require.NoError(t, unix.Kill(first, unix.SIGCONT))
	require.Eventually(t, both(false), patience, 10*time.Millisecond, "continued")
	require.NoError(t, unix.Kill(first, unix.SIGTSTP))
	require.Eventually(t, both(true), patience, 10*time.Millisecond, "stopped again")
	require.NoError(t, unix.Kill(first, unix.SIGCONT))
	_, err := master.Write([]byte{3})
	require.NoError(t, err)
	s.wait(t)
	assert.Eventually(t, func() bool { return statusOf(second) == "" }, patience, 10*time.Millisecond, "it does not stay behind")
}

// TestNiceStatus: what comes of the second process is what comes of the first.
func TestNiceStatus(t *testing.T) {
	for status, args := range map[int][]string{
		0: {"doctor"}, 2: {"report", "--children"}, 1: {"report", "--pid", "4194304", "-d", "1s"},
	} {
		var stdout, stderr bytes.Buffer
		cmd := exec.Command("/bin/sh", append([]string{"-c", `"$0" "$@"; exit $?`, binary}, args...)...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run()
		assert.Equal(t, status, cmd.ProcessState.ExitCode(), "%v: %s", args, &stderr)
		assert.Equal(t, status == 0, stdout.Len() > 0, args)
		assert.Equal(t, min(status, 1), strings.Count(stderr.String(), "\n"), "one line: %s", &stderr)
	}
}

// TestNiceNotAllowed: who may not have a priority observes without, and says so where asked.
func TestNiceNotAllowed(t *testing.T) {
	quiet, told := do(t, 65534, "doctor"), do(t, 65534, "doctor", "--verbose")
	assert.Empty(t, quiet.stderr)
	assert.Equal(t, "loopwatch: warning: observed with the usual priority: niceness -20: permission denied; it takes CAP_SYS_NICE\n", told.stderr)
}
