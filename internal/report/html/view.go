// SPDX-License-Identifier: Apache-2.0

package html

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// shell is what every page has around what it says.
type shell struct {
	Policy string
	Style  template.CSS
	Script template.JS
	Data   template.JS
	Title  string
}

// leftOut is what a page does not show, and why. Its strings are fit to be shown.
type leftOut struct {
	Limits   []string // what the drawings leave out
	Lost     []fact
	LostNote string
	Problems []fact
	ProbsOut string
}

// view is what the template shows. Its strings are fit to be shown.
type view struct {
	shell
	leftOut
	Answer words.Answer
	// LetThrough is what was let through as known, and the rules that matched nothing.
	LetThrough []string
	Worst      *blockerView // nil without one
	Facts      []fact
	Split      []part // of all blocked time
	Loops      []loopView
	More       []loopView // folded away
	LoopsOut   string     // how many are not shown at all
	Blockers   []blockerView
	Others     []blockerView // folded away
	RestOut    string
	Longest    []blockView
	Blocks     int
	Causes     []causeView // those that occur
}

// Flamed is what the flame graph shows, Drawn whether there is something to draw.
func (v *view) Flamed() string { return blockedTime }
func (v *view) Drawn() bool    { return v.Blocks > 0 }

const blockedTime, waitingTime = "blocked time", "waiting time"

type fact struct{ Name, Value string }

type loopView struct {
	Name, Kind, Python, Where                                            string
	Busy, Iterations, P50, P99, Max, Lag, Blocks, Blocked, InBlock, Late string
	Hurt                                                                 bool
	Command                                                              string
}

type blockView struct {
	At, After, Took, Loop, Culprit, Task string
	Cause                                causeView
	Blocker                              int // number of its blocker, 0 where that is not shown
}

func clean(s string) string { return cleanUpTo(s, maxName) }

// cleanUpTo makes a foreign string fit to be shown. The cut by bytes comes first: it is cheap, and
// a watched process chooses how long its names are.
func cleanUpTo(s string, columns int) string {
	return safetext.Middle(safetext.Line(safetext.Bound(s, 4*columns)), columns)
}

// glued keeps a number and its unit on one line.
func glued(s string) string { return units.ReplaceAllString(s, "$1\u00a0$2") }

var units = regexp.MustCompile(`(\d) (ns|µs|ms|s|min|h)\b`)

func newView(r *model.Report) *view {
	v := &view{Answer: words.AnswerOf(r), Blocks: len(r.Blocks)}
	v.Title = "loopwatch report"
	if r.Host.Hostname != "" {
		v.Title += " of " + clean(r.Host.Hostname)
	}
	for _, line := range words.LetThrough(r) {
		v.LetThrough = append(v.LetThrough, cleanUpTo(line, 4*maxName))
	}
	v.Answer.Summary, v.Answer.Hint = glued(v.Answer.Summary), glued(v.Answer.Hint)
	names := words.NamesOf(r)
	v.facts(r)
	v.loops(r)
	v.blockers(r, names)
	v.longest(r, names)
	v.LostNote = words.LostLine(r.Lost)
	v.leftOut.fill(r.Lost.Reasons, r.Unsupported)
	occurring := map[model.Cause]bool{}
	for i := range r.Blocks {
		occurring[r.Blocks[i].Cause] = true
		for c, ns := range r.Blocks[i].BreakdownNS {
			occurring[c] = occurring[c] || ns >= r.ThresholdNS/100
		}
	}
	for _, c := range model.Causes() {
		if occurring[c] {
			v.Causes = append(v.Causes, causeOf(c))
		}
	}
	return v
}

func (v *view) facts(r *model.Report) {
	add := func(to *[]fact, name, value string) {
		if value != "" {
			*to = append(*to, fact{name, value})
		}
	}
	started := clean(r.StartedAt)
	if at, err := time.Parse(time.RFC3339Nano, r.StartedAt); err == nil {
		started = at.Format("2006-01-02 15:04:05 MST")
	}
	add(&v.Facts, "Host", clean(r.Host.Hostname))
	add(&v.Facts, "Started", started)
	add(&v.Facts, "Watched for", words.HumanDuration(r.EndedNS-r.StartedNS))
	add(&v.Facts, "Threshold", words.HumanDuration(r.ThresholdNS))
	kernel := clean(r.Host.Kernel)
	if kernel != "" {
		kernel = "Linux " + kernel
	}
	add(&v.Facts, "Kernel", kernel)
	add(&v.Facts, "Machine", clean(r.Host.Arch))
	add(&v.Facts, "Attached by", clean(r.Host.Attach))

	all := map[model.Cause]int64{}
	for i := range r.Blocks {
		for c, ns := range r.Blocks[i].BreakdownNS {
			all[c] += ns
		}
	}
	v.Split = splitOf(all)
}

