// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
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

// batch is how many interpreters share an observation: a report holds a bounded number of
// blocks, and those of all of them would be too many.
const batch = 3

// bar is what the tests demand of culprits, over all blocks of one threshold.
const bar = 0.99

// performance is one truth program on one loop, and what came of it.
type performance struct {
	python testpython.Interp
	loop   string
	pid    int
	log    []truth.Entry
	err    error
	rep    *model.Report // of the observation it was part of
}

func (p *performance) name() string { return p.python.Name + "/" + p.loop }

// TestTruth runs the truth programs on every interpreter and loop at each threshold, under a
// loopwatch that watches the whole host, and holds its reports against their logs.
func TestTruth(t *testing.T) {
	for n, threshold := range thresholds() {
		over, under := max(n, 1), 1 // the shorter the blocks, the more there is time for
		t.Run(threshold.String(), func(t *testing.T) {
			stage := newStage(t).traced(t)
			var all []*performance
			for i, pythons := range watchedTogether(t) {
				tape := newRecording("truth-cpython-3.%d", pythons[0].Minor)
				w := watch(t, append(tape.flags(), "--threshold", threshold.String(), "--duration", "1h")...)
				played := perform(t, stage, pythons, func(m int, python testpython.Interp) []string { return loopsOn(t, python, i*batch+m, n) },
					"--threshold", fmt.Sprint(threshold.Seconds()), "--over", strconv.Itoa(over), "--under", strconv.Itoa(under))
				rep := w.stop(t)
				t.Logf("lost: %+v", rep.Lost)
				for _, p := range played {
					p.rep = rep
					p.checkLog(t, threshold, over, under)
				}
				tape.keep(t, truth.Blocking, threshold, rep, played, stage.waits)
				all = append(all, played...)
			}
			compare(t, threshold, all, stage.waits)
		})
	}
}

// perform plays the truth program on each interpreter's loops, several side by side, and returns the performances that
// there were.
func perform(t *testing.T, stage *stage, pythons []testpython.Interp, loops func(int, testpython.Interp) []string, args ...string) []*performance {
	t.Helper()
	var all []*performance
	for m, python := range pythons {
		stage.install(t, python)
		stage.compile(t, python)
		for _, loop := range loops(m, python) {
			all = append(all, &performance{python: python, loop: loop})
		}
	}
	// Most of the time they sleep, and they compute one at a time.
	var wait sync.WaitGroup
	slots := make(chan struct{}, 4*runtime.NumCPU())
	for n, p := range all {
		slots <- struct{}{}
		wait.Add(1)
		go func() {
			defer func() { <-slots; wait.Done() }()
			part := fmt.Sprintf("%d/%d", (n+turn())%parts(p.loop), parts(p.loop))
			p.log, p.err = p.play(stage, append([]string{p.loop, "--seed", strconv.Itoa(n), "--part", part}, args...))
		}()
	}
	wait.Wait()
	return slices.DeleteFunc(all, func(p *performance) bool {
		if errors.Is(p.err, errAbsent) {
			return true
		}
		require.NoError(t, p.err, p.name())
		return false
	})
}

func (p *performance) play(stage *stage, args []string) ([]truth.Entry, error) {
	run, err := stage.start(p.python, truth.Blocking, args...)
	if err != nil {
		return nil, err
	}
	p.pid = run.pid()
	if err := run.ready(); err != nil {
		return nil, err
	}
	time.Sleep(crowded())
	return run.play()
}

// checkLog holds a log against itself: a suite whose truth is wrong proves nothing.
func (p *performance) checkLog(t *testing.T, threshold time.Duration, over, under int) {
	t.Helper()
	const many = "many_small" // once, where the loop can run several callbacks in an iteration
	times, long := map[string]int{}, 0
	var last int64
	for _, e := range p.log[:len(p.log)-1] { // but for "done"
		what := p.name() + ": " + e.Kind
		times[e.Kind]++
		require.Greater(t, e.StartNS, last, "%s: blocks do not overlap", what)
		last = e.EndNS
		require.Positive(t, e.DurationNS(), what)
		require.NotEmpty(t, e.Causes, what)
		require.NotEmpty(t, e.Lines, what)
		require.NotEmpty(t, e.Function, what)
		require.True(t, strings.HasPrefix(e.File, "/") || strings.HasPrefix(e.File, "<"), "%s: file %s", what, e.File)
		if e.Kind == "in_map" { // its function is a local one
			assert.Equal(t, p.python.Minor >= 11, strings.Contains(e.Function, "<locals>"), "%s: qualified name %s", what, e.Function)
		}
		if float64(min(e.WantedNS, e.DurationNS())) >= judge.MustFind*float64(threshold) {
			long++
		}
	}
	delete(times, many)
	require.Greater(t, len(times), 30/parts(p.loop), "%s: kinds of blocks", p.name())
	for kind, n := range times {
		require.Equal(t, over+under, n, "%s: %s", p.name(), kind)
	}
	assert.GreaterOrEqual(t, long, over*len(times)*9/10, "%s: what is to be long is long", p.name())
	if p.loop != "asyncio-thread" {
		assert.Equal(t, p.pid, p.log[0].TID, p.name())
	}
}

