// SPDX-License-Identifier: Apache-2.0

package words

import (
	"fmt"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

// Known says what an ignore file and a baseline have on a blocker, "" where there is nothing to say.
func Known(k *model.Known) string {
	switch {
	case k == nil:
		return ""
	case k.Rule != "" && k.Why != "":
		return fmt.Sprintf("let through by %s: %s", safetext.Line(k.Rule), safetext.Line(k.Why))
	case k.Rule != "":
		return "let through by " + safetext.Line(k.Rule)
	case k.Baseline == model.StandingKnown:
		return "let through: the baseline has it"
	case k.Baseline == model.StandingWorse:
		return "worse than in the baseline"
	case k.Baseline == model.StandingNew:
		return "new: the baseline does not have it"
	}
	return ""
}

// LetThrough says how much was let through, and names the rules that matched nothing. It is empty where there was neither
// an ignore file nor a baseline.
func LetThrough(r *model.Report) (lines []string) {
	l := r.LetThrough
	if l == nil {
		return nil
	}
	lines = append(lines, fmt.Sprintf("%d of %s let through as known: %s, %s.", l.Blockers, Plural(int64(len(r.Blockers)), "blocker"),
		Plural(l.Blocks, "block"), HumanDuration(l.TotalNS)))
	for _, u := range l.Unmatched {
		lines = append(lines, fmt.Sprintf("%s matched nothing: %s", safetext.Line(u.Rule), safetext.Line(u.Text)))
	}
	return lines
}
