// SPDX-License-Identifier: Apache-2.0

//go:build drills

package e2e

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
)

// These tests break things that others would miss: package vmtest runs them in a guest of their own.
// Whatever happens, loopwatch ends as it says it does, leaves nothing in the kernel, the kernel has
// nothing to complain of, and what was lost is counted.

//go:embed testdata/drills.py
var drillsProgram string

// drill is one emergency.
type drill struct {
	*testing.T
	python testpython.Interp
	script string
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	d := &drill{T: t, python: newest(t)}
	before := kernelObjects(t)
	complaints := kernelLog(t)
	t.Cleanup(func() { // after all that was started has ended
		assert.Eventually(t, func() bool { return len(without(kernelObjects(t), before)) == 0 }, patience, 50*time.Millisecond,
			"BPF programs, maps or links are left behind")
		assert.Empty(t, complaints(), "the kernel complains")
	})
	d.script = d.python.Script(t, "drills.py", drillsProgram)
	return d
}

// kernelLog returns a function that returns what the kernel has complained of since.
func kernelLog(t *testing.T) func() []string {
	t.Helper()
	log, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	_, err = unix.Seek(log, 0, unix.SEEK_END)
	require.NoError(t, err)
	return func() (complaints []string) {
		defer unix.Close(log)
		record := make([]byte, 8192)
		for {
			n, err := unix.Read(log, record)
			if errors.Is(err, unix.EPIPE) { // overwritten before it was read
				continue
			}
			if err != nil {
				return complaints
			}
			for _, bad := range []string{"BUG:", "WARNING:", "Oops", "general protection", "rcu: INFO", "blocked for more than", "soft lockup"} {
				if strings.Contains(string(record[:n]), bad) {
					complaints = append(complaints, string(record[:n]))
				}
			}
		}
	}
}

// start starts the program, and returns when it is ready.
func (d *drill) start(args ...string) *testpython.Program {
	d.Helper()
	p := testpython.Start(d.T, d.python.Command(append([]string{d.script}, args...)...))
	require.Equal(d.T, "ready", p.ReadLine(d.T))
	return p
}

// drilled is a block of the program as it saw it itself.
type drilled struct{ startNS, endNS int64 }

func (b drilled) ns() int64 { return b.endNS - b.startNS }

// play has the program do what it is for, and returns its blocks.
func (d *drill) play(p *testpython.Program) (log []drilled) {
	d.Helper()
	require.NoError(d.T, p.Stdin.Close())
	for {
		line := p.ReadLine(d.T)
		if line == "done" {
			return log
		}
		var ends [2]int64
		require.NoError(d.T, json.Unmarshal([]byte(line), &ends), line)
		log = append(log, drilled{ends[0], ends[1]})
	}
}

// missing returns which blocks are not in the report.
func (d *drill) missing(rep *model.Report, pid int, log []drilled) (out []drilled) {
	for _, b := range log {
		if d.find(rep, pid, b) == nil {
			out = append(out, b)
		}
	}
	return out
}

func (d *drill) find(rep *model.Report, pid int, b drilled) *model.Block {
	for n := range rep.Blocks {
		r := &rep.Blocks[n]
		if r.PID == pid && 2*judge.Overlap(r.StartNS, r.StartNS+r.DurationNS, b.startNS, b.endNS) >= b.ns() {
			return r
		}
	}
	return nil
}

// TestDrillMemoryPressure: with next to no memory left on the machine, blocks are found.
func TestDrillMemoryPressure(t *testing.T) {
	d := newDrill(t)
	p := d.start("blocks", "sleeping", "0.3", "10")
	w := watch(t, "--duration", "1h")
	hog := d.start("hog", "64")
	log := d.play(p)
	rep := w.stop(t)
	require.NoError(t, hog.Stdin.Close())
	assert.Len(t, log, 10)
	assert.Empty(t, d.missing(rep, p.PID, log))
}

