// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/summary"
)

const (
	ms     = 1e6
	window = 60_000 * ms
)

// load makes the blocks of one blocker in a run: when they begin, and how long they take.
type load struct {
	name   string
	blocks func(r *rand.Rand, often, long float64) (starts, lengths []float64)
}

// independently has blocks come at a mean distance of their own, each without regard to the others.
func independently(r *rand.Rand, mean float64) (starts []float64) {
	for at := r.ExpFloat64() * mean; at < window; at += r.ExpFloat64() * mean {
		starts = append(starts, at)
	}
	return starts
}

func each(starts []float64, length func() float64) []float64 {
	out := make([]float64, len(starts))
	for i := range out {
		out[i] = length()
	}
	return out
}

// loads are the kinds of load that runs are made of.
var loads = []load{
	{"a request every 200 ms that sleeps", func(r *rand.Rand, often, long float64) ([]float64, []float64) {
		var starts []float64
		for at := r.Float64() * 200 * ms; at < window; at += 200 * ms / often {
			starts = append(starts, at)
		}
		return starts, each(starts, func() float64 { return long * (120 + r.ExpFloat64()) * ms })
	}},
	{"requests that come by chance and compute", func(r *rand.Rand, often, long float64) ([]float64, []float64) {
		starts := independently(r, 200*ms/often)
		return starts, each(starts, func() float64 { return long * 150 * ms * math.Exp(0.2*r.NormFloat64()) })
	}},
	{"lengths with a long tail", func(r *rand.Rand, often, long float64) ([]float64, []float64) {
		starts := independently(r, 150*ms/often)
		return starts, each(starts, func() float64 { return 100*ms + long*50*ms*math.Exp(r.NormFloat64()) })
	}},
	{"in bursts", func(r *rand.Rand, often, long float64) ([]float64, []float64) {
		var starts []float64
		for _, at := range independently(r, 2000*ms/often) {
			for range 1 + int(r.ExpFloat64()*8) {
				starts = append(starts, at)
				at += 150 * ms
			}
		}
		return starts, each(starts, func() float64 { return long * 130 * ms * math.Exp(0.3*r.NormFloat64()) })
	}},
	{"a machine whose speed changes", func(r *rand.Rand, often, long float64) ([]float64, []float64) {
		starts := independently(r, 200*ms/often)
		phase, run := r.Float64()*2*math.Pi, 1+0.02*r.NormFloat64()
		out := make([]float64, len(starts))
		for i, at := range starts {
			out[i] = long * 150 * ms * run * (1 + 0.15*math.Sin(phase+at/window*6*math.Pi)) * math.Exp(0.1*r.NormFloat64())
		}
		return starts, out
	}},
	{"hardly ever", func(r *rand.Rand, often, long float64) ([]float64, []float64) {
		starts := independently(r, 15_000*ms/often)
		return starts, each(starts, func() float64 { return long * 200 * ms * math.Exp(0.5*r.NormFloat64()) })
	}},
}

// run is a report on a load of some blockers, one for each of the loads; changed is the one that is often and long so many times as usual.
func run(r *rand.Rand, changed int, often, long float64, of []load) *model.Report {
	var blocks []model.Block
	for i, l := range of {
		o, n := 1.0, 1.0
		if i == changed {
			o, n = often, long
		}
		starts, lengths := l.blocks(r, o, n)
		f := model.Frame{Function: l.name, File: "/srv/app.py", Line: 1 + r.IntN(1000), App: true}
		f.Line = 7
		for k := range starts {
			if lengths[k] < 100*ms {
				continue
			}
			blocks = append(blocks, model.Block{PID: i + 1, TID: i + 1, StartNS: int64(starts[k]), DurationNS: int64(lengths[k]), Cause: model.CauseCPU, Culprit: &f})
		}
	}
	return summary.Assemble(summary.Meta{EndedNS: window, ThresholdNS: 100 * ms}, []model.Loop{{PID: 1, TID: 1, ActiveNS: window / 2, IdleNS: window / 2}}, blocks)
}

func compared(t *testing.T, before, after *model.Report) *model.Diff {
	t.Helper()
	d, err := Reports(before, after)
	require.NoError(t, err)
	return d
}

// TestNothingHasChanged: two runs of the same load differ in nothing, 20 times out of 20, whatever the load is like. Of many pairs,
// no more than the rule says may differ.
func TestNothingHasChanged(t *testing.T) {
	const pairs = 500
	wrong, first := 0, 0
	for seed := range uint64(pairs) {
		r := rand.New(rand.NewPCG(seed, 1))
		for _, b := range compared(t, run(r, -1, 1, 1, loads), run(r, -1, 1, 1, loads)).Blockers {
			if b.Verdict != model.VerdictSame && b.Verdict != model.VerdictUnclear {
				t.Logf("pair %d: %s: %s (%v, %v)", seed, b.Function, b.Verdict, b.Often, b.Long)
				if wrong++; seed < 20 {
					first++
				}
			}
		}
	}
	t.Logf("%d of %d pairs differ", wrong, pairs)
	assert.Zero(t, first, "of the first 20 pairs")
	assert.LessOrEqual(t, float64(wrong), falsely*pairs*3)
}

// TestRegressionIsFound: where a frequent blocker takes 20 % longer or comes 20 % more often, that is found in 19 pairs of 20.
func TestRegressionIsFound(t *testing.T) {
	for _, c := range []struct {
		load        int
		often, long float64
		found       float64 // of all pairs, at least
	}{
		{0, 1, 1.2, 0.95}, {0, 1.2, 1, 0.95}, {1, 1, 1.2, 0.95}, {4, 1, 1.2, 0.8},
		{1, 2, 1, 0.95}, {2, 1, 2, 0.95}, {3, 4, 1, 0.5},
	} {
		const pairs = 100
		found, opposite := 0, 0
		for seed := range uint64(pairs) {
			r := rand.New(rand.NewPCG(seed, 2))
			d := compared(t, run(r, -1, 1, 1, loads), run(r, c.load, c.often, c.long, loads))
			for _, b := range d.Blockers {
				if b.Function == loads[c.load].name {
					switch b.Verdict {
					case model.VerdictWorse:
						found++
					case model.VerdictBetter, model.VerdictGone, model.VerdictSame:
						opposite++
					}
				}
			}
		}
		t.Logf("%s, %g times as often, %g times as long: found in %d of %d, missed in %d", loads[c.load].name, c.often, c.long, found, pairs, opposite)
		assert.GreaterOrEqual(t, float64(found), c.found*pairs, loads[c.load].name)
		assert.LessOrEqual(t, opposite, pairs/100, loads[c.load].name)
	}
}
