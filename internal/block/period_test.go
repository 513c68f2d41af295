// SPDX-License-Identifier: Apache-2.0

package block

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/model"
)

const ms = 1_000_000

func frame(function string, line int) model.Frame {
	return model.Frame{Function: function, File: "/srv/app.py", Line: line, App: true}
}

// off is a stretch asleep, tick a sample of running; at and cpu count from the period's start.
func off(at, ns int64, cause model.Cause, f model.Frame) piece {
	return named(piece{sample: &Sample{AtNS: at, NS: ns}, cause: cause}, f)
}

func tick(at, cpu int64, f model.Frame) piece {
	return named(piece{sample: &Sample{Kind: Tick, AtNS: at, CPUNS: cpu}, cause: model.CauseCPU}, f)
}

func named(p piece, f model.Frame) piece {
	p.sample.Frames = []model.Frame{f}
	p.culprit = &p.sample.Frames[0]
	return p
}

func resting(p piece) piece {
	p.outside, p.atRest = true, true
	return p
}

func notRunning(p piece) piece {
	p.outside = true
	return p
}

func split(p period) int64 {
	by, _ := p.share()
	return sum(by)
}

func sum(split map[model.Cause]int64) (n int64) {
	for _, ns := range split {
		n += ns
	}
	return n
}

func TestShareAddsUp(t *testing.T) {
	a, b := frame("a", 1), frame("b", 2)
	for _, test := range []struct {
		what string
		p    period
		want map[model.Cause]int64
	}{
		{"one sleep", period{end: 100 * ms, offNS: 90 * ms, whole: true, pieces: []piece{off(5*ms, 90*ms, model.CauseSleep, a)}},
			map[model.Cause]int64{model.CauseSleep: 90 * ms, model.CauseCPU: 10 * ms}},
		{"woken late", period{end: 100 * ms, offNS: 100 * ms, waitedNS: 30 * ms, whole: true, pieces: []piece{off(0, 100*ms, model.CauseSleep, a)}},
			map[model.Cause]int64{model.CauseSleep: 70 * ms, model.CauseRunqueue: 30 * ms}},
		{"two kinds of sleep", period{end: 100 * ms, offNS: 80 * ms, whole: true, pieces: []piece{
			off(0, 60*ms, model.CauseNet, a), off(70*ms, 20*ms, model.CauseFile, b)}},
			map[model.Cause]int64{model.CauseNet: 60 * ms, model.CauseFile: 20 * ms, model.CauseCPU: 20 * ms}},
		{"running", period{end: 100 * ms, whole: true, pieces: []piece{tick(30*ms, 30*ms, a), tick(60*ms, 60*ms, b)}},
			map[model.Cause]int64{model.CauseCPU: 100 * ms}},
		{"asleep unseen", period{end: 100 * ms, offNS: 40 * ms, whole: true},
			map[model.Cause]int64{model.CauseUnknown: 40 * ms, model.CauseCPU: 60 * ms}},
		{"more run delay than time off the CPU", period{end: 10 * ms, offNS: 4 * ms, waitedNS: 4 * ms, whole: true},
			map[model.Cause]int64{model.CauseRunqueue: 4 * ms, model.CauseCPU: 6 * ms}},
	} {
		got, _ := test.p.share()
		assert.Equal(t, test.want, got, test.what)
		assert.Equal(t, test.p.end-test.p.start, sum(got), test.what)
	}
}

// Each tick stands for the CPU time since the one before.
func TestTicksShareCPUTime(t *testing.T) {
	p := period{end: 100 * ms, whole: true, pieces: []piece{tick(25*ms, 25*ms, frame("a", 1)), tick(45*ms, 45*ms, frame("b", 2)), tick(95*ms, 95*ms, frame("b", 3))}}
	_, shared := p.share()
	assert.InDelta(t, 26*ms, shared[0].ns, ms)
	assert.InDelta(t, 21*ms, shared[1].ns, ms)
	assert.InDelta(t, 53*ms, shared[2].ns, ms)
	assert.EqualValues(t, 100*ms, shared[0].ns+shared[1].ns+shared[2].ns)
}

func TestSplitCutsRests(t *testing.T) {
	a, hub := frame("a", 1), frame("wait", 2)
	p := period{end: 1000 * ms, offNS: 800 * ms, whole: true, pieces: []piece{
		off(10*ms, 100*ms, model.CauseSleep, a),
		resting(off(120*ms, 500*ms, model.CauseSleep, hub)),
		off(650*ms, 200*ms, model.CauseNet, a),
	}}
	parts, rest := p.split()
	if assert.Len(t, parts, 2) {
		assert.EqualValues(t, 0, parts[0].start)
		assert.EqualValues(t, 120*ms, parts[0].end)
		assert.EqualValues(t, 100*ms, parts[0].offNS)
		assert.EqualValues(t, 620*ms, parts[1].start)
		assert.EqualValues(t, 1000*ms, parts[1].end)
		assert.EqualValues(t, 380*ms, split(parts[1]))
	}
	assert.EqualValues(t, 500*ms, rest)
}

