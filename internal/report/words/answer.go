// SPDX-License-Identifier: Apache-2.0

package words

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Answer is the answer of a report, the first thing every format for people says. Its strings
// are safe to print.
type Answer struct {
	Summary string // how many loops were blocked and for how long, or that none was
	Worst   string // the worst blocker; empty without one
	Hint    string // what to do where nothing was found; empty otherwise
	Blocked bool
}

// AnswerOf returns who blocked what, or why there is nothing to say.
func AnswerOf(r *model.Report) Answer {
	window := HumanDuration(r.EndedNS - r.StartedNS)
	threshold := HumanDuration(r.ThresholdNS)
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
		v := Answer{Summary: fmt.Sprintf("No loop was blocked: %s watched for %s, none active for %s or more at a time.",
			Plural(int64(len(r.Loops)), "loop"), window, threshold)}
		busiest := slices.MaxFunc(r.Loops, func(x, y model.Loop) int { return cmp.Compare(x.IterationNS.Max, y.IterationNS.Max) })
		if m := busiest.IterationNS.Max; m > 0 {
			v.Hint = fmt.Sprintf("The longest active period took %s, in %s; a lower --threshold shows who caused it.",
				HumanDuration(m), LoopName(busiest))
		}
		latest := slices.MaxFunc(r.Loops, func(x, y model.Loop) int { return cmp.Compare(x.LateNS, y.LateNS) })
		if IsLate(&latest) {
			v.Hint = strings.TrimSpace(v.Hint + fmt.Sprintf(" %s came out of its wait late, by %s in all: it was not let run.", LoopName(latest), HumanDuration(latest.LateNS)))
		}
		return v
	}
	worst := r.Blockers[0]
	return Answer{
		Summary: fmt.Sprintf("%d of %s blocked, %s in all during %s (%s of %s or more).%s",
			blockedLoops, Plural(int64(len(r.Loops)), "loop"), HumanDuration(blockedNS), window, Plural(blocks, "block"), threshold, stillBlocked(r)),
		Worst: fmt.Sprintf("%s, %s, %d x, %s, max %s, in %s", CulpritName(worst.Culprit), worst.Cause,
			worst.Count, BoundedDuration(worst.TotalNS, worst.AtLeast), BoundedDuration(worst.MaxNS, worst.AtLeast), NamesOf(r).List(worst.Loops, 1)),
		Blocked: true,
	}
}

// stillBlocked names the loop that was blocked longest as the observation ended; empty where none was.
func stillBlocked(r *model.Report) string {
	var longest model.Loop
	loops := 0
	for _, l := range r.Loops {
		if l.InBlockNS > 0 {
			loops++
		}
		if l.InBlockNS > longest.InBlockNS {
			longest = l
		}
	}
	if loops == 0 {
		return ""
	}
	begun := slices.ContainsFunc(r.Blocks, func(b model.Block) bool {
		return b.Ongoing && b.AtLeast && b.PID == longest.PID && b.TID == longest.TID
	})
	text := fmt.Sprintf(" Still blocked at the end: %s, for %s", LoopName(longest), BoundedDuration(longest.InBlockNS, begun))
	if loops > 1 {
		text += fmt.Sprintf(", and %s", Plural(int64(loops-1), "more loop"))
	}
	return text + "."
}

// noLoops tells apart that no Python runs, that none can be watched, and that none waits in a loop.
func noLoops(r *model.Report, window string) Answer {
	pythons, maybe := Unwatched(r.Unsupported)
	const start = "Start the program to be watched, or give it some work: a loop shows up once it waits for events."
	switch {
	case r.Processes > 0:
		who := fmt.Sprintf("none of the %d Python processes watched", r.Processes)
		if r.Processes == 1 {
			who = "the Python process watched never"
		}
		v := Answer{
			Summary: fmt.Sprintf("No event loop was seen in %s: %s waited in one.", window, who),
			Hint:    "A loop shows up once it waits for events; try a longer --duration, or give the program some work.",
		}
		if pythons > 0 {
			v.Hint += fmt.Sprintf(" %s could not be watched, see below.", Pythons(pythons))
		}
		return v
	case pythons > 0:
		return Answer{Summary: fmt.Sprintf("No event loop could be watched in %s: %s can be watched.", window, NoneOf(pythons)), Hint: Mostly(r.Unsupported)}
	case maybe > 0:
		return Answer{
			Summary: fmt.Sprintf("No event loop was seen in %s: no Python process was found among those that could be read.", window),
			Hint:    start + fmt.Sprintf(" %s could not be read, see below.", Counted(int64(maybe), "processes")),
		}
	}
	return Answer{Summary: fmt.Sprintf("No event loop was seen in %s: no Python process was found.", window), Hint: start}
}
