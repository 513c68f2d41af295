// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

const (
	causesThreshold = 100 * time.Millisecond
	causesTimes     = 1 // blocks of each kind on each loop
)

// TestCauses has programs block their loops by real libraries and services, in ways whose cause
// is known, and holds cause, culprit, peer, holder and module of each block against their logs.
// Those that need nothing but Python are played on an interpreter of every other release, too.
func TestCauses(t *testing.T) {
	c := &causes{stage: newStage(t), databases: services(t)}
	var debian testpython.Interp
	var others []testpython.Interp
	for _, python := range releases(testpython.All(t)) {
		if debians(python) {
			debian = python
		} else {
			others = append(others, python)
		}
	}
	if recordingsDir != "" {
		others = nil
		c.stage.traced(t) // for what is not planned
	}
	require.NotEmpty(t, debian.Name, "this machine's own python3, which Debian's libraries are for")
	for _, python := range append(others, debian) {
		c.stage.install(t, python)
	}
	for _, cause := range model.Causes() {
		t.Run(string(cause), func(t *testing.T) {
			c.observe(t, newRecording("cause-%s", cause), c.performances(debian, "asyncio", "uvloop"), "--cause", string(cause), "--times", strconv.Itoa(causesTimes))
		})
	}
	t.Run("elsewhere", func(t *testing.T) {
		var all []*performance
		for _, python := range others {
			all = append(all, c.performances(python, "asyncio", "uvloop")...)
		}
		c.observe(t, nil, all, "--stdlib")
	})
	t.Run("bars", c.bars)
}

// causes is the suite: where it runs, and what has come of it so far.
type causes struct {
	stage     *stage
	databases []string // environment
	played    []*performance
	evidence  judge.Evidence
}

func (c *causes) performances(python testpython.Interp, loops ...string) []*performance {
	var all []*performance
	for _, loop := range loops {
		all = append(all, &performance{python: python, loop: loop})
	}
	return all
}

// observe plays programs side by side under one loopwatch that watches them alone, and judges.
func (c *causes) observe(t *testing.T, tape *recordingFile, all []*performance, args ...string) {
	t.Helper()
	var runs []*program
	var there []*performance
	flags := append(tape.flags(), "--threshold", causesThreshold.String(), "--duration", "1h")
	for n, p := range all {
		run := c.start(t, n, p, append([]string{p.loop, "--threshold", fmt.Sprint(causesThreshold.Seconds()), "--seed", strconv.Itoa(n)}, args...))
		if err := run.ready(); errors.Is(err, errAbsent) {
			continue
		} else {
			require.NoError(t, err, p.name())
		}
		p.pid = run.pid()
		runs, there = append(runs, run), append(there, p)
		flags = append(flags, "--pid", strconv.Itoa(p.pid))
	}
	w := watch(t, flags...)
	require.NoError(t, prefer(w.cmd.Process.Pid)) // or the programs would keep it from naming what they did
	time.Sleep(settling)
	var wait sync.WaitGroup
	slots := make(chan struct{}, 4*runtime.NumCPU())
	for n, p := range there {
		slots <- struct{}{}
		wait.Add(1)
		go func() {
			defer func() { <-slots; wait.Done() }()
			p.log, p.err = runs[n].play()
		}()
	}
	wait.Wait()
	rep := w.stop(t)
	var table, complaints strings.Builder
	defer func() {
		t.Logf("lost: %+v\n%s%s", rep.Lost, &table, &complaints)
	}()
	for _, p := range there {
		require.NoError(t, p.err, p.name())
		p.rep = rep
		p.checkCauses(t)
		e := judge.Hold(causesThreshold, p.log, p.rep, p.pid)
		if len(e.Complaints) > 0 {
			fmt.Fprintf(&complaints, "%s:\n%s", p.name(), e.Summary())
		}
		fmt.Fprintf(&table, "%s:\n%s", p.name(), e)
		c.evidence.Add(e)
	}
	tape.keep(t, truth.Causing, causesThreshold, rep, there, c.stage.waits)
	c.played = append(c.played, there...)
}

