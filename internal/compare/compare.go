// SPDX-License-Identifier: Apache-2.0

// Package compare says what has become of the blockers of a program. In go two reports, before and after; out comes a verdict on
// every blocker of either, with its figures. The rule is that of docs/diff.md: what differs no more than the parts of one
// observation differ among themselves is no change. The package reads nothing else and draws no random numbers.
package compare

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
)

// The rule, see docs/diff.md.
const (
	batches   = 20    // into which an observation is divided
	falsely   = 0.002 // how often a comparison without any change may find one, over all its blockers
	testsEach = 2     // of one blocker: how often, how long
	smallest  = 1.10  // a smaller change than this is none
	ruledOut  = 1.25  // what is the same has changed by less than this
	against   = 0.01  // so improbable is what speaks against a change
	margin    = 0.05  // of error, where a change is ruled out
	fewest    = 5     // blocks, of which a mean length says something
)

const maxLines = 16

// Reports compares two reports.
func Reports(before, after *model.Report) (*model.Diff, error) {
	if before.ThresholdNS != after.ThresholdNS {
		return nil, fmt.Errorf("the reports have different thresholds, %s and %s: observe both with the same --threshold",
			Threshold(before), Threshold(after))
	}
	x, y := newSide(before), newSide(after)
	for _, s := range []struct {
		side *side
		name string
	}{{x, "before"}, {y, "after"}} {
		if s.side.loopNS <= 0 {
			return nil, fmt.Errorf("no loop was watched in the report %s: there is nothing to compare", s.name)
		}
	}
	names := make(map[model.BlockerName]bool)
	judged := 0
	for _, s := range []*side{x, y} {
		for name := range s.blockers {
			if !names[name] && name.Cause.Kind() != model.KindHeldBack {
				judged++
			}
			names[name] = true
		}
	}
	d := &model.Diff{Schema: model.SchemaDiff, ThresholdNS: before.ThresholdNS, Before: x.summary(), After: y.summary(), Blockers: []model.DiffBlocker{}}
	significant := falsely / float64(max(judged, 1)*testsEach)
	for name := range names {
		d.Blockers = append(d.Blockers, blocker(name, x, y, significant))
	}
	slices.SortFunc(d.Blockers, func(a, b model.DiffBlocker) int {
		return cmp.Or(cmp.Compare(rank(a.Verdict), rank(b.Verdict)), cmp.Compare(moved(&b), moved(&a)),
			cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.File, b.File), cmp.Compare(a.Function, b.Function))
	})
	return d, nil
}

// Threshold returns the threshold of a report as --threshold takes it.
func Threshold(r *model.Report) string { return time.Duration(r.ThresholdNS).String() }

// LoopTime returns for how many nanoseconds loops were watched, all together.
func LoopTime(r *model.Report) (ns float64) {
	for i := range r.Loops {
		ns += float64(r.Loops[i].ActiveNS) + float64(r.Loops[i].IdleNS)
	}
	return ns
}

// rank puts first what has to be looked at.
func rank(v model.Verdict) int {
	return slices.Index([]model.Verdict{model.VerdictNew, model.VerdictWorse, model.VerdictGone, model.VerdictBetter, model.VerdictUnclear,
		model.VerdictSame, model.VerdictHost}, v)
}

// moved is by how much of the loop time a blocker has changed.
func moved(b *model.DiffBlocker) float64 { return math.Abs(b.After.Part - b.Before.Part) }

// Worse reports whether a comparison found a regression.
func Worse(d *model.Diff) bool {
	return slices.ContainsFunc(d.Blockers, func(b model.DiffBlocker) bool { return b.Verdict.Bad() })
}

func blocker(name model.BlockerName, x, y *side, significant float64) model.DiffBlocker {
	a, b := x.of(name), y.of(name)
	out := model.DiffBlocker{BlockerName: name, Before: a.figures(x), After: b.figures(y), Stack: b.stack}
	if b.count == 0 {
		out.Stack = a.stack
	}
	if a.count > 0 && b.count > 0 {
		often, long := ratio(a.rate(x), b.rate(y), significant), ratio(a.length(), b.length(), significant)
		out.Often, out.Long = &often, &long
	}
	switch {
	case name.Cause.Kind() == model.KindHeldBack:
		out.Verdict = model.VerdictHost
	case a.count == 0:
		out.Verdict = ifAlone(model.VerdictNew, b, y, x, significant)
	case b.count == 0:
		out.Verdict = ifAlone(model.VerdictGone, a, x, y, significant)
	default:
		out.Verdict = verdict(*out.Often, *out.Long, a.part(x), b.part(y), significant)
	}
	return out
}

// ifAlone returns v where it is no chance that all batches with a blocker are those of one report.
func ifAlone(v model.Verdict, t *tally, in, other *side, significant float64) model.Verdict {
	chance := math.Pow(in.loopNS/(in.loopNS+other.loopNS), float64(t.occupied()))
	if chance < significant {
		return v
	}
	return model.VerdictUnclear
}

// verdict judges a blocker of both reports.
func verdict(often, long model.Ratio, before, after estimate, significant float64) model.Verdict {
	up, down := changed(often, long, 1), changed(often, long, -1)
	part := ratio(before, after, significant)
	switch {
	// Where one change may be made up for by another, the sum counts.
	case up && !contradicted(often, long, 1), part.Significant && part.Ratio > 1:
		return model.VerdictWorse
	case down && !contradicted(often, long, -1), part.Significant && part.Ratio < 1:
		return model.VerdictBetter
	case !up && !down && sure(before, after):
		return model.VerdictSame
	}
	return model.VerdictUnclear
}

// changed reports whether one of the ratios has changed in a direction, 1 up or -1 down.
func changed(often, long model.Ratio, direction float64) bool {
	return often.Significant && (often.Ratio-1)*direction > 0 || long.Significant && (long.Ratio-1)*direction > 0
}

// contradicted reports whether something speaks for a change in the other direction.
func contradicted(often, long model.Ratio, direction float64) bool {
	return often.P < against && (often.Ratio-1)*direction < 0 || long.P < against && (long.Ratio-1)*direction < 0
}
