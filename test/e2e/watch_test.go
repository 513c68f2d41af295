// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
)

// attachEnv chooses how the loopwatch under test attaches its probes.
const attachEnv = "LOOPWATCH_ATTACH"

// patience bounds everything the tests wait for.
var patience = func() time.Duration {
	if emulated { // the verifier of 5.10 alone takes half a minute there
		return 4 * time.Minute
	}
	return time.Minute
}()

// watcher is a running "loopwatch report".
type watcher struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	screen *screen
	exited chan struct{}
	err    error
}

// watch starts "loopwatch report -f json" with args and waits until it watches every loop
// already there. It is told so by the progress line, which needs a terminal.
func watch(t testing.TB, args ...string) *watcher {
	t.Helper()
	return watchAs(t, nil, args...)
}

// watchAs is watch with attributes of the process.
func watchAs(t testing.TB, attributes *syscall.SysProcAttr, args ...string) *watcher {
	t.Helper()
	w := &watcher{screen: newScreen(t), exited: make(chan struct{})}
	args = append([]string{"report", "--format", "json", "--threshold", usualThreshold().String()}, args...)
	if attach := os.Getenv(attachEnv); attach != "" {
		args = append(args, "--attach", attach)
	}
	if emulated {
		args = append(args, "--nice", "0") // see below
	}
	w.cmd = exec.Command(binary, args...)
	if attributes == nil {
		attributes = &syscall.SysProcAttr{}
	}
	attributes.Setsid = true // it is alone there: one process, that has the priority it gives itself
	w.cmd.SysProcAttr = attributes
	w.cmd.Stdout, w.cmd.Stderr = &w.stdout, w.screen.terminal
	require.NoError(t, w.cmd.Start())
	w.screen.started()
	go func() { w.err = w.cmd.Wait(); close(w.exited) }()
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		<-w.exited
	})
	// It needs a tenth of such a machine, and not when the others leave it some; and its start takes
	// more CPU time there than its own budget of priority has.
	if emulated {
		require.NoError(t, prefer(w.cmd.Process.Pid))
	}
	for deadline := time.Now().Add(patience); !strings.Contains(w.screen.text(), "watching"); time.Sleep(5 * time.Millisecond) {
		select {
		case <-w.exited:
			t.Fatalf("loopwatch ended early: %v\n%s", w.err, w.screen.text())
		default:
		}
		require.True(t, time.Now().Before(deadline), "loopwatch does not say that it watches:\n%s", w.screen.text())
	}
	return w
}

// stop ends the observation as Ctrl-C does and returns the report.
func (w *watcher) stop(t testing.TB) *model.Report {
	t.Helper()
	require.NoError(t, w.cmd.Process.Signal(syscall.SIGINT))
	return w.report(t)
}

// report waits for the end of the observation and returns the report.
func (w *watcher) report(t testing.TB) *model.Report {
	t.Helper()
	select {
	case <-w.exited:
	case <-time.After(patience):
		t.Fatalf("loopwatch does not end:\n%s", w.screen.text())
	}
	require.NoError(t, w.err, w.screen.text())
	rep := new(model.Report)
	decoder := json.NewDecoder(bytes.NewReader(w.stdout.Bytes()))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(rep))
	require.Equal(t, model.SchemaReport, rep.Schema)
	checkSchema(t, w.stdout.Bytes())
	check(t, rep)
	return rep
}

// check holds a report against what is true of every report.
func check(t testing.TB, rep *model.Report) {
	t.Helper()
	var last int64
	for _, b := range rep.Blocks {
		require.GreaterOrEqual(t, b.StartNS, last, "blocks stand in time order")
		last = b.StartNS
		var sum int64
		for _, ns := range b.BreakdownNS {
			sum += ns
		}
		require.Equal(t, b.DurationNS, sum, "a breakdown adds up: %+v", b)
		require.GreaterOrEqual(t, b.DurationNS, rep.ThresholdNS)
	}
	for n := 1; n < len(rep.Blockers); n++ {
		require.GreaterOrEqual(t, rep.Blockers[n-1].TotalNS, rep.Blockers[n].TotalNS, "blockers stand largest first")
	}
	checkFormats(t, rep)
}

// screen is a terminal loopwatch can write to.
type screen struct {
	terminal *os.File // the program's side
	mu       sync.Mutex
	shown    bytes.Buffer
	ended    chan struct{} // closed when nobody has the program's side any more
}

func newScreen(t testing.TB) *screen {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err, "open a terminal")
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
	require.Zero(t, errno, "open the terminal's other side")
	s := &screen{terminal: os.NewFile(peer, "terminal"), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer) // EIO once the last program has closed its side
			if err != nil {
				return
			}
			s.mu.Lock()
			s.shown.Write(buffer[:n])
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		s.started()
		<-s.ended
		_ = master.Close()
	})
	return s
}

// started gives up our own hold on the program's side.
func (s *screen) started() { _ = s.terminal.Close() }

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}
