// SPDX-License-Identifier: Apache-2.0

package block

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

const stdlib = "/usr/lib/python3.11/"

// seenIn is a tick, or with ns a sleep, in a callback: id is its handle, function what that calls.
func seenIn(id uint64, function string, at, ns, cpu int64) Sample {
	s := Sample{
		Kind: Tick, AtNS: at * ms, CPUNS: cpu * ms, Interpreter: true, Sleep: cause.Sleep{Call: cause.Call{Number: -1}},
		Callback: Callback{Frame: 1, Local: id << 4},
		Frames: []model.Frame{
			{Function: function, File: "/srv/app.py", Line: 1, App: true},
			{Function: "Handle._run", File: stdlib + "asyncio/events.py"},
			{Function: "BaseEventLoop._run_once", File: stdlib + "asyncio/base_events.py"},
		},
	}
	if ns > 0 {
		s.Kind, s.NS, s.Sleep.Number = Off, ns*ms, 230 // clock_nanosleep
	}
	return s
}

func inPeriod(length, off int64, samples ...Sample) *Evidence {
	return &Evidence{
		Period: 9, ThresholdNS: 100 * ms, EndNS: length * ms, OffNS: off * ms,
		Loop: Loop{Kind: eventloop.Asyncio, Caller: eventloop.CallerHandle}, Samples: samples,
	}
}

// starvedPeriod is one that waited for a CPU as its samples say.
func starvedPeriod(length int64, samples []Sample) *Evidence {
	waited := samples[len(samples)-1].WaitedNS
	e := inPeriod(length, waited/ms, samples...)
	e.WaitedNS = waited
	return e
}

// ticks is a callback that runs from one time to another, with a tick every ten milliseconds. slept is what the period has slept so far.
func ticks(id uint64, function string, from, to, slept int64) (out []Sample) {
	for at := from + 5; at < to; at += 10 {
		out = append(out, seenIn(id, function, at, 0, at-slept))
	}
	return out
}

// TestSeveral judges periods with several callbacks.
func TestSeveral(t *testing.T) {
	starved := func(samples []Sample) []Sample { // each callback but for its ticks
		for i := range samples {
			samples[i].WaitedNS = int64(i) * 93 * ms / 10
			samples[i].CPUNS = samples[i].AtNS - samples[i].WaitedNS
		}
		return samples
	}
	small := func(from, to int64) (out []Sample) {
		for at := from; at < to; at += 10 {
			out = append(out, ticks(uint64(1000+at), "small", at, at+10, 0)...)
		}
		return out
	}
	for _, test := range []struct {
		what string
		e    *Evidence
		want []int64 // lengths
	}{
		{"a sleep and a computation", inPeriod(340, 180, append([]Sample{seenIn(1, "nap", 0, 180, 0)}, ticks(2, "count", 180, 340, 180)...)...), []int64{182, 157}},
		{"three", inPeriod(450, 0, slices.Concat(ticks(1, "a", 0, 150, 0), ticks(2, "b", 150, 300, 0), ticks(3, "c", 300, 450, 0))...), []int64{150, 150, 150}},
		{"one handler, of two connections", inPeriod(300, 0, slices.Concat(ticks(1, "a", 0, 150, 0), ticks(2, "a", 150, 300, 0))...), []int64{150, 150}},
		{"one callback that calls two functions", inPeriod(300, 0, slices.Concat(ticks(1, "a", 0, 150, 0), ticks(1, "b", 150, 300, 0))...), []int64{300}},
		{"one long, one short", inPeriod(240, 0, slices.Concat(ticks(1, "a", 0, 150, 0), ticks(2, "b", 150, 240, 0))...), []int64{240}},
		{"short ones after each", inPeriod(380, 0, slices.Concat(ticks(1, "a", 0, 150, 0), small(150, 190), ticks(2, "b", 190, 340, 0), small(340, 380))...), []int64{190, 190}},
		{"a short one before", inPeriod(340, 0, slices.Concat(small(0, 40), ticks(1, "a", 40, 190, 0), ticks(2, "b", 190, 340, 0))...), []int64{190, 150}},
		{"many short ones between", inPeriod(450, 0, slices.Concat(ticks(1, "a", 0, 150, 0), small(150, 300), ticks(2, "b", 300, 450, 0))...), []int64{150, 150, 150}},
		{"short ones without a CPU", starvedPeriod(450, starved(slices.Concat(ticks(1, "a", 0, 150, 0), ticks(2, "a", 150, 300, 0), ticks(3, "a", 300, 450, 0)))), []int64{450}},
		{"many short ones", inPeriod(300, 0, small(0, 300)...), []int64{300}},
		{"much unseen between two", inPeriod(250, 0, slices.Concat(ticks(1, "a", 0, 60, 0), ticks(2, "b", 140, 250, 0))...), []int64{250}},
		{"the handle not seen for a while", inPeriod(300, 0, slices.Concat(ticks(1, "a", 0, 100, 0), ticks(0, "a", 100, 200, 0), ticks(1, "a", 200, 300, 0))...), []int64{300}},
	} {
		blocks := Judge(test.e).Blocks
		var got []int64
		var whole int64
		for i, b := range blocks {
			got = append(got, b.DurationNS/ms)
			assert.Equal(t, b.DurationNS, sum(b.BreakdownNS), test.what)
			assert.Equal(t, whole, b.StartNS, test.what)
			whole += b.DurationNS
			if len(test.want) == 1 {
				assert.Zero(t, b.Period+uint64(b.PeriodNS+b.BoundaryNS), "%s: %d", test.what, i)
				continue
			}
			assert.Equal(t, test.e.EndNS, b.PeriodNS, test.what)
			assert.Equal(t, blocks[0].Period, b.Period, test.what)
			assert.Positive(t, b.BoundaryNS, test.what)
		}
		assert.Equal(t, test.want, got, test.what)
		assert.Equal(t, test.e.EndNS, whole, test.what)
	}
}

