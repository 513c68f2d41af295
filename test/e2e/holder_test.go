// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
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

// heldBar is what is demanded of causes and holders, over all waits of all interpreters.
const heldBar = 0.95

// heldPlay is one run of the program that waits for what others hold.
type heldPlay struct {
	python testpython.Interp
	run    *program
	child  int
	log    []truth.HeldEntry
	err    error
}

// TestHolders runs a loop that waits for the GIL and for locks held by a known thread in a known
// function, and one kept busy by native code and the collector, on every release.
func TestHolders(t *testing.T) {
	const times = 1
	var total heldVerdict
	for pythons := range slices.Chunk(releases(testpython.All(t)), batch) {
		stage := newStage(t)
		plays := make([]*heldPlay, len(pythons))
		args := []string{"--duration", "1h"}
		for i, python := range pythons {
			run := stage.run(t, python, truth.Holders, strconv.Itoa(times))
			p := &heldPlay{python: python, run: run}
			ready, err := p.next()
			require.NoError(t, err)
			require.Equal(t, "ready", ready.Event)
			p.child, plays[i] = ready.Child, p
			args = append(args, "--pid", strconv.Itoa(run.pid()), "--pid", strconv.Itoa(p.child))
		}
		w := watch(t, args...)
		time.Sleep(settling)
		var wait sync.WaitGroup
		for _, p := range plays {
			wait.Go(func() { p.err = p.play() })
		}
		wait.Wait()
		rep := w.stop(t)
		t.Logf("lost: %+v", rep.Lost)
		for _, p := range plays {
			require.NoError(t, p.err, p.python.Name)
			checkHeldLog(t, p, times)
			v := judgeHeld(p, judge.BlocksOf(rep, p.run.pid()))
			t.Logf("%-24s %s%s", p.python.Name, v.figures(), v.text())
			total.add(v)
		}
	}
	t.Logf("%-24s %s", "all", total.figures())
	require.Positive(t, total.expected)
	assert.Equal(t, total.expected, total.found, "blocks found")
	for what, n := range map[string][2]int{
		"causes": {total.cause, total.found}, "culprits": {total.culprit, total.found},
		"holders": {total.holder, total.holders}, "GIL held or released": {total.gil, total.gils},
	} {
		require.Positive(t, n[1], what)
		assert.GreaterOrEqual(t, float64(n[0]), heldBar*float64(n[1]), "%s: %d of %d", what, n[0], n[1])
	}
	assert.Zero(t, total.invented, "holders where nobody held anything")
}

func (p *heldPlay) next() (e truth.HeldEntry, err error) {
	line, err := p.run.line()
	if err != nil {
		return e, err
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	return e, decoder.Decode(&e)
}

func (p *heldPlay) play() error {
	if err := p.run.stdin.Close(); err != nil {
		return err
	}
	for {
		e, err := p.next()
		if err != nil {
			return err
		}
		if e.Event == "done" {
			return nil
		}
		p.log = append(p.log, e)
	}
}

// checkHeldLog holds a log against itself.
func checkHeldLog(t *testing.T, p *heldPlay, times int) {
	t.Helper()
	kinds := map[string]int{}
	for _, e := range p.log {
		kinds[e.Kind]++
		require.Positive(t, e.EndNS-e.StartNS, e.Kind)
		require.NotEmpty(t, e.Causes, e.Kind)
	}
	require.Greater(t, len(kinds), 12)
	for kind, n := range kinds {
		require.Equal(t, times, n, kind)
	}
}

// heldVerdict counts what was right.
type heldVerdict struct {
	expected, found, cause, culprit, holder, holders, gil, gils, invented, queued int
	complaints                                                                    []string
}

func (v *heldVerdict) add(o *heldVerdict) {
	v.expected += o.expected
	v.found += o.found
	v.cause += o.cause
	v.culprit += o.culprit
	v.holder += o.holder
	v.holders += o.holders
	v.gil += o.gil
	v.gils += o.gils
	v.invented += o.invented
	v.queued += o.queued
}

func (v *heldVerdict) figures() string {
	return fmt.Sprintf("found %d/%d, cause %d/%d, culprit %d/%d, holder %d/%d, gil %d/%d, invented %d, queued %d",
		v.found, v.expected, v.cause, v.found, v.culprit, v.found, v.holder, v.holders, v.gil, v.gils, v.invented, v.queued)
}

func (v *heldVerdict) text() string {
	if len(v.complaints) == 0 {
		return ""
	}
	return "\n  " + strings.Join(v.complaints, "\n  ")
}

func judgeHeld(p *heldPlay, blocks []model.Block) *heldVerdict {
	v := &heldVerdict{}
	for _, e := range p.log {
		took := e.EndNS - e.StartNS
		if float64(took) < judge.MustFind*float64(100*time.Millisecond) {
			continue
		}
		n := slices.IndexFunc(blocks, func(b model.Block) bool {
			return 2*judge.Overlap(b.StartNS, b.StartNS+b.DurationNS, e.StartNS, e.EndNS) >= took
		})
		v.expected++
		if n < 0 {
			v.complain(&e, "not found")
			continue
		}
		b := &blocks[n]
		v.found++
		// A busy machine, if the kernel's account agrees.
		if judge.Queued(b, e.RunDelayNS) {
			v.found, v.expected, v.queued = v.found-1, v.expected-1, v.queued+1
			continue
		}
		v.compare(p, &e, b)
	}
	return v
}

func (v *heldVerdict) complain(e *truth.HeldEntry, format string, args ...any) {
	v.complaints = append(v.complaints, e.Kind+": "+fmt.Sprintf(format, args...))
}

func (v *heldVerdict) compare(p *heldPlay, e *truth.HeldEntry, b *model.Block) {
	if slices.Contains(e.Causes, b.Cause) {
		v.cause++
	} else {
		v.complain(e, "cause %s, breakdown %v", b.Cause, b.BreakdownNS)
	}
	if e.Culprit == "" && b.Culprit == nil || b.Culprit != nil && lastName(b.Culprit.Function) == e.Culprit {
		v.culprit++
	} else {
		v.complain(e, "culprit %s", judge.Describe(b.Culprit))
	}
	if e.GIL != "" {
		v.gils++
		if b.Detail.GIL == e.GIL {
			v.gil++
		} else {
			v.complain(e, "the GIL was %s, reported is %q", e.GIL, b.Detail.GIL)
		}
	}
	h := b.Detail.Holder
	switch {
	case e.Holder == nil && h != nil:
		v.invented++
		v.complain(e, "holder %d %+v where there is none", h.TID, h.Frames)
	case e.Holder != nil:
		v.holders++
		if h == nil {
			v.complain(e, "no holder (%v)", b.BreakdownNS)
			return
		}
		culprit := slices.IndexFunc(h.Frames, func(f model.Frame) bool { return f.App })
		if h.TID == e.Holder.TID && h.PID == e.Holder.PID && h.Thread != "" && culprit >= 0 && lastName(h.Frames[culprit].Function) == e.Holder.Function {
			v.holder++
		} else {
			v.complain(e, "held by %+v, reported is thread %d/%d %q in %+v", *e.Holder, h.PID, h.TID, h.Thread, h.Frames)
		}
	}
}

// lastName is the name of a function without what it is defined in.
func lastName(function string) string { return function[strings.LastIndexByte(function, '.')+1:] }
