// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/report"
	"github.com/loopwatch/loopwatch/test/truth"
)

// TestShortLives: processes that live hardly longer than the one block of each of their loops, which comes in
// one of the first iterations, as jobs and test workers do.
func TestShortLives(t *testing.T) {
	threshold := usualThreshold()
	stage := newStage(t)
	var all verdict
	for _, python := range few(t) {
		stage.install(t, python)
		stage.compile(t, python)
		w := watch(t, "--threshold", threshold.String(), "--duration", "1h")
		var lives []*life
		for _, kind := range []string{"sleeping", "receiving_by_tcp", "locking", "importing_a_slow_module", "counting"} {
			for _, loops := range []int{1, 2, 8} {
				if kind == "counting" && loops > 1 {
					continue // they would wait for one another's GIL
				}
				for iteration := 1; iteration <= 3; iteration++ {
					args := []string{kind, "--loops", itoa(loops), "--iteration", itoa(iteration), "--seconds", seconds(2 * threshold)}
					p, err := stage.start(python, truth.Brief, args...)
					require.NoError(t, err)
					l := &life{program: p, what: fmt.Sprint(python.Name, args)}
					l.log, err = p.whole()
					require.NoError(t, err, l.what)
					require.Len(t, l.log, loops, l.what)
					lives = append(lives, l)
				}
			}
		}
		rep := w.stop(t)
		for _, l := range lives {
			all.add(l.judge(t, rep))
		}
	}
	t.Logf("%s\n%s", figures, &all)
	assert.Equal(t, all.expected, all.found, "blocks found")
	assert.Equal(t, all.expected, all.right, "culprits")
	assert.Equal(t, all.expected, all.cause, "causes")
	assert.Empty(t, all.summary())
}

// life is a short-lived process and what it logged.
type life struct {
	*program
	what string
	log  []truth.Entry
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
func (l *life) judge(t *testing.T, rep *report.Report) *verdict {
	t.Helper()
	var all verdict
	for _, e := range l.log {
		var blocks []report.Block
		for _, b := range blocksOf(rep, l.pid()) {
			if b.TID == e.TID {
				blocks = append(blocks, b)
			}
		}
		v := judge(usualThreshold(), []truth.Entry{e}, blocks, nil)
		for _, c := range v.complaints {
			all.complain("%s: %s", l.what, c)
		}
		v.complaints = nil
		all.add(v)
	}
	return &all
}
