// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// againKinds are the blocks under way when an observation begins. Those that compute do so on one loop: the
// programs take turns.
var againKinds = map[string][]string{
	"sleeping":                nil, // on every loop
	"receiving_by_tcp":        nil,
	"polling_several_sockets": {"asyncio"},
	"locking":                 nil,
	"running_a_child":         nil,
	"counting":                {"asyncio"},
	"gil_held_by_matching":    {"asyncio"},
}

// again is a program that blocks its loop again and again, and what it has logged so far.
type again struct {
	*program
	loop, kind string
	mu         sync.Mutex
	log        []truth.Entry
}

// follow reads the log as it grows.
func (a *again) follow() {
	for a.lines.Scan() {
		if e, err := truth.Parse(a.lines.Bytes()); err == nil {
			a.mu.Lock()
			a.log = append(a.log, e)
			a.mu.Unlock()
		}
	}
}

// during returns the block that was under way at a time, nil if there was none.
func (a *again) during(at int64) *truth.Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.log {
		if e.StartNS < at && at < e.EndNS {
			return &e
		}
	}
	return nil
}

// TestBlocksUnderWay: a block that had begun before the observation has its stack, cause and culprit like any
// other, and says that its duration is a lower bound.
func TestBlocksUnderWay(t *testing.T) {
	threshold := usualThreshold()
	block := 12 * threshold // most of the programs' time: what an observation takes to begin matters not
	stage := newStage(t)
	python := onHost(t, "uvloop")
	stage.install(t, python)
	stage.compile(t, python)
	var all []*again
	for kind, loops := range againKinds {
		if loops == nil {
			loops = loopsOfTurn()
		}
		for _, loop := range loops {
			p, err := stage.start(python, truth.Again, loop, kind, "--seconds", seconds(block))
			require.NoError(t, err)
			t.Cleanup(p.kill)
			all = append(all, &again{program: p, loop: loop, kind: kind})
		}
	}
	all = slices.DeleteFunc(all, func(a *again) bool {
		err := a.ready()
		if errors.Is(err, errAbsent) {
			return true
		}
		require.NoError(t, err, "%s on %s", a.kind, a.loop)
		go a.follow()
		return false
	})
	var total judge.Result
	under := 0
	for range observationsUnderWay() {
		w := watch(t, "--threshold", threshold.String(), "--duration", (block + 2*threshold).String())
		rep := w.report(t)
		// The log of a block is there when it has ended.
		for _, a := range all {
			require.Eventually(t, func() bool { return a.loggedUntil(rep.StartedNS) }, patience, 10*time.Millisecond, "%s on %s", a.kind, a.loop)
		}
		for _, a := range all {
			if e := a.during(rep.StartedNS); e != nil {
				under += a.judge(t, &total, e, rep, threshold)
			} else {
				for _, b := range judge.BlocksOf(rep, a.pid()) {
					// Unless the loop was preparing the block just then, or had no CPU to return from its wait.
					assert.False(t, b.AtLeast && !stage.waits.outside(b.TID, b.StartNS), "%s on %s: nothing was under way: %v before the start to %v after it, %s, in the wait %v",
						a.kind, a.loop, time.Duration(rep.StartedNS-b.StartNS), time.Duration(b.StartNS+b.DurationNS-rep.StartedNS), b.Cause, b.InWait)
				}
			}
		}
	}
	t.Logf("%d blocks were under way; %s\n%s", under, judge.Figures, &total)
	require.Greater(t, under, len(all), "most observations begin within a block")
	assert.Equal(t, under, total.Right, "culprits")
	assert.Equal(t, under, total.Cause, "causes\n%s", total.Summary())
}

// loggedUntil reports whether the log says what the program did at a time.
func (a *again) loggedUntil(at int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.log) > 0 && a.log[len(a.log)-1].WrittenNS > at
}

// judge holds the report against a block that was under way when it began, and returns 1 if the report had to
// have it.
func (a *again) judge(t *testing.T, v *judge.Result, e *truth.Entry, rep *model.Report, threshold time.Duration) int {
	t.Helper()
	rest := *e
	rest.StartNS = rep.StartedNS
	rest.EndNS = min(e.EndNS, rep.EndedNS)
	if float64(rest.DurationNS()) < judge.MustFind*float64(threshold) {
		return 0
	}
	what := fmt.Sprintf("%s on %s, %v before and %v after the start", a.kind, a.loop,
		time.Duration(rep.StartedNS-e.StartNS), time.Duration(rest.DurationNS()))
	for _, b := range judge.BlocksOf(rep, a.pid()) {
		if 2*judge.Overlap(b.StartNS, b.StartNS+b.DurationNS, rest.StartNS, rest.EndNS) < rest.DurationNS() {
			continue
		}
		if v.Compare(&rest, &b); e.Nobody && b.Culprit == nil && b.Cause != model.CauseRunqueue {
			v.Right++
			v.Complaints = slices.DeleteFunc(v.Complaints, func(c string) bool { return strings.HasPrefix(c, "wrong culprit: "+e.Kind) })
		}
		// Or its beginning was seen: the kernel side looks on a moment before the observation begins.
		assert.True(t, b.AtLeast || b.StartNS-e.StartNS < e.DurationNS()/10, "%s: duration is a lower bound", what)
		if !assert.NotEmpty(t, b.Stacks, "%s: stack; cause %s", what, b.Cause) {
			text, _ := json.Marshal(b)
			t.Log(string(text))
		}
		return 1
	}
	v.Complain("missed: %s", what)
	return 1
}
