// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// taskBar is how many of the blocks in a task must name it. A wrong name is never right.
const taskBar = 0.98

// taskCount is how often the task of a block was told.
type taskCount struct {
	right, absent, wrong int
	none, invented       int // in no task: rightly without a name, and with one
	missed               int // blocks that were not reported
}

func (c *taskCount) add(o taskCount) {
	c.right, c.absent, c.wrong = c.right+o.right, c.absent+o.absent, c.wrong+o.wrong
	c.none, c.invented, c.missed = c.none+o.none, c.invented+o.invented, c.missed+o.missed
}

func (c taskCount) String() string {
	return fmt.Sprintf("%6d %6d %6d %6d %8d %6d", c.right, c.absent, c.wrong, c.none, c.invented, c.missed)
}

// TestTasks holds the names of tasks against what programs say of themselves.
func TestTasks(t *testing.T) {
	stage := newStage(t)
	var all []*performance
	for pythons := range slices.Chunk(releases(testpython.All(t)), batch) {
		all = append(all, performTasks(t, stage, pythons)...)
	}
	var total taskCount
	var table, complaints strings.Builder
	loops := map[string]int{}
	for _, p := range all {
		n := countTasks(p, &complaints)
		fmt.Fprintf(&table, "%-36s %s\n", p.name(), n)
		total.add(n)
		loops[p.loop]++
		require.Greater(t, n.none, 5, "%s: blocks in no task", p.name())
		assert.GreaterOrEqual(t, float64(n.right), taskBar*float64(n.right+n.absent+n.wrong), "%s: tasks named", p.name())
	}
	t.Logf("%-36s %6s %6s %6s %6s %8s %6s\n%s%-36s %s", "tasks", "right", "absent", "wrong", "none", "invented", "missed", &table, "all", total)
	if complaints.Len() > 0 {
		t.Log(complaints.String())
	}
	assert.Len(t, loops, 2, "no interpreter has uvloop: install its Debian package")
	assert.Zero(t, total.wrong, "wrong tasks")
	assert.Zero(t, total.invented, "tasks of blocks in no task")
	assert.LessOrEqual(t, total.missed, (total.right+total.none)/100, "blocks not reported")
}

// performTasks plays the program on every interpreter and loop, side by side, under one loopwatch
// that watches them alone.
func performTasks(t *testing.T, stage *stage, pythons []testpython.Interp) (played []*performance) {
	t.Helper()
	args := []string{"--threshold", "20ms", "--duration", "1h"}
	runs := map[*performance]*program{}
	for _, python := range pythons {
		stage.install(t, python)
		for _, loop := range []string{"asyncio", "uvloop"} {
			run, err := stage.start(python, truth.Tasks, loop, "0.04", "2")
			require.NoError(t, err)
			t.Cleanup(run.kill)
			p := &performance{python: python, loop: loop, pid: run.pid()}
			err = run.ready()
			if errors.Is(err, errAbsent) {
				continue
			}
			require.NoError(t, err, p.name())
			runs[p] = run
			played = append(played, p)
			args = append(args, "--pid", strconv.Itoa(p.pid))
		}
	}
	w := watch(t, args...)
	var wait sync.WaitGroup
	for p, run := range runs {
		wait.Go(func() { p.log, p.err = run.play() })
	}
	wait.Wait()
	rep := w.stop(t)
	t.Logf("lost: %+v", rep.Lost)
	assert.Zero(t, rep.Lost.Reasons["asyncio_tasks_not_understood"])
	for _, p := range played {
		require.NoError(t, p.err, p.name())
		p.rep = rep
	}
	return played
}

// countTasks compares every block reported with what ran during it.
func countTasks(p *performance, complaints *strings.Builder) (n taskCount) {
	blocks := judge.BlocksOf(p.rep, p.pid)
	unseen := map[int]bool{}
	for i := range p.log[:len(p.log)-1] {
		unseen[i] = true
	}
	for _, b := range blocks {
		want := map[string]bool{} // one period can hold several
		for i, e := range p.log[:len(p.log)-1] {
			if shared := judge.Overlap(b.StartNS, b.StartNS+b.DurationNS, e.StartNS, e.EndNS); b.TID == e.TID && shared > 0 {
				delete(unseen, i)
				if 5*shared >= b.DurationNS {
					want[e.Task] = true
				}
			}
		}
		switch got := b.Task; {
		case len(want) == 0:
		case got == "" && want[""]:
			n.none++
		case got == "":
			n.absent++
			fmt.Fprintf(complaints, "%s: absent, %s, want %.200q, cause %s, culprit %s\n", p.name(), time.Duration(b.DurationNS), slices.Collect(maps.Keys(want)), b.Cause, judge.Describe(b.Culprit))
		case slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(name string) bool { return sameTask(got, name) }):
			n.right++
		case want[""]:
			n.invented++
			fmt.Fprintf(complaints, "%s: invented %.200q, culprit %s\n", p.name(), got, judge.Describe(b.Culprit))
		default:
			n.wrong++
			fmt.Fprintf(complaints, "%s: wrong: %.200q, want %.200q, culprit %s\n", p.name(), got, slices.Collect(maps.Keys(want)), judge.Describe(b.Culprit))
		}
	}
	n.missed = len(unseen)
	return n
}

// sameTask compares a name as reported with the program's own. One that was given up before it
// could be read in full is cut, and so is one longer than 4 KiB.
func sameTask(got, want string) bool {
	before, _, cut := strings.Cut(got, "…")
	if !cut {
		return got == want
	}
	return len(want) > 64 && len(before) >= 32 && len(got) <= 4096 && strings.HasPrefix(want, before)
}