func dash(ns int64) string {
	if ns == 0 {
		return "–"
	}
	return words.HumanDuration(ns)
}

func (v *view) loops(r *model.Report) {
	for i, l := range r.Loops[:min(len(r.Loops), maxLoops)] {
		row := loopView{
			Name: words.LoopName(l), Kind: cmp.Or(clean(l.Loop), "unknown"), Python: clean(l.Python),
			Where: clean(cmp.Or(l.Container, l.Unit)), Command: clean(l.Command),
			Busy: words.Percent(l.Utilization), Iterations: strconv.FormatInt(l.Iterations, 10),
			P50: dash(l.IterationNS.P50), P99: dash(l.IterationNS.P99), Max: dash(l.IterationNS.Max), Lag: dash(0),
			Blocks: strconv.FormatInt(l.Blocks, 10), Blocked: dash(l.BlockedNS), Hurt: l.Blocks > 0,
		}
		if d := l.ReadyDelayNS; d != nil {
			row.Lag = dash(d.P99)
		}
		if l.Container != "" && l.Unit != "" {
			row.Where = clean(l.Container) + ", " + clean(l.Unit)
		}
		if words.IsLate(&l) {
			row.Late = glued("out of its wait late by " + words.HumanDuration(l.LateNS) + " in all")
		}
		if l.InBlockNS > 0 {
			row.InBlock = glued("blocked at the end, for " + words.HumanDuration(l.InBlockNS) + " so far")
		}
		if i < firstLoops {
			v.Loops = append(v.Loops, row)
		} else {
			v.More = append(v.More, row)
		}
	}
	if out := len(r.Loops) - maxLoops; out > 0 {
		v.LoopsOut = words.Plural(int64(out), "more loop") + ", less blocked than these, are in the JSON report."
	}
}

func (v *view) longest(r *model.Report, names words.LoopNames) {
	numbers := make(map[model.BlockerKey]int)
	for i := range r.Blockers[:min(len(r.Blockers), maxBlockers)] {
		numbers[r.Blockers[i].Key()] = i + 1
	}
	blocks := slices.Clone(r.Blocks)
	slices.SortStableFunc(blocks, func(x, y model.Block) int { return cmp.Compare(y.DurationNS, x.DurationNS) })
	blocks = blocks[:min(len(blocks), longestBlocks)]
	slices.SortStableFunc(blocks, func(x, y model.Block) int { return cmp.Compare(x.StartNS, y.StartNS) })
	for i := range blocks {
		b := &blocks[i]
		row := blockView{
			After: words.HumanDuration(b.StartNS - r.StartedNS), Took: words.Took(b),
			Loop: names.Of(model.LoopID{PID: b.PID, TID: b.TID}), Culprit: words.CulpritName(b.Culprit), Task: clean(b.Task),
			Cause: causeOf(b.Cause), Blocker: numbers[b.Key()], At: words.StartOf(r, b),
		}
		v.Longest = append(v.Longest, row)
	}
}

// fill says what was lost and who could not be watched.
func (v *leftOut) fill(lost map[string]int64, unsupported []model.Unsupported) {
	reasons := slices.DeleteFunc(slices.Sorted(maps.Keys(lost)), func(reason string) bool {
		return reason == summary.ReasonBlocksOverLimit // has a sentence of its own, see graphs.timeline
	})
	for _, reason := range reasons[:min(len(reasons), 2*maxProblems)] {
		value := strconv.FormatInt(lost[reason], 10)
		if says := words.ReasonText(reason); says != "" {
			value += ": " + says
		}
		v.Lost = append(v.Lost, fact{clean(reason), value})
	}
	groups := words.UnwatchedGroups(unsupported)
	for _, g := range groups[:min(len(groups), maxProblems)] {
		who, why := words.UnwatchedText(g, blockerLoops)
		v.Problems = append(v.Problems, fact{cleanUpTo(who, 2*maxName), cleanUpTo(why, 2*maxName)})
	}
	if out := len(groups) - maxProblems; out > 0 {
		v.ProbsOut = fmt.Sprintf("… and %s, in the JSON report.", words.Plural(int64(out), "more reason"))
	}
}
