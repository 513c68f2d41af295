// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"math"
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
)

// side is one report, with its blockers by name.
type side struct {
	report   *model.Report
	loopNS   float64
	blockers map[model.BlockerName]*tally
}

// tally is what a report has of one blocker.
type tally struct {
	count, totalNS, maxNS int64
	shortestNS            int64 // no block is shorter
	lines                 []int
	stack                 []model.Frame

	// The blocks that are listed, by the batch in which they begin.
	listed float64
	blocks [batches]float64
	ns     [batches]float64
}

func newSide(r *model.Report) *side {
	s := &side{report: r, loopNS: LoopTime(r), blockers: map[model.BlockerName]*tally{}}
	for i := range r.Blockers {
		b := &r.Blockers[i]
		t := s.blockers[b.Name()]
		if t == nil {
			t = &tally{shortestNS: r.ThresholdNS, stack: []model.Frame{}}
			s.blockers[b.Name()] = t
		}
		t.count, t.totalNS = t.count+b.Count, t.totalNS+b.TotalNS
		if b.MaxNS >= t.maxNS {
			t.maxNS, t.stack = b.MaxNS, b.Stack
		}
		if b.Culprit != nil && !slices.Contains(t.lines, b.Culprit.Line) {
			t.lines = append(t.lines, b.Culprit.Line)
		}
	}
	for i := range r.Blocks {
		b := &r.Blocks[i]
		t := s.blockers[b.Name()]
		if t == nil || r.EndedNS <= r.StartedNS {
			continue // there were too many blockers
		}
		at := int(float64(b.StartNS-r.StartedNS) / float64(r.EndedNS-r.StartedNS) * batches)
		at = min(max(at, 0), batches-1)
		t.listed++
		t.blocks[at]++
		t.ns[at] += float64(b.DurationNS)
	}
	return s
}

// of returns the tally of a blocker, an empty one where there is none.
func (s *side) of(name model.BlockerName) *tally {
	if t := s.blockers[name]; t != nil {
		return t
	}
	return &tally{stack: []model.Frame{}}
}

func (s *side) summary() model.DiffSide {
	out := model.DiffSide{StartedAt: s.report.StartedAt, Hostname: s.report.Host.Hostname, Loops: len(s.report.Loops), LoopNS: int64(min(s.loopNS, math.MaxInt64/2)),
		Lost: s.report.Lost}
	for i := range s.report.Loops {
		out.Blocks += s.report.Loops[i].Blocks
		out.BlockedNS += s.report.Loops[i].BlockedNS
	}
	out.Part = float64(out.BlockedNS) / s.loopNS
	return out
}

func (t *tally) figures(in *side) model.DiffFigures {
	f := model.DiffFigures{Count: t.count, TotalNS: t.totalNS, MaxNS: t.maxNS, Lines: []int{}}
	if t.count > 0 {
		f.MeanNS = t.totalNS / t.count
	}
	f.PerHour = float64(t.count) / in.loopNS * 3600e9
	f.Part = float64(t.totalNS) / in.loopNS
	lines := slices.Sorted(slices.Values(t.lines))
	f.Lines = append(f.Lines, lines[:min(len(lines), maxLines)]...)
	return f
}

// whole reports whether every block is listed.
func (t *tally) whole() bool { return int64(t.listed) == t.count }

// occupied returns in how many batches the blocker was seen.
func (t *tally) occupied() (n int) {
	for _, blocks := range t.blocks {
		if blocks > 0 {
			n++
		}
	}
	return n
}

// edge is what the variance of the blocks in a batch is at least: even where they come at equal distances, one may begin just
// before the end of a batch or just behind it.
const edge = 0.25

// counted is the variance of the number of blocks. Where not all are listed, those that are show how much the number varies beyond
// that of blocks that come independently of one another, and the others do so in proportion.
func (t *tally) counted() float64 {
	v := max(variance(t.blocks[:]), edge*batches)
	if t.whole() || t.listed == 0 {
		return v
	}
	n := float64(t.count)
	return n * (1 + max(v/t.listed-1, 0)*n/t.listed)
}

// rate is how often the blocker blocks in a nanosecond of loop time.
func (t *tally) rate(in *side) estimate {
	n := float64(t.count)
	return estimate{n / in.loopNS, t.counted() / (n * n), batches - 1}
}

// surest is what the variance of the logarithm of a mean length is at least: no clock and no machine is that steady.
const surest = 0.005 * 0.005

// length is how long a block takes on average. Blocks of one batch may resemble one another, so it is the batches that count.
func (t *tally) length() estimate {
	n := float64(t.count)
	mean := float64(t.totalNS) / n
	if t.count < fewest || mean <= 0 {
		return estimate{value: mean}
	}
	if !t.whole() {
		// Of lengths within bounds, with this mean, the variance is at most that (Bhatia and Davis).
		v := max(float64(t.maxNS)-mean, 0) * max(mean-float64(t.shortestNS), 0)
		return estimate{mean, max(v/n/(mean*mean), surest), batches - 1}
	}
	squares := 0.0
	for i := range t.ns {
		off := t.ns[i] - mean*t.blocks[i]
		squares += off * off
	}
	v := squares * batches / (batches - 1) / (n * n)
	return estimate{mean, max(v/(mean*mean), surest), float64(t.occupied() - 1)}
}

// part is what of the loop time the blocker takes.
func (t *tally) part(in *side) estimate {
	total := float64(t.totalNS)
	if !t.whole() {
		rate, length := t.rate(in), t.length()
		return estimate{total / in.loopNS, rate.variance + length.variance, batches - 1}
	}
	n := float64(t.count)
	v := max(variance(t.ns[:])/(total*total), edge*batches/(n*n))
	return estimate{total / in.loopNS, v, batches - 1}
}
