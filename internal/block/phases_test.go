// SPDX-License-Identifier: Apache-2.0

package block

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/model"
)

func in(phase cause.Phase, p piece) piece {
	p.sample.Busy.Phase = phase
	if phase != cause.NoPhase && p.cause.BlamesLine() {
		p.cause = phase.Cause()
	}
	return p
}

// What the probes saw begin and end is theirs to the nanosecond, whatever the samples are.
func TestPhases(t *testing.T) {
	a, b := frame("a", 1), frame("b", 2)
	phases := func(gc, imports PhaseTime) *Account {
		return &Account{Phases: map[cause.Phase]PhaseTime{cause.PhaseGC: gc, cause.PhaseImport: imports}}
	}
	for _, test := range []struct {
		what string
		p    period
		want map[model.Cause]int64
	}{
		{"a collection no tick fell into", period{end: 100 * ms, whole: true, account: phases(PhaseTime{NS: 30 * ms}, PhaseTime{}),
			pieces: []piece{tick(90*ms, 90*ms, a)}},
			map[model.Cause]int64{model.CauseGC: 30 * ms, model.CauseCPU: 70 * ms}},
		{"ticks in both", period{end: 100 * ms, whole: true, account: phases(PhaseTime{NS: 60 * ms}, PhaseTime{}),
			pieces: []piece{in(cause.PhaseGC, tick(30*ms, 30*ms, a)), tick(60*ms, 60*ms, b), in(cause.PhaseGC, tick(90*ms, 90*ms, a))}},
			map[model.Cause]int64{model.CauseGC: 60 * ms, model.CauseCPU: 40 * ms}},
		{"a collection kept from the CPU", period{end: 100 * ms, offNS: 50 * ms, waitedNS: 50 * ms, whole: true,
			account: phases(PhaseTime{NS: 80 * ms, OffNS: 50 * ms, WaitedOrStoppedNS: 50 * ms}, PhaseTime{})},
			map[model.Cause]int64{model.CauseGC: 30 * ms, model.CauseRunqueue: 50 * ms, model.CauseCPU: 20 * ms}},
		{"an import that reads and computes", period{end: 200 * ms, offNS: 120 * ms, waitedNS: 10 * ms, whole: true,
			account: phases(PhaseTime{}, PhaseTime{NS: 150 * ms, OffNS: 100 * ms, WaitedOrStoppedNS: 10 * ms}),
			pieces:  []piece{in(cause.PhaseImport, off(10*ms, 90*ms, model.CauseFile, a)), off(160*ms, 20*ms, model.CauseSleep, b)}},
			map[model.Cause]int64{model.CauseImport: 140 * ms, model.CauseSleep: 20 * ms, model.CauseRunqueue: 10 * ms, model.CauseCPU: 30 * ms}},
		{"an import that waits for the GIL", period{end: 100 * ms, offNS: 100 * ms, whole: true,
			account: phases(PhaseTime{}, PhaseTime{NS: 100 * ms, OffNS: 100 * ms}),
			pieces:  []piece{in(cause.PhaseImport, off(0, 75*ms, model.CauseGIL, a)), in(cause.PhaseImport, off(75*ms, 25*ms, model.CauseFile, a))}},
			map[model.Cause]int64{model.CauseGIL: 75 * ms, model.CauseImport: 25 * ms}},
		{"more than there was", period{end: 100 * ms, offNS: 40 * ms, whole: true,
			account: phases(PhaseTime{NS: 1000 * ms, OffNS: 900 * ms}, PhaseTime{NS: 1000 * ms})},
			map[model.Cause]int64{model.CauseGC: 100 * ms}},
		// The first tick stands for CPU time from before the part, but for a nanosecond.
		{"a part of a period", period{end: 100 * ms, account: phases(PhaseTime{NS: 60 * ms}, PhaseTime{}),
			pieces: []piece{in(cause.PhaseGC, tick(30*ms, 30*ms, a)), tick(60*ms, 60*ms, b)}},
			map[model.Cause]int64{model.CauseCPU: 100*ms - 3, model.CauseGC: 3}},
		{"the probes' record was lost", period{end: 100 * ms, whole: true,
			pieces: []piece{in(cause.PhaseGC, tick(60*ms, 60*ms, a)), tick(90*ms, 90*ms, b)}},
			map[model.Cause]int64{model.CauseGC: 66666666, model.CauseCPU: 33333334}},
	} {
		got, _ := test.p.share()
		assert.Equal(t, test.want, got, test.what)
		assert.Equal(t, test.p.end-test.p.start, sum(got), test.what)
	}
}

// A collection in which no stack was taken has no line, and gets none that is another's.
func TestNoLineForWhatWasNotSeen(t *testing.T) {
	other := tick(0, 0, frame("computes", 2))
	other.ns = 40 * ms
	assert.Nil(t, heaviest([]piece{other}, model.CauseGC))
	assert.Nil(t, heaviest([]piece{other}, model.CauseImport))
}

// TestFinalizer: what sleeps in a finalizer is no collecting, and is told with the collection around it.
func TestFinalizer(t *testing.T) {
	s := seenIn(1, "Pool.__del__", 10, 200, 10)
	s.Busy = cause.Interpreter{Phase: cause.PhaseGC, Collecting: true, GIL: model.GILReleased}
	e := inPeriod(260, 200, s, seenIn(1, "handler", 230, 0, 30))
	e.Account = &Account{GCs: 1, GCNS: 220 * ms, GCMaxNS: 220 * ms, GCGeneration: 2,
		Phases: map[cause.Phase]PhaseTime{cause.PhaseGC: {NS: 220 * ms, OffNS: 200 * ms}}}
	blocks := Judge(e).Blocks
	require.Len(t, blocks, 1)
	b := blocks[0]
	assert.Equal(t, model.CauseSleep, b.Cause)
	assert.Equal(t, "Pool.__del__", b.Culprit.Function)
	assert.Equal(t, model.CauseGC, b.Detail.During)
	assert.EqualValues(t, 1, b.Detail.GC.Count)
	assert.Equal(t, map[model.Cause]int64{model.CauseSleep: 200 * ms, model.CauseGC: 20 * ms, model.CauseCPU: 40 * ms}, b.BreakdownNS)
	// The collector alone is gc, and nothing else is said to be in it.
	e.Samples[0].Kind, e.Samples[0].Busy.GIL, e.Samples[0].Sleep.Number, e.Samples[0].CPUNS = Tick, model.GILHeld, -1, 10*ms
	e.OffNS, e.Account.Phases[cause.PhaseGC] = 0, PhaseTime{NS: 220 * ms}
	b = Judge(e).Blocks[0]
	assert.Equal(t, model.CauseGC, b.Cause)
	assert.Empty(t, b.Detail.During)
}
