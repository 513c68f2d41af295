// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// TestShortLives: processes that live hardly longer than the one block of each of their loops, which comes in
// one of the first iterations, as jobs and test workers do.
func TestShortLives(t *testing.T) {
	threshold := usualThreshold()
	stage := newStage(t).traced(t)
	var all judge.Result
	for n, python := range releases(few(t)) {
		stage.install(t, python)
		stage.compile(t, python)
		w := watch(t, "--threshold", threshold.String(), "--duration", "1h")
		var lives []*life
		for m, kind := range []string{"sleeping", "receiving_by_tcp", "locking", "importing_a_slow_module", "counting"} {
			for _, loops := range []int{1, 2, 8} {
				if kind == "counting" && loops > 1 {
					continue // they would wait for one another's GIL
				}
				lives = append(lives, &life{kind: kind, loops: loops, iteration: 1 + (n+m+loops)%3})
			}
		}
		sideBySide(lives, func(l *life) { l.live(stage, python) })
		rep := w.stop(t)
		t.Logf("%s: lost %+v; not watched: %+v", python.Name, rep.Lost, rep.Unsupported)
		for _, l := range lives {
			require.NoError(t, l.err, l.what)
			require.Len(t, l.log, l.loops, l.what)
			all.Add(l.judge(t, rep, stage.waits))
		}
	}
	t.Logf("%s\n%s", judge.Figures, &all)
	assert.Equal(t, all.Expected, all.Found, "blocks found")
	assert.Equal(t, all.Expected, all.Right, "culprits")
	assert.LessOrEqual(t, 20*all.Freed, all.Expected, "modules that could not be named in time")
	assert.Equal(t, all.Expected, all.Cause, "causes")
	assert.Empty(t, all.Summary())
}

// life is a short-lived process, and what it logged.
type life struct {
	kind             string
	loops, iteration int

	what string
	pid  int
	log  []truth.Entry
	err  error
}

// live runs the process to its end.
func (l *life) live(stage *stage, python testpython.Interp) {
	args := []string{l.kind, "--loops", itoa(l.loops), "--iteration", itoa(l.iteration), "--seconds", seconds(2 * usualThreshold())}
	l.what = fmt.Sprint(python.Name, args)
	p, err := stage.start(python, truth.Brief, args...)
	if err != nil {
		l.err = err
		return
	}
	l.pid = p.pid()
	l.what += fmt.Sprint(" pid ", l.pid)
	l.log, l.err = p.whole()
}

// sideBySide does something with each of several things, a few at a time.
func sideBySide[T any](things []T, do func(T)) {
	var wait sync.WaitGroup
	slots := make(chan struct{}, 2*runtime.NumCPU())
	for _, thing := range things {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			do(thing)
		})
	}
	wait.Wait()
}

// whole returns the log of a program that ends by itself.
func (p *program) whole() (log []truth.Entry, err error) {
	for p.lines.Scan() {
		e, err := truth.Parse(p.lines.Bytes())
		if err != nil {
			return nil, err
		}
		log = append(log, e)
	}
	return log, p.wait()
}

// judge holds each loop's block against the report: the loops of a process block at the same time.
func (l *life) judge(t *testing.T, rep *model.Report, w *waits) *judge.Result {
	t.Helper()
	var all judge.Result
	for _, e := range l.log {
		var blocks []model.Block
		for _, b := range judge.BlocksOf(rep, l.pid) {
			if b.TID == e.TID {
				blocks = append(blocks, b)
			}
		}
		v := judge.Blocks(usualThreshold(), []truth.Entry{e}, blocks, w)
		for _, c := range v.Complaints {
			all.Complain("%s: %s", l.what, c)
		}
		v.Complaints = nil
		all.Add(v)
	}
	return &all
}