// start starts a program with what its blocks need: databases, a disk, a quota, a resolver. Only
// on the machine's own tree: nothing of it is to be seen from within another.
func (c *causes) start(t *testing.T, n int, p *performance, args []string) *program {
	t.Helper()
	cmd, err := c.stage.command(p.python, truth.Causing, args...)
	require.NoError(t, err)
	var groups []*group
	if p.python.Root == "" && !slices.Contains(args, "--stdlib") {
		cmd.Env = append(cmd.Env, c.databases...)
		switch {
		case slices.Contains(args, string(model.CauseFile)):
			g := newGroup(t, "blkio")
			groups = append(groups, g)
			cmd.Env = append(cmd.Env, "TRUTH_SLOW_DISK="+slowDisk(t, g))
		case slices.Contains(args, string(model.CauseThrottled)):
			g := newGroup(t, "cpu")
			groups = append(groups, g)
			cmd.Env = append(cmd.Env, "TRUTH_QUOTA="+g.dir)
		case slices.Contains(args, string(model.CauseDNS)):
			resolver := fmt.Sprintf("127.0.77.%d", n+1)
			cmd.Env = append(cmd.Env, "TRUTH_RESOLVER="+resolver)
			dir := t.TempDir()
			conf, nss := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "nsswitch.conf")
			require.NoError(t, os.WriteFile(conf, []byte("nameserver "+resolver+"\noptions timeout:1 attempts:1\n"), 0o644))
			require.NoError(t, os.WriteFile(nss, []byte("hosts: files dns\n"), 0o644))
			// Another resolver for this program alone, in a mount namespace of its own.
			script := `mount --bind "$0" /etc/resolv.conf && mount --bind "$1" /etc/nsswitch.conf && shift && exec "$@"`
			cmd.Args = append([]string{"sh", "-c", script, conf, nss, cmd.Path}, cmd.Args[1:]...)
			cmd.Path = "/bin/sh"
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		}
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true // for prefer
	run, err := c.stage.startCommand(p.python, cmd)
	require.NoError(t, err)
	t.Cleanup(run.kill)
	require.NoError(t, prefer(run.pid()))
	for _, g := range groups {
		require.NoError(t, g.add(run.pid()))
	}
	return run
}

// prefer has the scheduler prefer a process and its children, and the session it leads: hosts that
// run tests do other things, too, and what blocks here is to block by what it does itself.
func prefer(pid int) error {
	const nice = -15
	if err := unix.Setpriority(unix.PRIO_PROCESS, pid, nice); err != nil {
		return fmt.Errorf("set the priority of %d: %w", pid, err)
	}
	// Where sessions share the CPU evenly, it is theirs that counts. One begun before that was
	// switched on shares with nobody: its file is empty and cannot be written.
	autogroup := fmt.Sprintf("/proc/%d/autogroup", pid)
	if group, err := os.ReadFile(autogroup); errors.Is(err, fs.ErrNotExist) || err == nil && len(group) == 0 {
		return nil
	}
	if err := os.WriteFile(autogroup, []byte(strconv.Itoa(nice)), 0); err != nil {
		return fmt.Errorf("set the priority of the session of %d: %w", pid, err)
	}
	return nil
}

// checkCauses holds a log against itself.
func (p *performance) checkCauses(t *testing.T) {
	t.Helper()
	var last int64
	for _, e := range p.log[:len(p.log)-1] { // but for "done"
		what := p.name() + ": " + e.Kind
		require.Greater(t, e.StartNS, last, "%s: blocks do not overlap", what)
		last = e.EndNS
		require.Positive(t, e.DurationNS(), what)
		require.NotEmpty(t, e.Causes, what)
		require.True(t, e.Nobody || len(e.Lines) > 0 && e.Function != "" && strings.HasPrefix(e.File, "/"), what)
	}
}

// bars holds what has come of all programs against what is demanded.
func (c *causes) bars(t *testing.T) {
	e := &c.evidence
	t.Logf("all:\n%s", e)
	kinds := map[string]bool{}
	seen := map[model.Cause]bool{}
	for _, p := range c.played {
		for _, entry := range p.log {
			if entry.Event == "" {
				kinds[entry.Kind+" on "+p.loop] = true
				seen[entry.Causes[0]] = true
			}
		}
	}
	for _, cause := range model.Causes() {
		assert.True(t, seen[cause], "no program blocked by %s", cause)
	}
	assert.GreaterOrEqual(t, len(kinds), 2*65, "kinds of block, on each of two loops")
	assert.LessOrEqual(t, e.Expected-e.Found-e.Queued, e.Expected/100, "blocks not found")
	assert.Less(t, 10*e.Queued, e.Expected, "blocks that the machine's other work spoilt")
	atLeast(t, e.Cause, .98, "causes right")
	assert.Less(t, 100*e.Unknown, e.Found, "blocks called unknown")
	atLeast(t, e.Culprit, .99, "culprits right")
	assert.Zero(t, e.Blamed, "blocks of nobody's line blamed on one")
	atLeast(t, e.Target, .99, "peers, paths and children right")
	atLeast(t, e.Holder, .95, "holders right")
	atLeast(t, e.Native, .98, "modules right")
	atLeast(t, e.Task, .98, "tasks right")
	atLeast(t, e.Advice, .8, "advice right")
}

func atLeast(t *testing.T, n judge.Tally, share float64, what string) {
	t.Helper()
	assert.Positive(t, n.Of, what)
	assert.GreaterOrEqual(t, float64(n.Right), share*float64(n.Of), "%s: %v", what, n)
}
