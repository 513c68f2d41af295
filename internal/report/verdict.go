// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"
)

// Verdict is the answer of a report, the first thing every format for people says. Its strings
// are safe to print.
type Verdict struct {
	Summary string // how many loops were blocked and for how long, or that none was
	Worst   string // the worst blocker; empty without one
	Hint    string // what to do where nothing was found; empty otherwise
	Blocked bool
}

// VerdictOf returns who blocked what, or why there is nothing to say.
func VerdictOf(r *Report) Verdict {
	window := humanDuration(r.EndedNS - r.StartedNS)
	threshold := humanDuration(r.ThresholdNS)
	if len(r.Loops) == 0 && len(r.Blockers) == 0 {
		return noLoops(r, window)
	}
	var blocks, blockedNS, blockedLoops int64
	for _, l := range r.Loops {
		blocks += l.Blocks
		blockedNS += l.BlockedNS
		if l.Blocks > 0 {
			blockedLoops++
		}
	}
	if len(r.Blockers) == 0 {
		v := Verdict{Summary: fmt.Sprintf("No loop was blocked: %s watched for %s, none active for %s or more at a time.",
			plural(int64(len(r.Loops)), "loop"), window, threshold)}
		busiest := slices.MaxFunc(r.Loops, func(x, y Loop) int { return cmp.Compare(x.IterationNS.Max, y.IterationNS.Max) })
		if m := busiest.IterationNS.Max; m > 0 {
			v.Hint = fmt.Sprintf("The longest active period took %s, in %s; a lower --threshold shows who caused it.",
				humanDuration(m), loopName(busiest))
		}
		return v
	}
	worst := r.Blockers[0]
	return Verdict{
		Summary: fmt.Sprintf("%d of %s blocked, %s in all during %s (%s of %s or more).",
			blockedLoops, plural(int64(len(r.Loops)), "loop"), humanDuration(blockedNS), window, plural(blocks, "block"), threshold),
		Worst: fmt.Sprintf("%s, %s, %d x, %s, max %s, in %s", culpritName(worst.Culprit), worst.Cause,
			worst.Count, boundedDuration(worst.TotalNS, worst.AtLeast), boundedDuration(worst.MaxNS, worst.AtLeast), NamesOf(r).List(worst.Loops, 1)),
		Blocked: true,
	}
}

// noLoops tells apart that no Python runs, that none can be watched, and that none waits in a loop.
func noLoops(r *Report, window string) Verdict {
	switch {
	case r.Processes > 0:
		who := fmt.Sprintf("none of the %d Python processes watched", r.Processes)
		if r.Processes == 1 {
			who = "the Python process watched never"
		}
		return Verdict{
			Summary: fmt.Sprintf("No event loop was seen in %s: %s waited in one.", window, who),
			Hint:    "A loop shows up once it waits for events; try a longer --duration, or give the program some work.",
		}
	case len(r.Unsupported) > 0:
		return Verdict{
			Summary: fmt.Sprintf("No event loop could be watched in %s: of the Python processes here none is supported.", window),
			Hint:    "The reasons stand below.",
		}
	}
	return Verdict{
		Summary: fmt.Sprintf("No event loop was seen in %s: no Python process with one was found.", window),
		Hint:    "Start the program to be watched, or give it some work: a loop shows up once it waits for events.",
	}
}