// TestDrillOutOfMemory: killed for want of memory, at the start or later, loopwatch leaves nothing behind
// and the programs watched go on.
func TestDrillOutOfMemory(t *testing.T) {
	d := newDrill(t)
	p := d.start("blocks", "sleeping", "0.2", "5")
	g := newGroup(t, "memory")
	// There is no swap: what is over the limit is killed.
	g.set(t, "memory.max", "12M")
	cmd := exec.Command("/bin/sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, g.dir, binary, "report", "--duration", "1h")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "12 MB are not enough for the maps")
	status, _ := exit.Sys().(syscall.WaitStatus)
	if !status.Signaled() {
		assert.Equal(t, 1, exit.ExitCode())
		assert.Equal(t, 1, strings.Count(stderr.String(), "\n"), "one line: %s", &stderr)
	} else {
		assert.Equal(t, syscall.SIGKILL, status.Signal())
	}
	assert.NotContains(t, stderr.String(), "goroutine")
	assert.Len(t, d.play(p), 5)
}

// TestDrillFullDisk: a report that does not fit is a failure that says what to do, and neither the report that
// was there before is harmed nor half a new one left.
func TestDrillFullDisk(t *testing.T) {
	d := newDrill(t)
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, 0)) })
	const earlier = "an earlier report\n"
	place := filepath.Join(dir, "report")
	require.NoError(t, os.WriteFile(place, []byte(earlier), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other"), bytes.Repeat([]byte("x"), 8<<10), 0o644))
	p := d.start("blocks", "sleeping", "0.2", "3")
	w := watch(t, "--pid", itoa(p.PID), "--duration", "1h", "--format", "html", "--output", place)
	assert.Len(t, d.play(p), 3)
	require.NoError(t, w.cmd.Process.Signal(syscall.SIGINT))
	<-w.exited
	var exit *exec.ExitError
	require.ErrorAs(t, w.err, &exit)
	assert.Equal(t, 1, exit.ExitCode())
	assert.Contains(t, w.screen.last(), "no space left on device")
	assert.Contains(t, w.screen.last(), "make room")
	content, err := os.ReadFile(place)
	require.NoError(t, err)
	assert.Equal(t, earlier, string(content))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 2, "%v", left)
}

// TestDrillShortLives: thousands of Python processes that live for moments, some of them by exec, hide no
// block and leave no trace.
func TestDrillShortLives(t *testing.T) {
	d := newDrill(t)
	p := d.start("children", "2000", "4", "500")
	w := watch(t, "--duration", "1h")
	executed := make(chan error, 1)
	go func() {
		for range 40 {
			err := d.python.Command("-I", "-S", "-c", "import select, os; select.epoll().poll(0); os._exit(0)").Run()
			if err != nil {
				executed <- err
				return
			}
		}
		executed <- nil
	}()
	log := d.play(p)
	require.NoError(t, <-executed)
	rep := w.stop(t)
	assert.Len(t, log, 4)
	assert.Empty(t, d.missing(rep, p.PID, log))
	assert.Len(t, loopsOf(rep, p.PID), 1)
	assert.Less(t, len(rep.Loops), 10, "what has no loop is none")
	t.Logf("lost: %+v", rep.Lost)
}

// TestDrillForkStorm: hundreds of children at a time of a process whose children are followed.
func TestDrillForkStorm(t *testing.T) {
	d := newDrill(t)
	p := d.start("children", "1500", "300", "500")
	w := watch(t, "--pid", itoa(p.PID), "--children", "--duration", "1h")
	log := d.play(p)
	rep := w.stop(t)
	assert.Len(t, log, 3)
	assert.Empty(t, d.missing(rep, p.PID, log))
	t.Logf("lost: %+v", rep.Lost)
}

// TestDrillQuota: a loop that its cgroup keeps from running is throttled, and no line of it is to blame.
func TestDrillQuota(t *testing.T) {
	d := newDrill(t)
	g := newGroup(t, "cpu")
	p := d.start("blocks", "computing", "1", "3")
	w := watch(t, "--pid", itoa(p.PID), "--duration", "1h")
	g.set(t, "cpu.max", "10000 100000")
	require.NoError(t, g.add(p.PID))
	log := d.play(p)
	rep := w.stop(t)
	require.Len(t, log, 3)
	for _, entry := range log {
		b := d.find(rep, p.PID, entry)
		require.NotNil(t, b)
		assert.Equal(t, model.CauseThrottled, b.Cause, "%v", b.BreakdownNS)
		assert.Nil(t, b.Culprit)
	}
}

