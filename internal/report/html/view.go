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
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// view is what the template shows. Its strings are fit to be shown.
type view struct {
	Policy string
	Style  template.CSS
	Script template.JS
	Data   template.JS

	Title    string
	Verdict  report.Verdict
	Worst    *blockerView // nil without one
	Facts    []fact
	Split    []part // of all blocked time
	Loops    []loopView
	More     []loopView // folded away
	LoopsOut string     // how many are not shown at all
	Blockers []blockerView
	Others   []blockerView // folded away
	RestOut  string
	Longest  []blockView
	Blocks   int
	Limits   []string // what the drawings leave out
	Lost     []fact
	LostNote string
	Problems []fact
	ProbsOut string
	Causes   []causeView // those that occur
}

type fact struct{ Name, Value string }

type causeView struct {
	Class, Name, Says string
}

type loopView struct {
	Name, Kind, Python, Where                                 string
	Busy, Iterations, P50, P99, Max, Blocks, Blocked, InBlock string
	Hurt                                                      bool
	Command                                                   string
}

type blockerView struct {
	Number   int
	Open     bool
	Name, At string
	File     string
	Cause    causeView
	Total    string
	Share    string // of all blocked time
	Width    string // the same, for the bar
	Facts    string
	In       string
	Evidence string
	GIL      string
	Advice   []words
	Delayed  string
	Many     string
	Tasks    string
	Split    []part
	Stack    []stackGroup
	NoStack  string
	Holder   string
	Held     []stackGroup
}

// words are a part of a sentence, set as code or not.
type words struct {
	Text string
	Code bool
}

// wordsOf takes a sentence apart at its backticks.
func wordsOf(s string) (out []words) {
	for i, text := range strings.Split(s, "`") {
		if text != "" {
			out = append(out, words{text, i%2 == 1})
		}
	}
	return out
}

// part is one cause's share of a bar of 100.
type part struct {
	Cause    causeView
	Ns       string
	Percent  string
	X, Width string
	Tiny     bool // not worth a word
}

// stackGroup is one frame, or several folded away.
type stackGroup struct {
	Frames []frameView
	Folded string // "8 frames of aiohttp"
}

type frameView struct {
	Function     string
	Path         []string // in parts between which a line may break
	App, Culprit bool
}

type blockView struct {
	At, After, Took, Loop, Culprit, Task string
	Cause                                causeView
	Blocker                              int // number of its blocker, 0 where that is not shown
}

func causeOf(c model.Cause) causeView {
	if !c.Listed() {
		return causeView{class(model.CauseUnknown), clean(string(c)), c.Words()}
	}
	return causeView{class(c), string(c), "the loop's thread was " + c.Words()}
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
	v := &view{Verdict: report.VerdictOf(r), Blocks: len(r.Blocks), Title: "loopwatch report"}
	if r.Host.Hostname != "" {
		v.Title += " of " + clean(r.Host.Hostname)
	}
	v.Verdict.Summary, v.Verdict.Hint = glued(v.Verdict.Summary), glued(v.Verdict.Hint)
	names := report.NamesOf(r)
	v.facts(r)
	v.loops(r)
	v.blockers(r, names)
	v.longest(r, names)
	v.problems(r)
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
	add(&v.Facts, "Watched for", report.HumanDuration(r.EndedNS-r.StartedNS))
	add(&v.Facts, "Threshold", report.HumanDuration(r.ThresholdNS))
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
	return report.HumanDuration(ns)
}

func (v *view) loops(r *model.Report) {
	for i, l := range r.Loops[:min(len(r.Loops), maxLoops)] {
		row := loopView{
			Name: report.LoopName(l), Kind: cmp.Or(clean(l.Loop), "unknown"), Python: clean(l.Python),
			Where: clean(cmp.Or(l.Container, l.Unit)), Command: clean(l.Command),
			Busy: report.Percent(l.Utilization), Iterations: strconv.FormatInt(l.Iterations, 10),
			P50: dash(l.IterationNS.P50), P99: dash(l.IterationNS.P99), Max: dash(l.IterationNS.Max),
			Blocks: strconv.FormatInt(l.Blocks, 10), Blocked: dash(l.BlockedNS), Hurt: l.Blocks > 0,
		}
		if l.Container != "" && l.Unit != "" {
			row.Where = clean(l.Container) + ", " + clean(l.Unit)
		}
		if l.InBlockNS > 0 {
			row.InBlock = glued("blocked at the end, for " + report.HumanDuration(l.InBlockNS) + " so far")
		}
		if i < firstLoops {
			v.Loops = append(v.Loops, row)
		} else {
			v.More = append(v.More, row)
		}
	}
	if out := len(r.Loops) - maxLoops; out > 0 {
		v.LoopsOut = report.Plural(int64(out), "more loop") + ", less blocked than these, are in the JSON report."
	}
}