// compare holds the reports against the logs, prints the figures and fails what is below the
// bars.
func compare(t *testing.T, threshold time.Duration, all []*performance, w *waits) {
	t.Helper()
	demandCoverage(t, all)
	var total judge.Result
	var table, complaints strings.Builder
	for _, p := range all {
		v := judge.Blocks(threshold, p.log, judge.BlocksOf(p.rep, p.pid), w)
		for _, complaint := range identify(p) {
			t.Errorf("%s: %s", p.name(), complaint)
		}
		if len(v.Complaints) > 0 {
			fmt.Fprintf(&complaints, "%s:\n%s\n", p.name(), v.Summary())
		}
		total.Add(v)
		fmt.Fprintf(&table, "%-36s %s\n", p.name(), v)
	}
	t.Logf("%-36s %s\n%s%-36s %s", "threshold "+threshold.String(), judge.Figures, &table, "all", &total)
	if complaints.Len() > 0 {
		t.Log(complaints.String())
	}

	require.Positive(t, total.Expected)
	assert.Equal(t, total.Expected, total.Found, "blocks found")
	assert.GreaterOrEqual(t, float64(total.Right), bar*float64(total.Found), "culprits right")
	assert.GreaterOrEqual(t, float64(total.Cause), bar*float64(total.Found), "causes right")
	assert.Zero(t, total.FalseAlarms, "false alarms")
	t.Logf("%d blocks of whose time in the wait the witness does not know", total.LateUnseen)
	assert.LessOrEqual(t, 500*total.LateUnseen, total.Expected, "blocks of whose time in the wait the witness does not know")
	// Machines differ; what is asserted is only that the figures are of the right order.
	assert.Less(t, judge.Quantile(total.StartError, .5), threshold/2, "median error of the start")
	assert.Less(t, judge.Quantile(total.DurationError, .5), threshold/2, "median error of the duration")
}

// demandCoverage fails where a loop ran on no interpreter at all. curio is not in Debian: it
// is tested where somebody has installed it.
func demandCoverage(t *testing.T, all []*performance) {
	t.Helper()
	played := map[string]bool{}
	for _, p := range all {
		played[p.loop] = true
	}
	for _, loop := range loopsOfTurn() {
		if loop != "curio" {
			assert.True(t, played[loop], "no interpreter has %s: install its Debian package", loop)
		}
	}
}

func loopsOf(rep *model.Report, pid int) []model.Loop {
	return slices.DeleteFunc(slices.Clone(rep.Loops), func(l model.Loop) bool { return l.PID != pid })
}

// identify checks what the report says about the loop itself.
func identify(p *performance) []string {
	loops := loopsOf(p.rep, p.pid)
	if len(loops) != 1 {
		return []string{fmt.Sprintf("has one loop, reported were %+v", loops)}
	}
	l := loops[0]
	var wrong []string
	differs := func(what string, want, got any) {
		if want != got {
			wrong = append(wrong, fmt.Sprintf("%s is %v, reported was %v", what, want, got))
		}
	}
	differs("kind", truth.Loops[p.loop], l.Loop)
	differs("version", p.python.Version, l.Python)
	differs("tid", p.log[0].TID, l.TID)
	differs("naming the program", true, strings.Contains(l.Command, truth.Blocking))
	for _, b := range judge.BlocksOf(p.rep, p.pid) {
		if b.TID != l.TID {
			differs("tid of a block", l.TID, b.TID)
			break
		}
	}
	return wrong
}