// TestDrillStopped: a program stopped by a signal in the middle of a callback.
func TestDrillStopped(t *testing.T) {
	d := newDrill(t)
	p := d.start("blocks", "computing", "2", "1")
	w := watch(t, "--pid", itoa(p.PID), "--duration", "1h")
	played := make(chan []drilled, 1)
	go func() { played <- d.play(p) }()
	time.Sleep(300 * time.Millisecond)
	require.NoError(t, unix.Kill(p.PID, unix.SIGSTOP))
	time.Sleep(1500 * time.Millisecond)
	require.NoError(t, unix.Kill(p.PID, unix.SIGCONT))
	log := <-played
	rep := w.stop(t)
	require.Len(t, log, 1)
	b := d.find(rep, p.PID, log[0])
	require.NotNil(t, b)
	assert.Equal(t, model.CauseStopped, b.Cause, "%v", b.BreakdownNS)
	assert.Nil(t, b.Culprit)
}

// TestDrillKilled: loopwatch killed in the middle of blocks that are going on leaves nothing behind, and the
// programs go on; programs killed in the middle of their blocks are reported.
func TestDrillKilled(t *testing.T) {
	d := newDrill(t)
	var programs []*testpython.Program
	for range 4 {
		programs = append(programs, d.start("blocks", "sleeping", "0.5", "4"))
	}
	before := kernelObjects(t)
	w := watch(t, "--duration", "1h")
	for _, p := range programs[:2] {
		require.NoError(t, p.Stdin.Close())
	}
	time.Sleep(300 * time.Millisecond)
	require.NoError(t, w.cmd.Process.Kill())
	<-w.exited
	assert.Eventually(t, func() bool { return len(without(kernelObjects(t), before)) == 0 }, patience, 50*time.Millisecond, "killed")
	for _, p := range programs[:2] {
		for range 4 {
			p.ReadLine(t)
		}
		require.Equal(t, "done", p.ReadLine(t))
	}

	w = watch(t, "--duration", "1h")
	for _, p := range programs[2:] {
		require.NoError(t, p.Stdin.Close())
	}
	time.Sleep(300 * time.Millisecond)
	for _, p := range programs[2:] {
		require.NoError(t, p.Cmd.Process.Kill())
		<-p.Exited()
	}
	rep := w.stop(t)
	for _, p := range programs[2:] {
		blocks := judge.BlocksOf(rep, p.PID)
		if assert.NotEmpty(t, blocks) {
			assert.Equal(t, model.CauseSleep, blocks[len(blocks)-1].Cause)
			assert.False(t, blocks[len(blocks)-1].Ongoing)
		}
	}
}

// TestDrillOverflow: a loopwatch that does not get to run loses records once the ring buffer is full. It
// counts them, its statistics are right all the same, and afterwards it sees what happens again.
func TestDrillOverflow(t *testing.T) {
	d := newDrill(t)
	const many = 1000 // whose stacks take 6 KiB each, of the 4 MiB there are
	busy := d.start("blocks", "deeply", "0.006", itoa(many))
	later := d.start("blocks", "sleeping", "0.3", "3")
	w := watch(t, "--threshold", "5ms", "--duration", "1h")
	require.NoError(t, w.cmd.Process.Signal(syscall.SIGSTOP))
	assert.Len(t, d.play(busy), many)
	require.NoError(t, w.cmd.Process.Signal(syscall.SIGCONT))
	time.Sleep(4 * settling)
	log := d.play(later)
	rep := w.stop(t)
	t.Logf("lost: %+v", rep.Lost)
	assert.Positive(t, rep.Lost.Events, "counted")
	assert.Empty(t, d.missing(rep, later.PID, log), "blocks after the loss")
	for _, l := range loopsOf(rep, busy.PID) {
		assert.GreaterOrEqual(t, l.Iterations, int64(many), "the kernel's statistics do not depend on records")
		assert.Positive(t, l.BlockedNS)
	}
}

// last returns all that was shown, once the last program has closed it.
func (s *screen) last() string {
	<-s.ended
	return s.text()
}

// without returns the objects of a that are not in b.
func without(a, b map[object]bool) map[object]bool {
	rest := map[object]bool{}
	for o := range a {
		if !b[o] {
			rest[o] = true
		}
	}
	return rest
}