func (v *view) blockers(r *model.Report, names report.LoopNames) {
	var all, rest int64
	atLeast := false
	for i := range r.Blockers {
		all += r.Blockers[i].TotalNS
	}
	about := summary.AboutBlockers(r)
	for i := range r.Blockers {
		b := &r.Blockers[i]
		if i >= maxBlockers {
			rest += b.TotalNS
			atLeast = atLeast || b.AtLeast
			continue
		}
		v.Blockers = append(v.Blockers, newBlocker(i+1, b, all, about[b.Key()], names))
	}
	if len(v.Blockers) > firstBlockers {
		v.Blockers, v.Others = v.Blockers[:firstBlockers], v.Blockers[firstBlockers:]
	}
	if out := len(r.Blockers) - maxBlockers; out > 0 {
		v.RestOut = fmt.Sprintf("%s, %s in all, are in the JSON report.", report.Plural(int64(out), "more blocker"), report.BoundedDuration(rest, atLeast))
	}
	if len(v.Blockers) > 0 {
		v.Worst = &v.Blockers[0]
	}
}

func newBlocker(number int, b *model.Blocker, all int64, about *summary.About, names report.LoopNames) blockerView {
	share := float64(b.TotalNS) / float64(max(all, 1))
	out := blockerView{
		Number: number, Open: number <= openBlockers, Cause: causeOf(b.Cause),
		Total: glued(report.BoundedDuration(b.TotalNS, b.AtLeast)), Share: report.Percent(share), Width: width(share),
		Facts:    glued(fmt.Sprintf("%s, the longest %s", report.Plural(b.Count, "block"), report.BoundedDuration(b.MaxNS, b.AtLeast))),
		In:       names.List(b.Loops, blockerLoops),
		Evidence: cleanUpTo(report.Evidence(b.Detail), 4*maxName),
		Advice:   wordsOf(cleanUpTo(b.Advice, 4*maxName)),
		Stack:    stackOf(b.Stack, b.Culprit),
	}
	if b.Culprit == nil {
		out.Name = "no line to blame"
	} else {
		out.Name, out.At = cmp.Or(clean(b.Culprit.Function), "?"), clean(report.FileLine(*b.Culprit, true))
		out.File = clean(report.FileLine(*b.Culprit, false))
	}
	switch {
	case len(b.Stack) == 0:
		out.NoStack = "No stack was taken of it."
	case b.Culprit == nil:
		out.NoStack = "The loop was held up here:"
	}
	switch b.Detail.GIL {
	case model.GILHeld:
		out.GIL = "The GIL was held meanwhile: the process's other threads stood still, too."
	case model.GILReleased:
		out.GIL = "The GIL was released meanwhile: the process's other threads could run."
	}
	if h := b.Detail.Holder; h != nil {
		out.Holder = "Held by " + holderName(h)
		out.Held = stackOf(h.Frames[:min(len(h.Frames), holderFrames)], nil)
	}
	if about != nil {
		out.Split = splitOf(about.SplitNS)
		out.Tasks = tasksOf(about.Tasks)
		out.Delayed = glued(report.Waited(&about.Delayed))
		if about.Many > 0 {
			out.Many = fmt.Sprintf("In %d of %s many short callbacks added up; none alone took half.", about.Many, report.Plural(int64(about.Blocks), "block"))
		}
	}
	return out
}

// holderName names who held what a loop waited for, as far as it is known.
func holderName(h *model.Holder) string {
	s := "a thread"
	if h.Thread != "" {
		s = "thread " + clean(h.Thread)
	}
	if h.TID != 0 {
		s += fmt.Sprintf(" (%d)", h.TID)
	}
	if h.PID != 0 {
		s += fmt.Sprintf(" of process %d", h.PID)
	}
	return s
}

// width returns a share of one as a length of a bar of 100.
func width(share float64) string {
	return strconv.FormatFloat(min(max(share, 0), 1)*100, 'f', 2, 64)
}

// splitOf returns the shares of a breakdown, the largest first.
func splitOf(split map[model.Cause]int64) []part {
	var parts []part
	x := 0.0
	for _, p := range summary.Parts(split) {
		if len(parts) >= maxParts {
			break // of another version, or made up
		}
		parts = append(parts, part{Cause: causeOf(p.Cause), Ns: glued(report.HumanDuration(p.NS)), Percent: report.Percent(p.Share),
			X: width(x), Width: width(p.Share), Tiny: p.Share < 0.001})
		x += p.Share
	}
	return parts
}

