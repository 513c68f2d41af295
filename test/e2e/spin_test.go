// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/truth"
)

// TestSpinning: a loop that looks for more to do without waiting for it is active all that time, whatever kind of loop it is;
// one that waits for a millisecond at a time is at rest.
func TestSpinning(t *testing.T) {
	kinds := []string{"endless", "half", "short", "spin"}
	stage := newStage(t)
	pythons := few(t)
	for n, python := range pythons {
		// When a loop waits for nothing is up to it: a third of the interpreters, and the newest, show all of that.
		if n%3 != 0 && n != len(pythons)-1 {
			continue
		}
		stage.install(t, python)
		var all []*spinner
		args := []string{"--duration", "1h"}
		for m, loop := range loopsOn(t, python, n/3, 0) {
			if loop == "asyncio-thread" { // its main thread is none of the loop's
				continue
			}
			s, err := startSpinner(stage, python, loop, kinds[(n+m)%len(kinds)])
			if errors.Is(err, errAbsent) {
				continue
			}
			require.NoError(t, err)
			t.Cleanup(s.program.kill)
			all = append(all, s)
			args = append(args, "--pid", itoa(s.program.pid()))
		}
		w := watch(t, args...)
		time.Sleep(settling)
		sideBySide(all, (*spinner).play)
		rep := w.stop(t)
		for _, s := range all {
			s.judge(t, rep)
			s.program.kill()
		}
	}
}

// spinner is a Spinning program and what is known of it in the end.
type spinner struct {
	program    *program
	name, kind string
	spunNS     int64 // at least so long it was active
	activeNS   int64 // and so long at most
	err        error
}

func startSpinner(stage *stage, python testpython.Interp, loop, kind string) (*spinner, error) {
	p, err := stage.start(python, truth.Spinning, loop, kind, "1")
	if err != nil {
		return nil, err
	}
	s := &spinner{program: p, name: fmt.Sprintf("%s/%s/%s", python.Name, loop, kind), kind: kind}
	return s, p.ready()
}

// play lets the program do what it does.
func (s *spinner) play() {
	var account truth.Entry
	if s.kind == "endless" {
		time.Sleep(time.Second)
	} else {
		if s.err = s.program.stdin.Close(); s.err == nil {
			account, s.err = s.program.next()
		}
		if s.err != nil {
			return
		}
	}
	awake, err := awakeNS(s.program.pid())
	s.err = err
	s.spunNS, s.activeNS = account.SpunNS, account.SpunNS+awake-account.AwakeNS
}

// awakeNS is how long the main thread of a process has run or waited for a CPU, by the kernel's account.
func awakeNS(pid int) (ns int64, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", pid, pid))
	if err != nil {
		return 0, err
	}
	var queued int64
	_, err = fmt.Fscan(strings.NewReader(string(stat)), &ns, &queued)
	return ns + queued, err
}

func (s *spinner) judge(t *testing.T, rep *model.Report) {
	t.Helper()
	require.NoError(t, s.err, s.name)
	loops := loopsOf(rep, s.program.pid())
	if !assert.Len(t, loops, 1, s.name) {
		return
	}
	l := loops[0]
	t.Logf("%-28s spun %v, active %v, at most %v; utilization %.3f", s.name, time.Duration(s.spunNS), time.Duration(l.ActiveNS), time.Duration(s.activeNS), l.Utilization)
	assert.LessOrEqual(t, s.spunNS, l.ActiveNS, s.name)
	if s.kind == "endless" {
		assert.InDelta(t, 1, l.Utilization, 1e-9, s.name)
		assert.Zero(t, l.IdleNS, s.name)
		assert.GreaterOrEqual(t, l.UnrestedNS.Total, int64(time.Second), s.name) // so long it was let, at least
		return
	}
	assert.LessOrEqual(t, l.ActiveNS, s.activeNS, s.name)
	assert.Positive(t, l.IdleNS, s.name)
}
