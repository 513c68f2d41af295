// SPDX-License-Identifier: Apache-2.0

package known

import (
	"fmt"

	"github.com/loopwatch/loopwatch/internal/compare"
	"github.com/loopwatch/loopwatch/internal/model"
)

// Mark marks in a report what is let through: the blockers that one of the rules matches, and, where there is a baseline, those that
// are in it and are not worse (package compare). A baseline with another threshold is an error.
func Mark(r *model.Report, rules []Rule, baseline *model.Report) error {
	let := &model.LetThrough{Rules: len(rules)}
	verdicts, err := against(baseline, r)
	if err != nil {
		return err
	}
	matched := map[string]bool{}
	for i := range r.Blockers {
		b := &r.Blockers[i]
		b.Known = nil
		known := model.Known{Baseline: verdicts[b.Name()]}
		for n := range rules {
			rule := &rules[n]
			if !rule.matches(b) {
				continue
			}
			matched[rule.Place] = true
			if known.Rule == "" {
				known.Rule, known.Why = rule.Place, rule.Why
			}
		}
		if known == (model.Known{}) {
			continue
		}
		b.Known = &known
		if known.LetThrough() {
			let.Blockers++
			let.Blocks += b.Count
			let.TotalNS += b.TotalNS
		}
	}
	let.Unmatched = unmatched(rules, matched)
	r.LetThrough = let
	return nil
}

// against says of each blocker how it compares to the baseline. It is empty without one.
func against(baseline, r *model.Report) (map[model.BlockerName]model.Standing, error) {
	if baseline == nil {
		return nil, nil
	}
	if baseline.ThresholdNS != r.ThresholdNS {
		return nil, fmt.Errorf("the baseline has another threshold than this report: write a new one with --write-baseline, or use its --threshold %s", compare.Threshold(baseline))
	}
	out := map[model.BlockerName]model.Standing{}
	for i := range r.Blockers {
		out[r.Blockers[i].Name()] = model.StandingNew
	}
	for i := range baseline.Blockers {
		if name := baseline.Blockers[i].Name(); out[name] != "" {
			out[name] = model.StandingKnown
		}
	}
	if compare.LoopTime(baseline) <= 0 || compare.LoopTime(r) <= 0 {
		return out, nil
	}
	d, err := compare.Reports(baseline, r)
	if err != nil {
		return nil, err
	}
	for i := range d.Blockers {
		if b := &d.Blockers[i]; b.Verdict == model.VerdictWorse {
			out[b.BlockerName] = model.StandingWorse
		}
	}
	return out, nil
}

// LetsPass reports whether all blocks of a report are let through.
func LetsPass(r *model.Report) bool {
	var blocks, let int64
	for i := range r.Loops {
		blocks += r.Loops[i].Blocks
	}
	for i := range r.Blockers {
		if k := r.Blockers[i].Known; k != nil && k.LetThrough() {
			let += r.Blockers[i].Count
		}
	}
	return blocks <= let && len(r.Blocks) <= int(let)
}