// TestSeveralGoingOn: of a period that goes on, the blocks before the last have ended.
func TestSeveralGoingOn(t *testing.T) {
	e := inPeriod(300, 0, slices.Concat(ticks(1, "a", 0, 150, 0), ticks(2, "b", 150, 300, 0))...)
	e.Open, e.Seeded = true, true
	j := Judge(e)
	require.NotNil(t, j.Ongoing)
	require.Len(t, j.Blocks, 1)
	assert.Equal(t, "a", j.Blocks[0].Culprit.Function)
	assert.Equal(t, "b", j.Ongoing.Culprit.Function)
	assert.True(t, j.Blocks[0].AtLeast)
	assert.False(t, j.Blocks[0].Ongoing)
	assert.True(t, j.Ongoing.Ongoing)
	assert.False(t, j.Ongoing.AtLeast, "its beginning is known")
	assert.Equal(t, e.EndNS, j.OpenNS, "the period is one for the loop's statistics")
	assert.Empty(t, j.Correction.Removed)
}

// TestBoundary: it is as exact as the stacks beside it.
func TestBoundary(t *testing.T) {
	e := inPeriod(400, 180, append([]Sample{seenIn(1, "nap", 0, 180, 0)}, ticks(2, "count", 220, 400, 180)...)...)
	blocks := Judge(e).Blocks
	require.Len(t, blocks, 2)
	assert.EqualValues(t, (180+225)*ms/2, blocks[1].StartNS)
	assert.EqualValues(t, (225-180)*ms/2, blocks[0].BoundaryNS)
	// What short stretches make up of a sample's time lies before it.
	e.Samples[0].AtNS, e.Samples[0].NS, e.Samples[0].CPUNS = 100*ms, 130*ms, 50*ms
	blocks = Judge(e).Blocks
	require.Len(t, blocks, 2)
	assert.EqualValues(t, (225-180)*ms/2, blocks[0].BoundaryNS)
}

// TestApart tells callbacks apart by what each kind of loop shows.
func TestApart(t *testing.T) {
	at := func(id uint64, sure bool, function string, turns int) *piece {
		e := eventloop.Entry{Function: model.Frame{Function: function, File: "/srv/app.py"}, Turns: turns, Known: function != ""}
		return &piece{sample: &Sample{}, callback: callback{id, sure}, entry: e}
	}
	for _, test := range []struct {
		what            string
		caller          eventloop.Caller
		a, b            *piece
		different, same bool
	}{
		{"two handles", eventloop.CallerHandle, at(1, true, "f", 0), at(2, true, "f", 0), true, false},
		{"one handle", eventloop.CallerHandle, at(1, true, "f", 0), at(1, true, "g", 0), false, true},
		{"delayed calls of Twisted in one handle", eventloop.CallerHandle, at(1, true, "f", 1), at(1, true, "g", 1), true, false},
		{"one Deferred", eventloop.CallerDelayed, at(1, true, "callback", 1), at(1, true, "callback", 1), false, true},
		{"greenlets", eventloop.CallerRoot, at(1, false, "f", 0), at(2, false, "f", 0), true, false},
		{"a greenlet, or one in its place", eventloop.CallerRoot, at(1, false, "f", 0), at(1, false, "f", 0), false, false},
		{"another in its place", eventloop.CallerRoot, at(1, false, "f", 0), at(1, false, "g", 0), true, false},
		{"by name", eventloop.CallerUnknown, at(0, false, "f", 1), at(0, false, "g", 1), true, false},
		{"one name", eventloop.CallerUnknown, at(0, false, "f", 1), at(0, false, "f", 1), false, false},
		{"nothing known", eventloop.CallerUnknown, at(0, false, "f", 1), at(0, false, "", 0), false, false},
	} {
		different, same := (&Loop{Caller: test.caller}).apart(test.a, test.b)
		assert.Equal(t, [2]bool{test.different, test.same}, [2]bool{different, same}, test.what)
	}
}
