// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"slices"
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
	lateSeconds = "6"
	// worthTelling is what a client waited at least for an answer that a block has to explain: the loop had a part of it
	// to itself, and what is shorter than the threshold is in late_ns alone.
	worthTelling = 110 * time.Millisecond
	// toldShare is how much of that blocks have to tell.
	toldShare = 0.9
)

// lateWay is one way of late.py. quota is how much CPU time its cgroup has in which period, in microseconds; group is where its
// freezer is.
type lateWay struct {
	name, way, group string
	quota            [2]string
}

// TestLateWakeups: a loop that is kept from running in its wait, by a full run queue, a quota, a signal, a tracer and both
// freezers, while clients wait or a timer is due; and one for which nobody waited.
func TestLateWakeups(t *testing.T) {
	ways := []lateWay{
		{name: "run queue", way: "crowd"},
		// For so long that each time it is held back makes a block.
		{name: "quota", way: "quota", quota: [2]string{"50000", "500000"}},
		{name: "signal", way: "signal"}, {name: "tracer", way: "tracer"}, {name: "timer", way: "timer"}, {name: "nobody", way: "nobody"},
	}
	for version, parent := range freezers(t) {
		ways = append(ways, lateWay{name: "freezer of " + version, way: "freezer", group: parent})
	}
	pythons := few(t)
	// What the kernel does is the same for all interpreters; how they wait again after a stop may not be. Cgroups are out of
	// sight in a tree.
	main := max(slices.IndexFunc(pythons, func(p testpython.Interp) bool { return p.Root == "" }), 0)
	for n, python := range pythons {
		for _, way := range ways {
			if n != main && (way.way != "signal" || n%3 != 0) {
				continue
			}
			t.Run(python.Name+"/"+way.name, func(t *testing.T) {
				if way.way != "crowd" && way.quota[0] == "" { // those two want the CPUs to themselves
					t.Parallel()
				}
				s := newStage(t)
				s.install(t, python)
				cmd, err := s.command(python, truth.Late, way.way, lateSeconds)
				require.NoError(t, err)
				switch {
				case way.group != "":
					cmd.Env = append(cmd.Env, "TRUTH_FREEZERS="+freezer(t, way.group))
				case way.quota[0] != "":
					g := newGroup(t, "cpu")
					if g.unified {
						g.set(t, "cpu.max", way.quota[0]+" "+way.quota[1])
					} else {
						g.set(t, "cpu.cfs_period_us", way.quota[1])
						g.set(t, "cpu.cfs_quota_us", way.quota[0])
					}
					cmd.Env = append(cmd.Env, "TRUTH_QUOTA="+g.dir)
				}
				p, err := s.startCommand(python, cmd)
				require.NoError(t, err)
				t.Cleanup(p.kill)
				require.NoError(t, p.ready())
				w := watch(t, "--pid", itoa(p.pid()), "--duration", "1h")
				time.Sleep(settling)
				log, err := p.play()
				require.NoError(t, err)
				rep := w.stop(t)
				inWait := judgeLate(t, rep, p.pid(), log)
				switch way.way {
				case "nobody":
					assert.Zero(t, inWait)
				case "crowd", "quota": // a scheduler may let it run at once, and hold it back in what follows
				default:
					assert.Positive(t, inWait)
				}
			})
		}
	}
}

// judgeLate holds what a report says of a loop against what its clients saw, without the time in which they had no CPU
// themselves. It returns the time in blocks of its wait.
func judgeLate(t *testing.T, rep *model.Report, pid int, log []truth.Entry) (inWait int64) {
	t.Helper()
	var waited, told, own int64
	blocks := judge.BlocksOf(rep, pid)
	for _, e := range log {
		answer := e.EndNS - e.StartNS - e.RunDelayNS
		if answer < int64(worthTelling) {
			continue
		}
		waited, own = waited+answer, own+e.RunDelayNS
		var explained int64
		for _, b := range blocks {
			if b.Cause.Kind() == model.KindHeldBack {
				explained += judge.Overlap(b.StartNS, b.StartNS+b.DurationNS, e.StartNS, e.EndNS)
			}
		}
		told += min(explained, answer)
	}
	for _, b := range blocks {
		assert.Nil(t, b.Culprit, "%s, %v", b.Cause, b.BreakdownNS)
		if !b.InWait { // the loop did something just then
			continue
		}
		inWait += b.DurationNS
		var during int64
		for _, e := range log {
			during += judge.Overlap(b.StartNS, b.StartNS+b.DurationNS, e.StartNS, e.EndNS)
		}
		// The clients log what took long enough, so that the block of a host with too much to do has one, too.
		assert.GreaterOrEqual(t, 2*during, b.DurationNS, "nobody waited for a block of %v by %s, %v", time.Duration(b.DurationNS), b.Cause, b.BreakdownNS)
	}
	loops := loopsOf(rep, pid)
	require.Len(t, loops, 1)
	if log[0].Event == "done" { // nobody asked
		return inWait
	}
	require.Positive(t, waited, "nobody had to wait: the program has not done its work")
	t.Logf("clients waited %v, and %v for a CPU of their own; told %.1f %%, in %d blocks, those of its wait %v; late by %v in all",
		time.Duration(waited), time.Duration(own), 100*float64(told)/float64(waited), len(blocks), time.Duration(inWait), time.Duration(loops[0].LateNS))
	assert.GreaterOrEqual(t, float64(told), toldShare*float64(waited))
	assert.Positive(t, loops[0].LateNS)
	assert.LessOrEqual(t, loops[0].LateNS, loops[0].IdleNS+loops[0].ActiveNS)
	return inWait
}

// freezers returns the directories below which cgroups can be frozen, by version.
func freezers(t *testing.T) map[string]string {
	t.Helper()
	const cgroups = "/sys/fs/cgroup"
	out := map[string]string{}
	for _, dir := range []string{cgroups, cgroups + "/unified", cgroups + "/freezer"} {
		var fs unix.Statfs_t
		if unix.Statfs(dir, &fs) != nil {
			continue
		}
		_, err := os.Stat(filepath.Join(dir, "tasks"))
		switch {
		case fs.Type == unix.CGROUP2_SUPER_MAGIC:
			out["version 2"] = dir
		case fs.Type == unix.CGROUP_SUPER_MAGIC && err == nil && filepath.Base(dir) == "freezer":
			out["version 1"] = dir
		}
	}
	require.NotEmpty(t, out, "no freezer is mounted")
	return out
}

// freezer makes a cgroup to be frozen.
func freezer(t *testing.T, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "loopwatch-test-")
	require.NoError(t, err)
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return os.Remove(dir) == nil }, patience, 20*time.Millisecond, "remove %s", dir)
	})
	return dir
}
