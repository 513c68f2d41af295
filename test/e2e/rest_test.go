// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/report"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/truth"
)

// resting are the programs no block may be reported of.
var resting = []struct {
	function string
	module   string // what it needs; on an interpreter without it the program is not run
	loops    string // the kind of loop to be seen; empty: none at all
	maybe    bool   // the loop need not be seen: it may never have waited by a descriptor
	busy     bool   // takes a whole CPU
}{
	{function: "idle_server", loops: "asyncio"},
	{function: "busy_with_nothing", loops: "asyncio", busy: true},
	{function: "sleeping_threads", loops: "asyncio"},
	{function: "hashing_thread", loops: "asyncio", busy: true},
	{function: "idle_beside_blocked_threads", loops: "asyncio"},
	{function: "loop_ended", loops: "asyncio"},
	{function: "process_ends", loops: "asyncio"},
	{function: "gevent_at_rest", module: "gevent", loops: "gevent", maybe: true},
	{function: "eventlet_at_rest", module: "eventlet", loops: "eventlet", maybe: true},
	{function: "eventlet_without_descriptors", module: "eventlet", loops: "eventlet", maybe: true},
	{function: "zeromq", module: "zmq"},
	{function: "grpc", module: "grpc"},
}

// TestNoFalseAlarms runs programs whose loops are never blocked, and programs that wait by
// epoll without an event loop. A hypervisor that takes the CPU away for some milliseconds blocks
// a loop for real, so whoever is complained about plays once more: what loopwatch invents it
// invents again.
func TestNoFalseAlarms(t *testing.T) {
	for _, threshold := range []time.Duration{100 * time.Millisecond, 20 * time.Millisecond, 5 * time.Millisecond} {
		t.Run(threshold.String(), func(t *testing.T) {
			alarms := restUnder(t, threshold, nil)
			for name, what := range alarms {
				t.Logf("%s: once more after %s", name, strings.Join(what, "; "))
			}
			if len(alarms) == 0 {
				return
			}
			for name, what := range restUnder(t, threshold, alarms) {
				t.Errorf("%s: false alarm again: %s", name, strings.Join(what, "; "))
			}
		})
	}
}

// restUnder plays the resting programs under one loopwatch, only those named in again if it is
// not nil, and returns the false alarms by program.
func restUnder(t *testing.T, threshold time.Duration, again map[string][]string) map[string][]string {
	t.Helper()
	stage, pythons := newStage(t), testpython.All(t)
	w := watch(t, "--threshold", threshold.String(), "--duration", "1h")
	var all []*restingProgram
	ran := map[string]bool{}
	for _, test := range resting {
		for n, python := range pythons {
			// A busy loop beside another is short of a CPU, and so blocked: one at a time, on
			// the oldest and the newest interpreter.
			if test.busy && n != 0 && n != len(pythons)-1 || test.module != "" && !has(t, python, test.module) {
				continue
			}
			ran[test.function] = true
			name := python.Name + "/" + test.function
			if _, wanted := again[name]; again != nil && !wanted {
				continue
			}
			p := &restingProgram{program: stage.run(t, python, truth.Resting, test.function), name: name, loops: test.loops, maybe: test.maybe}
			require.NoError(t, p.up())
			all = append(all, p)
			if test.busy {
				time.Sleep(3 * time.Second)
				p.end()
			}
		}
	}
	time.Sleep(5 * time.Second)
	for _, p := range all {
		p.end()
	}
	rep := w.stop(t)
	for _, test := range resting {
		assert.True(t, ran[test.function], "no interpreter has %s: install its Debian package", test.module)
	}
	alarms := map[string][]string{}
	for _, p := range all {
		if what := p.judge(t, threshold, rep); len(what) > 0 {
			alarms[p.name] = what
		}
	}
	t.Logf("threshold %v: %d programs, %d with false alarms", threshold, len(all), len(alarms))
	return alarms
}

// restingProgram is one program that is not to be complained about.
type restingProgram struct {
	*program
	name, loops string
	maybe       bool
	settled     int64 // CLOCK_MONOTONIC nanoseconds: starting up blocks by nature, until here
	runDelay    int64 // nanoseconds the main thread has waited for a CPU
}

func (p *restingProgram) up() error {
	line, err := p.line()
	if err == nil && string(line) != "ready" {
		err = fmt.Errorf("%s said %q instead of ready", p.name, line)
	}
	if err != nil {
		return err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	p.settled = now.Nano() + int64(2*settling)
	return nil
}

// end kills the program, after a look at how the kernel has treated it.
func (p *restingProgram) end() {
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", p.pid())); err == nil {
		if f := strings.Fields(string(stat)); len(f) > 1 {
			p.runDelay, _ = strconv.ParseInt(f[1], 10, 64)
		}
	}
	p.kill()
}

// judge fails what is said wrongly about the program's loop and returns the false alarms.
func (p *restingProgram) judge(t *testing.T, threshold time.Duration, rep *report.Report) (alarms []string) {
	t.Helper()
	loops := loopsOf(rep, p.pid())
	switch {
	case p.loops == "":
		assert.Empty(t, loops, "%s has no event loop", p.name)
	case len(loops) == 0:
		assert.True(t, p.maybe, "%s: its loop is missing", p.name)
	default:
		assert.Len(t, loops, 1, p.name)
		assert.Equal(t, p.loops, loops[0].Loop, p.name)
	}
	for _, b := range blocksOf(rep, p.pid()) {
		if b.StartNS+b.DurationNS < p.settled {
			continue
		}
		// A loop kept from running is blocked; the kernel's own account has to confirm it.
		if queued := b.BreakdownNS[report.CauseRunqueue]; b.DurationNS-queued < int64(threshold) && queued <= p.runDelay {
			continue
		}
		alarms = append(alarms, fmt.Sprintf("%v, %v after start-up, cause %s, culprit %s, breakdown %v",
			time.Duration(b.DurationNS), time.Duration(b.StartNS-p.settled), b.Cause, describe(b.Culprit), b.BreakdownNS))
	}
	return alarms
}

// has tells whether python can import module.
func has(t testing.TB, python testpython.Interp, module string) bool {
	t.Helper()
	key := [2]string{python.Name, module}
	if known, ok := modules.Load(key); ok {
		return known.(bool)
	}
	found := python.Command("-W", "ignore", "-c", "import "+module).Run() == nil
	modules.Store(key, found)
	return found
}

// modules remembers the answers of has: importing takes a second.
var modules sync.Map
