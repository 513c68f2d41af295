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

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
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
	{function: "busy_with_nothing", loops: "asyncio", busy: true},
	{function: "hashing_thread", loops: "asyncio", busy: true},
	{function: "idle_server", loops: "asyncio"},
	{function: "sleeping_threads", loops: "asyncio"},
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
// epoll without an event loop, watched with every threshold at once.
func TestNoFalseAlarms(t *testing.T) {
	stage, pythons := newStage(t).traced(t), testpython.All(t)
	watches := map[time.Duration]*watcher{}
	for _, threshold := range thresholds() {
		watches[threshold] = watch(t, "--threshold", threshold.String(), "--duration", "1h")
	}
	var all []*restingProgram
	ran := map[string]bool{}
	for _, test := range resting { // the busy ones first: the others only start up when those have ended
		for n, python := range pythons {
			// A busy loop beside another is short of a CPU, and so blocked: one at a time, on
			// the oldest and the newest interpreter.
			if test.busy && n != 0 && n != len(pythons)-1 || test.module != "" && !has(t, python, test.module) {
				continue
			}
			ran[test.function] = true
			p := &restingProgram{program: stage.run(t, python, truth.Resting, test.function),
				name: python.Name + "/" + test.function, loops: test.loops, maybe: test.maybe}
			all = append(all, p)
			if test.busy {
				require.NoError(t, p.up())
				time.Sleep(busyFor())
				p.end()
			}
		}
	}
	for _, p := range all {
		if p.settled == 0 {
			require.NoError(t, p.up())
		}
	}
	time.Sleep(5 * time.Second)
	for _, p := range all {
		p.end()
	}
	for _, test := range resting {
		assert.True(t, ran[test.function], "no interpreter has %s: install its Debian package", test.module)
	}
	for threshold, w := range watches {
		t.Run(threshold.String(), func(t *testing.T) {
			rep := w.stop(t)
			alarms := 0
			for _, p := range all {
				alarms += p.judge(t, threshold, rep)
			}
			t.Logf("threshold %v: %d programs, %d false alarms", threshold, len(all), alarms)
		})
	}
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

// judge reports what is said wrongly about the program and returns the number of false alarms.
func (p *restingProgram) judge(t *testing.T, threshold time.Duration, rep *model.Report) int {
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
	alarms := 0
	for _, b := range judge.BlocksOf(rep, p.pid()) {
		if b.StartNS+b.DurationNS < p.settled {
			continue
		}
		// A loop kept from running is blocked; the kernel's own account has to confirm it.
		// So is one whose CPU stands still: that, the witness saw.
		queued := b.BreakdownNS[model.CauseRunqueue]
		stalled := stalls.stalled(b.StartNS, b.StartNS+b.DurationNS)
		// And one whose GIL, or a lock of its executor, another thread keeps that is not given a CPU: that is no time the kernel has an account
		// of, but its trace shows how long the loop was outside its wait, where that is its only rest.
		var held int64
		if p.loops == "asyncio" && p.waits.saw(b.TID, b.StartNS, b.StartNS+b.DurationNS) {
			held = b.BreakdownNS[model.CauseGIL] + b.BreakdownNS[model.CauseLock]
		}
		if b.DurationNS-queued-stalled-held < int64(threshold) && queued <= p.runDelay {
			continue
		}
		alarms++
		t.Errorf("%s: false alarm: %v, %v after start-up, cause %s, culprit %s, breakdown %v, stalled %v\n%s", p.name,
			time.Duration(b.DurationNS), time.Duration(b.StartNS-p.settled), b.Cause, judge.Describe(b.Culprit), b.BreakdownNS,
			time.Duration(stalled), judge.StacksOf(&b))
	}
	return alarms
}

// has reports whether python can import module.
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
