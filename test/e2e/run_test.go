// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

// blocker is a program that blocks its loop twice, for the seconds it is given.
const blocker = `
import asyncio, sys, time

def blocking():
    time.sleep(float(sys.argv[1]))

async def main():
    for _ in range(2):
        await asyncio.sleep(0.3)
        blocking()

asyncio.run(main())
`

// publicDir is a directory everybody can reach.
func publicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "loopwatch-run-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o777))
	return dir
}

// script writes a program where everybody can read it.
func script(t testing.TB, source string) string {
	t.Helper()
	file := filepath.Join(publicDir(t), "app.py")
	require.NoError(t, os.WriteFile(file, []byte(source), 0o644))
	return file
}

// onHost returns the machine's newest interpreter that has a module.
func onHost(t testing.TB, module string) testpython.Interp {
	t.Helper()
	all := testpython.All(t)
	for _, i := range slices.Backward(all) {
		if i.Root == "" && has(t, i, module) {
			return i
		}
	}
	t.Fatalf("no interpreter of this machine has %s: apt-get install python3-pytest python3-pytest-asyncio", module)
	return testpython.Interp{}
}

// runOf prepares "loopwatch run" with flags, of a command.
func runOf(flags []string, command ...string) *exec.Cmd {
	args := append([]string{"run"}, flags...)
	if attach := os.Getenv(attachEnv); attach != "" {
		args = append(args, "--attach", attach)
	}
	return exec.Command(binary, slices.Concat(args, []string{"--"}, command)...)
}

// finish runs a command to its end.
func finish(t testing.TB, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// readReport reads what -f json -o has written.
func readReport(t testing.TB, file string) *model.Report {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	rep := new(model.Report)
	require.NoError(t, json.Unmarshal(text, rep))
	checkSchema(t, text)
	check(t, rep)
	return rep
}

// TestRunStatus: it ends as its command does, and with 3 where that is asked for and a block was seen.
func TestRunStatus(t *testing.T) {
	python, app := onHost(t, "asyncio").Path, script(t, blocker)
	for _, test := range []struct {
		name    string
		flags   []string
		command []string
		status  int
	}{
		{"success", nil, []string{"true"}, 0},
		{"failure", nil, []string{"false"}, 1},
		{"killed", nil, []string{"sh", "-c", "kill -KILL $$"}, 137},
		{"terminated", nil, []string{"sh", "-c", "kill -TERM $$"}, 143},
		{"blocked", []string{"--fail-on-block"}, []string{python, app, "0.2"}, 3},
		{"blocked and nobody asks", nil, []string{python, app, "0.2"}, 0},
		{"not blocked", []string{"--fail-on-block", "-t", "5s"}, []string{python, app, "0.2"}, 0},
		{"no such command", nil, []string{"/nonexistent"}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := finish(t, runOf(test.flags, test.command...))
			assert.Equal(t, test.status, got.status, got.stderr)
			if len(test.command) > 1 && test.command[0] == python && !slices.Contains(test.flags, "5s") {
				assert.Contains(t, got.stdout, "blocking app.py:5")
			}
		})
	}
}

// TestRunUnderSudo: the command is its caller's again, and is watched.
func TestRunUnderSudo(t *testing.T) {
	file := filepath.Join(publicDir(t), "report.json")
	cmd := runOf([]string{"-f", "json", "-o", file}, "sh", "-c", `id -u; id -g; echo $HOME; exec "$@"`, "sh", "/usr/bin/python3", script(t, blocker), "0.2")
	cmd.Env = append(os.Environ(), "SUDO_UID=65534", "SUDO_GID=65534", "HOME=/root")
	got := finish(t, cmd)
	require.Zero(t, got.status, got.stderr)
	assert.Equal(t, "65534\n65534\n/nonexistent\n", got.stdout)
	rep := readReport(t, file)
	assert.NotEmpty(t, slices.DeleteFunc(rep.Blocks, func(b model.Block) bool {
		return b.Culprit == nil || b.Culprit.Function != "blocking"
	}))
}

// TestRunPassesSignals: what is sent to loopwatch reaches the command, whose status counts.
func TestRunPassesSignals(t *testing.T) {
	ready := filepath.Join(publicDir(t), "ready")
	cmd := runOf([]string{"-o", os.DevNull}, "sh", "-c", `trap 'exit 7' TERM; : > "$0"; while :; do sleep 0.05; done`, ready)
	time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	exists := func() bool { _, err := os.Stat(ready); return err == nil }
	assert.Eventually(t, exists, patience, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	_ = cmd.Wait()
	assert.Equal(t, 7, cmd.ProcessState.ExitCode(), stderr.String())
}

// TestRunAtATerminal: Ctrl-C reaches the command once, from the terminal, and loopwatch waits for it.
func TestRunAtATerminal(t *testing.T) {
	master, peer := openTerminal(t)
	const app = `
import asyncio, signal

async def main():
    loop, interrupts = asyncio.get_running_loop(), []
    loop.add_signal_handler(signal.SIGINT, interrupts.append, 1)
    print("ready", flush=True)
    while not interrupts:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    print("interrupted", len(interrupts), flush=True)
    raise SystemExit(9)

asyncio.run(main())
`
	cmd := runOf(nil, onHost(t, "asyncio").Path, script(t, app))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = peer, peer, peer
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	require.NoError(t, cmd.Start())
	time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	shown := new(lockedBuffer)
	read := make(chan struct{})
	require.NoError(t, peer.Close())
	go func() {
		defer close(read)
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer) // EIO at the end
			if err != nil {
				return
			}
			_, _ = shown.Write(buffer[:n])
		}
	}()
	assert.Eventually(t, func() bool { return strings.Contains(shown.String(), "ready") }, patience, 10*time.Millisecond)
	_, err := master.Write([]byte{3})
	require.NoError(t, err)
	_ = cmd.Wait()
	<-read
	assert.Equal(t, 9, cmd.ProcessState.ExitCode(), shown.String())
	assert.Contains(t, shown.String(), "interrupted 1")
	assert.Contains(t, shown.String(), "1 loop watched", "the report comes all the same")
}