// After asyncio.run has returned the program goes on without a loop: that is no block.
func TestSplitLeavesOutWhatIsNoLoop(t *testing.T) {
	main := frame("<module>", 9)
	p := period{end: 3000 * ms, whole: true, pieces: []piece{
		notRunning(off(100*ms, 1000*ms, model.CauseSleep, main)), notRunning(tick(2000*ms, 900*ms, main)),
	}}
	parts, rest := p.split()
	assert.Empty(t, parts)
	assert.EqualValues(t, 3000*ms, rest)

	p = period{end: 3000 * ms, whole: true, pieces: []piece{
		off(10*ms, 200*ms, model.CauseSleep, frame("handler", 3)), notRunning(off(300*ms, 2600*ms, model.CauseSleep, main)),
	}}
	parts, _ = p.split()
	if assert.Len(t, parts, 1) {
		assert.EqualValues(t, 300*ms, parts[0].end)
	}
}

// An interpreter that shuts down frees its thread states: its last stacks cannot be walked.
func TestSplitLeavesOutTheShutdown(t *testing.T) {
	unreadable := tick(0, 0, frame("", 0))
	unreadable.sample.Frames, unreadable.culprit = nil, nil
	late := unreadable
	late.sample = &Sample{Kind: Tick, AtNS: 2500 * ms, CPUNS: 2500 * ms}
	p := period{end: 3000 * ms, whole: true, pieces: []piece{notRunning(tick(2000*ms, 2000*ms, frame("<module>", 9))), late}}
	parts, rest := p.split()
	assert.Empty(t, parts)
	assert.EqualValues(t, 3000*ms, rest)
}

func TestSplitOfNothingIsTheWhole(t *testing.T) {
	p := period{start: 5, end: 10, whole: true}
	parts, rest := p.split()
	assert.Equal(t, []period{p}, parts)
	assert.Zero(t, rest)
}

// A loop inside one function spreads over its lines; the function counts as one.
func TestHeaviestAddsUpAFunction(t *testing.T) {
	pieces := []piece{
		tick(0, 0, frame("short", 1)), tick(0, 0, frame("long", 10)), tick(0, 0, frame("long", 11)), tick(0, 0, frame("long", 11)),
	}
	for i, ns := range []int64{35 * ms, 25 * ms, 20 * ms, 20 * ms} {
		pieces[i].ns = ns
	}
	top := heaviest(pieces, model.CauseCPU)
	assert.Equal(t, frame("long", 11), *top.culprit)
}

func TestHeaviestStaysWithTheCause(t *testing.T) {
	sleep, cpu := off(0, 60*ms, model.CauseSleep, frame("sleeps", 1)), tick(0, 0, frame("computes", 2))
	sleep.ns, cpu.ns = 60*ms, 70*ms
	assert.Equal(t, "sleeps", heaviest([]piece{sleep, cpu}, model.CauseSleep).culprit.Function)
	assert.Equal(t, "computes", heaviest([]piece{sleep, cpu}, model.CauseNet).culprit.Function, "no piece of the cause: any")
	assert.Nil(t, heaviest(nil, model.CauseCPU))
}

func TestLargest(t *testing.T) {
	assert.Equal(t, model.CauseUnknown, largest(nil))
	assert.Equal(t, model.CauseNet, largest(map[model.Cause]int64{model.CauseCPU: 1, model.CauseNet: 2}))
	for range 20 { // whatever the order of the map
		assert.Equal(t, model.CauseCPU, largest(map[model.Cause]int64{model.CauseCPU: 2, model.CauseNet: 2}))
	}
}

// What follows the last sign of a loop in a thread that ends is not the loop's.
func TestLeaveOutEnding(t *testing.T) {
	a := frame("a", 1)
	bare := piece{sample: &Sample{Kind: Tick, AtNS: 70 * ms, CPUNS: 20 * ms}, cause: model.CauseCPU}
	for _, test := range []struct {
		what   string
		pieces []piece
		want   []int64 // lengths of what is left
	}{
		{"killed asleep", []piece{off(10*ms, 90*ms, model.CauseSleep, a)}, []int64{100 * ms}},
		{"killed computing", []piece{tick(50*ms, 50*ms, a), tick(90*ms, 90*ms, a)}, []int64{100 * ms}},
		{"collects at the end", []piece{off(0, 10*ms, model.CauseFile, a)}, []int64{10 * ms}},
		{"runs without a frame at the end", []piece{off(0, 60*ms, model.CauseFile, a), bare}, []int64{60 * ms}},
		{"runs something else at the end", []piece{off(0, 60*ms, model.CauseFile, a), notRunning(tick(70*ms, 10*ms, a))}, []int64{60 * ms}},
	} {
		p := period{end: 100 * ms, whole: true, pieces: test.pieces}
		for i := range p.pieces {
			if x := &p.pieces[i]; x.isOff() {
				p.offNS += x.sample.NS
			}
		}
		p = p.withoutEnding(30 * ms)
		parts, rest := p.split()
		var got []int64
		for _, part := range parts {
			got = append(got, part.end-part.start)
			assert.Equal(t, part.end-part.start, split(part), test.what)
			rest += part.end - part.start
		}
		assert.Equal(t, test.want, got, test.what)
		assert.EqualValues(t, 100*ms, rest, test.what)
	}
}