func tasksOf(tasks map[string]int) string {
	most := slices.SortedFunc(maps.Keys(tasks), func(x, y string) int {
		return cmp.Or(cmp.Compare(tasks[y], tasks[x]), cmp.Compare(x, y))
	})
	s := ""
	for i, task := range most[:min(len(most), blockerTasks)] {
		if i > 0 {
			s += ", "
		}
		s += cleanUpTo(task, maxTask)
		if n := tasks[task]; n > 1 {
			s += fmt.Sprintf(" (%d x)", n)
		}
	}
	if more := len(most) - blockerTasks; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// stackOf returns frames, innermost first, runs of library frames folded as in the text.
func stackOf(frames []model.Frame, culprit *model.Frame) []stackGroup {
	marked := culprit == nil
	var out []stackGroup
	for _, run := range report.FoldStack(frames) {
		if len(out) >= maxStackFrames {
			out = append(out, stackGroup{Folded: "more frames, in the JSON report"})
			break
		}
		g := stackGroup{}
		if len(run.Frames) > 1 {
			g.Folded = report.Plural(int64(len(run.Frames)), "frame")
			if run.Library != "" {
				g.Folded += " of " + clean(run.Library)
			}
		}
		for _, f := range run.Frames[:min(len(run.Frames), maxStackFrames)] {
			view := frameView{Function: cmp.Or(clean(f.Function), "?"), Path: strings.SplitAfter(clean(report.FileLine(f, false)), "/"), App: f.App}
			if !marked && f == *culprit {
				view.Culprit, marked = true, true
			}
			g.Frames = append(g.Frames, view)
		}
		out = append(out, g)
	}
	return out
}

func (v *view) longest(r *model.Report, names report.LoopNames) {
	numbers := make(map[model.BlockerKey]int)
	for i := range r.Blockers[:min(len(r.Blockers), maxBlockers)] {
		numbers[r.Blockers[i].Key()] = i + 1
	}
	blocks := slices.Clone(r.Blocks)
	slices.SortStableFunc(blocks, func(x, y model.Block) int { return cmp.Compare(y.DurationNS, x.DurationNS) })
	blocks = blocks[:min(len(blocks), longestBlocks)]
	slices.SortStableFunc(blocks, func(x, y model.Block) int { return cmp.Compare(x.StartNS, y.StartNS) })
	started, err := time.Parse(time.RFC3339Nano, r.StartedAt)
	for i := range blocks {
		b := &blocks[i]
		row := blockView{
			After: report.HumanDuration(b.StartNS - r.StartedNS), Took: report.BoundedDuration(b.DurationNS, b.LowerBound()),
			Loop: names.Of(model.LoopID{PID: b.PID, TID: b.TID}), Culprit: report.CulpritName(b.Culprit), Task: clean(b.Task),
			Cause: causeOf(b.Cause), Blocker: numbers[b.Key()],
		}
		if err == nil {
			row.At = started.Add(time.Duration(b.StartNS - r.StartedNS)).Format("15:04:05.000")
		}
		v.Longest = append(v.Longest, row)
	}
}

func (v *view) problems(r *model.Report) {
	l := r.Lost
	v.LostNote = report.LostLine(l)
	reasons := slices.DeleteFunc(slices.Sorted(maps.Keys(l.Reasons)), func(reason string) bool {
		return reason == summary.ReasonBlocksOverLimit // has a sentence of its own, see graphs.timeline
	})
	for _, reason := range reasons[:min(len(reasons), 2*maxProblems)] {
		value := strconv.FormatInt(l.Reasons[reason], 10)
		if says := report.ReasonText(reason); says != "" {
			value += ": " + says
		}
		v.Lost = append(v.Lost, fact{clean(reason), value})
	}
	groups := report.UnwatchedGroups(r.Unsupported)
	for _, g := range groups[:min(len(groups), maxProblems)] {
		who, why := report.UnwatchedText(g, blockerLoops)
		v.Problems = append(v.Problems, fact{cleanUpTo(who, 2*maxName), cleanUpTo(why, 2*maxName)})
	}
	if out := len(groups) - maxProblems; out > 0 {
		v.ProbsOut = fmt.Sprintf("… and %s, in the JSON report.", report.Plural(int64(out), "more reason"))
	}
}
