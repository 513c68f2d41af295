// SPDX-License-Identifier: Apache-2.0

package html

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/summary"
)

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
	Known    string
	GIL      string
	Advice   []span
	Delayed  string
	Many     string
	InWait   string
	Tasks    string
	Split    []part
	Stack    []stackGroup
	NoStack  string
	Holder   string
	Held     []stackGroup
}

// span is a part of a sentence, set as code or not.
type span struct {
	Text string
	Code bool
}

// spansOf takes a sentence apart at its backticks.
func spansOf(s string) (out []span) {
	for i, text := range strings.Split(s, "`") {
		if text != "" {
			out = append(out, span{text, i%2 == 1})
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

func (v *view) blockers(r *model.Report, names words.LoopNames) {
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
		v.RestOut = fmt.Sprintf("%s, %s in all, are in the JSON report.", words.Plural(int64(out), "more blocker"), words.BoundedDuration(rest, atLeast))
	}
	if len(v.Blockers) > 0 {
		v.Worst = &v.Blockers[0]
	}
}

func newBlocker(number int, b *model.Blocker, all int64, about *summary.About, names words.LoopNames) blockerView {
	share := float64(b.TotalNS) / float64(max(all, 1))
	out := blockerView{
		Number: number, Open: number <= openBlockers, Cause: causeOf(b.Cause),
		Total: glued(words.BoundedDuration(b.TotalNS, b.AtLeast)), Share: words.Percent(share), Width: width(share),
		Facts:    glued(fmt.Sprintf("%s, the longest %s", words.Plural(b.Count, "block"), words.BoundedDuration(b.MaxNS, b.AtLeast))),
		In:       names.List(b.Loops, blockerLoops),
		Known:    cleanUpTo(words.Known(b.Known), 4*maxName),
		Evidence: cleanUpTo(words.Evidence(b.Detail), 4*maxName),
		Advice:   spansOf(cleanUpTo(b.Advice, 4*maxName)),
		Stack:    stackOf(b.Stack, b.Culprit),
	}
	if b.Culprit == nil {
		out.Name = "no line to blame"
	} else {
		out.Name, out.At = cmp.Or(clean(b.Culprit.Function), "?"), clean(words.FileLine(*b.Culprit, true))
		out.File = clean(words.FileLine(*b.Culprit, false))
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
		out.Delayed = glued(words.Waited(&about.Delayed))
		if inWait := words.InWait(about.InWait, about.Blocks); inWait != "" {
			out.InWait = "The loop was " + inWait + "."
		}
		if about.Many > 0 {
			out.Many = fmt.Sprintf("In %d of %s many short callbacks added up; none alone took half.", about.Many, words.Plural(int64(about.Blocks), "block"))
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
		parts = append(parts, part{Cause: causeOf(p.Cause), Ns: glued(words.HumanDuration(p.NS)), Percent: words.Percent(p.Share),
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
	for _, run := range words.FoldStack(frames, false) {
		if len(out) >= maxStackFrames {
			out = append(out, stackGroup{Folded: "more frames, in the JSON report"})
			break
		}
		g := stackGroup{}
		if len(run.Frames) > 1 {
			g.Folded = words.Plural(int64(len(run.Frames)), "frame")
			if run.Library != "" {
				g.Folded += " of " + clean(run.Library)
			}
		}
		for _, f := range run.Frames[:min(len(run.Frames), maxStackFrames)] {
			view := frameView{Function: cmp.Or(clean(f.Function), "?"), Path: strings.SplitAfter(clean(words.FileLine(f, false)), "/"), App: f.App}
			if !marked && f == *culprit {
				view.Culprit, marked = true, true
			}
			g.Frames = append(g.Frames, view)
		}
		out = append(out, g)
	}
	return out
}
