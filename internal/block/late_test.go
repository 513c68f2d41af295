// SPDX-License-Identifier: Apache-2.0

package block

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/model"
)

// late returns a period of 10 ms on the CPU behind a wait that returned late.
func late(l Late) *Evidence {
	return &Evidence{PID: 1, TID: 1, ThresholdNS: 100 * ms, StartNS: 1000 * ms, EndNS: 1010 * ms, Late: l}
}

func TestLateReturnIsABlock(t *testing.T) {
	for name, test := range map[string]struct {
		late  Late
		cause model.Cause
		split map[model.Cause]int64
	}{
		"run queue": {Late{NS: 200 * ms}, model.CauseRunqueue, map[model.Cause]int64{model.CauseRunqueue: 200 * ms, model.CauseCPU: 10 * ms}},
		"quota": {Late{NS: 200 * ms, ThrottledNS: 150 * ms}, model.CauseThrottled,
			map[model.Cause]int64{model.CauseRunqueue: 50 * ms, model.CauseThrottled: 150 * ms, model.CauseCPU: 10 * ms}},
		"stop": {Late{NS: 200 * ms, StoppedNS: 180 * ms, ThrottledNS: 30 * ms}, model.CauseStopped, // more than is left
			map[model.Cause]int64{model.CauseStopped: 180 * ms, model.CauseThrottled: 20 * ms, model.CauseCPU: 10 * ms}},
		"joined": {Late{NS: 95 * ms}, model.CauseRunqueue, map[model.Cause]int64{model.CauseRunqueue: 95 * ms, model.CauseCPU: 10 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			j := Judge(late(test.late))
			require.Len(t, j.Blocks, 1)
			b := j.Blocks[0]
			assert.True(t, b.InWait)
			assert.Equal(t, 1000*ms-test.late.NS, b.StartNS)
			assert.Equal(t, 10*ms+test.late.NS, b.DurationNS)
			assert.Equal(t, test.cause, b.Cause)
			assert.Equal(t, test.split, b.BreakdownNS)
			assert.Nil(t, b.Culprit)
			assert.Empty(t, b.Stacks, "what the loop did afterwards does not explain it")
			assert.Zero(t, j.Correction, "the time is idle")
		})
	}
}

// An iteration before the late return belongs to the block with all of its time.
func TestLateWithAnIterationBefore(t *testing.T) {
	e := late(Late{NS: 120 * ms, ThrottledNS: 70 * ms, StoppedNS: 10 * ms, RanNS: 15 * ms, AsleepNS: 5 * ms})
	e.OffNS, e.WaitedNS = 8*ms, 8*ms
	j := Judge(e)
	require.Len(t, j.Blocks, 1)
	b := j.Blocks[0]
	assert.True(t, b.InWait)
	assert.EqualValues(t, 880*ms, b.StartNS)
	assert.EqualValues(t, 130*ms, b.DurationNS)
	assert.Equal(t, model.CauseThrottled, b.Cause)
	assert.Equal(t, map[model.Cause]int64{
		model.CauseThrottled: 70 * ms, model.CauseRunqueue: 28 * ms, model.CauseStopped: 10 * ms, model.CauseCPU: 17 * ms, model.CauseUnknown: 5 * ms,
	}, b.BreakdownNS)
	p := e.period()
	with := p
	with.addLate(e.Late)
	without := with.withoutLate()
	assert.Equal(t, p, without)
}

func TestLateReturnTooShort(t *testing.T) {
	assert.Empty(t, Judge(late(Late{NS: 89 * ms})).Blocks)
	e := late(Late{NS: 10*ms - 1})
	e.EndNS = 1150 * ms
	j := Judge(e)
	require.Len(t, j.Blocks, 1)
	assert.False(t, j.Blocks[0].InWait, "every wake-up takes a moment")
	assert.EqualValues(t, 1000*ms, j.Blocks[0].StartNS)
}

// A late return before a longer block of another cause is a part of it, and the line stays the culprit.
func TestLateReturnBeforeALine(t *testing.T) {
	e := late(Late{NS: 80 * ms})
	e.EndNS = 1120 * ms
	e.Samples = []Sample{{Kind: Tick, AtNS: 1060 * ms, CPUNS: 60 * ms, Frames: []model.Frame{
		{Function: "work", File: "/srv/app.py", Line: 3, App: true},
		{Function: "Handle._run", File: "/usr/lib/python3.11/asyncio/events.py", Line: 80},
		{Function: "BaseEventLoop._run_once", File: "/usr/lib/python3.11/asyncio/base_events.py", Line: 1922},
		{Function: "BaseEventLoop.run_forever", File: "/usr/lib/python3.11/asyncio/base_events.py", Line: 600},
	}, Interpreter: true, Sleep: cause.Sleep{Call: cause.Call{Number: -1}}}}
	j := Judge(e)
	require.Len(t, j.Blocks, 1)
	b := j.Blocks[0]
	assert.True(t, b.InWait)
	assert.EqualValues(t, 200*ms, b.DurationNS)
	assert.Equal(t, model.CauseCPU, b.Cause)
	require.NotNil(t, b.Culprit)
	assert.Equal(t, "work", b.Culprit.Function)
}

func TestLateAndNotReturned(t *testing.T) {
	e := late(Late{NS: 300 * ms, StoppedNS: 300 * ms})
	e.Open, e.StartNS = true, e.EndNS
	j := Judge(e)
	require.NotNil(t, j.Ongoing)
	assert.Empty(t, j.Blocks)
	assert.True(t, j.Ongoing.InWait)
	assert.True(t, j.Ongoing.Ongoing)
	assert.Equal(t, model.CauseStopped, j.Ongoing.Cause)
	assert.EqualValues(t, 300*ms, j.Ongoing.DurationNS)
	assert.Zero(t, j.OpenNS)
	assert.Empty(t, j.Correction.Added)

	e = late(Late{NS: 300 * ms})
	e.Open = true
	j = Judge(e)
	require.NotNil(t, j.Ongoing)
	assert.EqualValues(t, 310*ms, j.Ongoing.DurationNS)
	assert.EqualValues(t, 10*ms, j.OpenNS, "the time outside the wait")
}

// A rest right after the late return parts the two.
func TestLateReturnBeforeARest(t *testing.T) {
	e := late(Late{NS: 150 * ms})
	e.EndNS = 1500 * ms
	e.OffNS = 500 * ms
	e.Samples = []Sample{{AtNS: 1000 * ms, NS: 500 * ms, Frames: []model.Frame{{Function: "main", File: "/srv/app.py", Line: 9, App: true}}}}
	j := Judge(e)
	require.Len(t, j.Blocks, 1)
	assert.EqualValues(t, 850*ms, j.Blocks[0].StartNS)
	assert.EqualValues(t, 150*ms, j.Blocks[0].DurationNS)
	assert.Equal(t, map[model.Cause]int64{model.CauseRunqueue: 150 * ms}, j.Blocks[0].BreakdownNS)
}
