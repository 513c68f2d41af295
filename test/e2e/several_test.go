// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// severalBar is how many of the periods with several blocks must be told as that, and of the blocks explained. On a machine
// short of CPU time a callback may leave too few samples. One block must never be told as several.
const severalBar = 0.95

// TestSeveral holds several blocks in one active period against a program that makes them on every interpreter and loop.
func TestSeveral(t *testing.T) {
	threshold := usualThreshold()
	stage := newStage(t).traced(t)
	var all []*performance
	for i, pythons := range watchedTogether(t) {
		tape := newRecording("several-cpython-3.%d", pythons[0].Minor)
		w := watch(t, append(tape.flags(), "--threshold", threshold.String(), "--duration", "1h")...)
		played := performSeveral(t, stage, pythons, i*batch, threshold)
		rep := w.stop(t)
		t.Logf("lost: %+v", rep.Lost)
		for _, p := range played {
			p.rep = rep
		}
		tape.keep(t, truth.Together, threshold, rep, played, stage.waits)
		all = append(all, played...)
	}
	var sum judge.Result
	var total severalCount
	var table, complaints strings.Builder
	for _, p := range all {
		blocks := judge.BlocksOf(p.rep, p.pid)
		n := countSeveral(p, blocks, threshold, &complaints)
		v := judge.Blocks(threshold, p.log, blocks, stage.waits)
		fmt.Fprintf(&table, "%-36s %s %s\n", p.name(), n, v)
		if text := v.Summary(); text != "" {
			fmt.Fprintf(&complaints, "%s: %s\n", p.name(), text)
		}
		total.add(n)
		sum.Add(v)
	}
	t.Logf("%-36s several  right  split  off by more   %s\n%s%-36s %s %s", "", judge.Figures, &table, "all", total, &sum)
	if complaints.Len() > 0 {
		t.Log(complaints.String())
	}
	require.NotZero(t, total.several)
	assert.GreaterOrEqual(t, float64(total.right), severalBar*float64(total.several), "periods told as several blocks")
	assert.Zero(t, total.split, "single blocks told as several")
	assert.Zero(t, total.off, "boundaries further off than said")
	assert.Zero(t, sum.FalseAlarms)
	assert.GreaterOrEqual(t, float64(sum.Right), severalBar*float64(sum.Found), "culprits")
	assert.GreaterOrEqual(t, float64(sum.Cause), severalBar*float64(sum.Found), "causes")
}

func performSeveral(t *testing.T, stage *stage, pythons []testpython.Interp, first int, threshold time.Duration) (played []*performance) {
	t.Helper()
	var all []*performance
	for n, python := range pythons {
		stage.install(t, python)
		for _, loop := range loopsOn(t, python, first+n, 0) {
			if loop != "curio" && loop != "asyncio-thread" {
				all = append(all, &performance{python: python, loop: loop})
			}
		}
	}
	var wait sync.WaitGroup
	for _, p := range all {
		wait.Go(func() {
			var run *program
			if run, p.err = stage.start(p.python, truth.Together, p.loop, fmt.Sprint(threshold.Seconds()), "1"); p.err != nil {
				return
			}
			p.pid = run.pid()
			if p.err = run.ready(); p.err == nil {
				time.Sleep(crowded())
				p.log, p.err = run.play()
			}
		})
	}
	wait.Wait()
	for _, p := range all {
		if errors.Is(p.err, errAbsent) {
			continue
		}
		require.NoError(t, p.err, p.name())
		played = append(played, p)
	}
	return played
}

// severalCount counts active periods by how well their blocks were reported.
type severalCount struct {
	several, right int // periods of several blocks, and those of which as many were told
	split          int // those of one block, of which more were told
	off            int // boundaries that are not where they are said to be
}

func (c *severalCount) add(o severalCount) {
	c.several, c.right, c.split, c.off = c.several+o.several, c.right+o.right, c.split+o.split, c.off+o.off
}

func (c severalCount) String() string {
	return fmt.Sprintf("%7d %6d %6d %12d  ", c.several, c.right, c.split, c.off)
}

// groupsOf yields the blocks of each active period.
func groupsOf(log []truth.Entry) iter.Seq[[]truth.Entry] {
	return func(yield func([]truth.Entry) bool) {
		for from := 0; from < len(log); {
			to := from + 1
			for to < len(log) && log[to].Group == log[from].Group {
				to++
			}
			if log[from].Group > 0 && !yield(log[from:to]) {
				return
			}
			from = to
		}
	}
}

// countSeveral looks at the blocks reported for each period.
func countSeveral(p *performance, blocks []model.Block, threshold time.Duration, complaints *strings.Builder) (n severalCount) {
	complain := func(format string, args ...any) {
		fmt.Fprintf(complaints, "%s: "+format+"\n", append([]any{p.name()}, args...)...)
	}
	for group := range groupsOf(p.log) {
		first, last := group[0], group[len(group)-1]
		told := slices.DeleteFunc(slices.Clone(blocks), func(b model.Block) bool {
			return 2*judge.Overlap(b.StartNS, b.StartNS+b.DurationNS, first.StartNS, last.EndNS) < b.DurationNS
		})
		if len(group) == 1 {
			// Of many callbacks those in which the machine stood still are blocks.
			own := slices.DeleteFunc(slices.Clone(told), func(b model.Block) bool {
				return b.DurationNS-stalls.stalled(b.StartNS, b.StartNS+b.DurationNS) < int64(threshold)
			})
			if len(own) > 1 && told[0].Period != 0 {
				n.split++
				complain("split: %s of %v into %d", first.Case, time.Duration(last.EndNS-first.StartNS), len(told))
				for _, b := range told {
					complain("  %v, boundary %v: %s, culprit %s\n%s", time.Duration(b.DurationNS), time.Duration(b.BoundaryNS), b.Cause, judge.Describe(b.Culprit), judge.StacksOf(&b))
				}
			}
			continue
		}
		n.several++
		if len(told) != len(group) {
			complain("not told apart: %s, %d of %d", first.Case, len(told), len(group))
			continue
		}
		n.right++
		var whole int64
		for i, b := range told {
			whole += b.DurationNS
			if b.Period == 0 || b.Period != told[0].Period || b.PeriodNS != told[0].PeriodNS || i > 0 && b.StartNS != told[i-1].StartNS+told[i-1].DurationNS {
				complain("%s: block %d does not adjoin the one before: %+v", first.Case, i, b)
				n.right--
				break
			}
			if off := max(b.StartNS, group[i].StartNS) - min(b.StartNS, group[i].StartNS); i > 0 && off > max(b.BoundaryNS, told[i-1].BoundaryNS)+judge.Exactness+group[i].StartNS-group[i-1].EndNS {
				n.off++
				complain("%s: boundary %d is off by %s, not %s", first.Case, i, time.Duration(off), time.Duration(b.BoundaryNS))
			}
		}
		if whole != told[0].PeriodNS {
			complain("%s: blocks of %s in a period of %s", first.Case, time.Duration(whole), time.Duration(told[0].PeriodNS))
			n.right--
		}
	}
	return n
}