// openTerminal returns both sides of a new terminal.
func openTerminal(t testing.TB) (master, peer *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err, "open a terminal")
	t.Cleanup(func() { _ = master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
	require.Zero(t, errno, "open the terminal's other side")
	return master, os.NewFile(fd, "terminal")
}

// TestRunOutlived: a process that outlives the command keeps neither loopwatch nor its report.
func TestRunOutlived(t *testing.T) {
	dir := publicDir(t)
	pid := filepath.Join(dir, "pid")
	got := finish(t, runOf([]string{"-o", filepath.Join(dir, "report")}, "sh", "-c", `sleep 60 >/dev/null 2>&1 & echo $! > "$0"; exit 4`, pid))
	assert.Equal(t, 4, got.status, got.stderr)
	text, err := os.ReadFile(pid)
	require.NoError(t, err)
	assert.NoError(t, exec.Command("kill", strings.TrimSpace(string(text))).Run(), "it goes on")
	assert.FileExists(t, filepath.Join(dir, "report"))
}

// The line of examples/ci that blocks, and what mends it.
const (
	blockingHash = "digest = self._digest(password, salt)  # blocks the loop"
	mendedHash   = "digest = await asyncio.to_thread(self._digest, password, salt)"
)

// TestRunSuite: the test suite of an asyncio project (examples/ci) passes, and fails for blocking its
// loop; mended, it passes. Real-time priority, or what waits for a CPU is blocked, too; and more of
// it for who names the stacks, or the process has ended by then.
func TestRunSuite(t *testing.T) {
	python := onHost(t, "pytest_asyncio")
	const threshold = 50 * time.Millisecond
	for _, mended := range []bool{false, true} {
		t.Run(map[bool]string{false: "blocking", true: "mended"}[mended], func(t *testing.T) {
			dir := publicDir(t)
			require.NoError(t, os.CopyFS(filepath.Join(dir, "ci"), os.DirFS("../../examples/ci")))
			accounts := filepath.Join(dir, "ci", "accounts.py")
			source, err := os.ReadFile(accounts)
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(source), blockingHash))
			if mended {
				source = []byte(strings.Replace(string(source), blockingHash, mendedHash, 1))
			}
			require.NoError(t, os.WriteFile(accounts, source, 0o644))
			file := filepath.Join(dir, "report.json")
			cmd := runOf([]string{"--fail-on-block", "-t", threshold.String(), "-f", "json", "-o", file}, "chrt", "--fifo", "1", python.Path, "-m", "pytest", "-q", "-p", "no:cacheprovider")
			cmd = exec.Command("chrt", append([]string{"--fifo", "2"}, cmd.Args...)...)
			cmd.Dir = filepath.Join(dir, "ci")
			got := finish(t, cmd)
			assert.Contains(t, got.stdout, "3 passed")
			rep := readReport(t, file)
			var inHash int
			for _, b := range rep.Blocks {
				if b.Culprit != nil && strings.HasSuffix(b.Culprit.File, "/accounts.py") {
					inHash++
					assert.Equal(t, "Accounts._digest", b.Culprit.Function)
					assert.Equal(t, model.CauseNative, b.Cause)
					assert.NotEmpty(t, b.Task)
				}
			}
			if mended {
				assert.Zero(t, inHash)
				if len(rep.Blocks) == 0 {
					assert.Zero(t, got.status, got.stderr)
				}
				return
			}
			assert.Equal(t, 2, inHash, "blocks: %+v", rep.Blocks)
			assert.Equal(t, 3, got.status, got.stderr)
		})
	}
}

// TestRunNamesTheFirstBlock: a loop that computes right after its very first wait, when nothing is known
// of it yet, and then ends.
func TestRunNamesTheFirstBlock(t *testing.T) {
	const app = `
import asyncio, hashlib, time

def computing():
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 20_000)

async def main():
    computing()
    await asyncio.sleep(0.3)

asyncio.run(main())
`
	file := filepath.Join(publicDir(t), "report.json")
	cmd := runOf([]string{"-f", "json", "-o", file}, "chrt", "--fifo", "1", onHost(t, "asyncio").Path, script(t, app))
	got := finish(t, exec.Command("chrt", append([]string{"--fifo", "2"}, cmd.Args...)...))
	require.Zero(t, got.status, got.stderr)
	rep := readReport(t, file)
	require.Len(t, rep.Blocks, 1)
	b := rep.Blocks[0]
	assert.Equal(t, model.CauseNative, b.Cause)
	if assert.NotNil(t, b.Culprit, "%+v", b) {
		assert.Equal(t, "computing", b.Culprit.Function)
	}
}
