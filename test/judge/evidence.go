// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/truth"
)

// Tally counts how many of those that had to be right were.
type Tally struct{ Right, Of int }

func (n *Tally) count(right bool) bool {
	n.Of++
	if right {
		n.Right++
	}
	return right
}

// Add sums tallies up.
func (n *Tally) Add(o Tally) { n.Right, n.Of = n.Right+o.Right, n.Of+o.Of }

func (n Tally) String() string { return fmt.Sprintf("%d/%d", n.Right, n.Of) }

// Evidence is what comparing a report with the log of a program yields, block by block.
type Evidence struct {
	Expected, Found int
	Queued          int // blocks spoilt by a machine that had no CPU for the loop
	Unknown         int
	Blamed          int // blocks of nobody's line for which a line was blamed

	Cause, Culprit, Target, Holder, Native, Task, Advice Tally

	Duration, GC, Imports []time.Duration // errors
	Complaints            []string
}

// Add sums evidence up.
func (e *Evidence) Add(o *Evidence) {
	e.Expected += o.Expected
	e.Found += o.Found
	e.Queued += o.Queued
	e.Unknown += o.Unknown
	e.Blamed += o.Blamed
	e.Cause.Add(o.Cause)
	e.Culprit.Add(o.Culprit)
	e.Target.Add(o.Target)
	e.Holder.Add(o.Holder)
	e.Native.Add(o.Native)
	e.Task.Add(o.Task)
	e.Advice.Add(o.Advice)
	e.Duration = append(e.Duration, o.Duration...)
	e.GC = append(e.GC, o.GC...)
	e.Imports = append(e.Imports, o.Imports...)
	e.Complaints = append(e.Complaints, o.Complaints...)
}

func (e *Evidence) String() string {
	errors := func(d []time.Duration) string {
		return fmt.Sprintf("%.2f/%.2f ms", float64(Quantile(d, .5))/1e6, float64(Quantile(d, .99))/1e6)
	}
	return fmt.Sprintf("  expected %d, found %d, queued %d, unknown %d, blamed %d\n", e.Expected, e.Found, e.Queued, e.Unknown, e.Blamed) +
		fmt.Sprintf("  right: cause %v, culprit %v, target %v, holder %v, native %v, task %v, advice %v\n",
			e.Cause, e.Culprit, e.Target, e.Holder, e.Native, e.Task, e.Advice) +
		fmt.Sprintf("  error p50/p99: duration %s, gc %s, import %s\n", errors(e.Duration), errors(e.GC), errors(e.Imports))
}

func (e *Evidence) complain(what string, entry *truth.Entry, b *model.Block) {
	short := *b
	short.Stacks = slices.Clone(b.Stacks[:min(len(b.Stacks), 2)])
	for n := range short.Stacks {
		s := &short.Stacks[n]
		s.Frames = s.Frames[:min(len(s.Frames), 3)]
	}
	said, _ := json.Marshal(short)
	known, _ := json.Marshal(struct {
		DurationNS             int64
		Function               string
		Lines                  []int
		Causes                 []model.Cause
		Target, Native, Advice string        `json:",omitempty"`
		Holder                 *truth.Holder `json:",omitempty"`
		RunDelayNS, GCNS       int64         `json:",omitempty"`
	}{entry.DurationNS(), entry.Function, entry.Lines, entry.Causes, entry.Target, entry.Native, entry.Advice, entry.Holder, entry.RunDelayNS, entry.GCNS})
	e.Complaints = append(e.Complaints, fmt.Sprintf("%s: %s\n    log %s\n    got %s", what, entry.Kind, known, said))
}

// Summary lists the first complaint of each kind of block in each respect.
func (e *Evidence) Summary() string {
	var out strings.Builder
	seen := map[string]bool{}
	for _, c := range e.Complaints {
		if what, _, _ := strings.Cut(c, "\n"); !seen[what] {
			seen[what] = true
			fmt.Fprintln(&out, c)
		}
	}
	return out.String()
}

// Hold compares a report with the log of a process whose blocks are all long.
func Hold(threshold time.Duration, log []truth.Entry, rep *model.Report, pid int) *Evidence {
	e := &Evidence{}
	blocks := BlocksOf(rep, pid)
	for n := range blocks {
		if b := &blocks[n]; b.Culprit != nil && !b.Cause.BlamesLine() {
			e.Blamed++
			e.complain("blamed", &truth.Entry{}, b)
		}
	}
	for n := range log {
		entry := &log[n]
		if entry.Event != "" || float64(entry.DurationNS()) < MustFind*float64(threshold) {
			continue
		}
		e.Expected++
		at := slices.IndexFunc(blocks, func(b model.Block) bool {
			return 2*Overlap(b.StartNS, b.StartNS+b.DurationNS, entry.StartNS, entry.EndNS) >= entry.DurationNS()
		})
		if at < 0 {
			e.complain("missed", entry, &model.Block{})
			continue
		}
		b := blocks[at]
		blocks = slices.Delete(blocks, at, at+1)
		// The kernel's account does not know a quota from a full run queue: where one held the loop back it is no excuse.
		if !slices.Contains(entry.Causes, b.Cause) && entry.Causes[0] != model.CauseThrottled && starved(entry, &b) {
			e.Queued++
			continue
		}
		e.Found++
		e.compare(entry, &b, rep)
	}
	return e
}

// compare looks at one block that was found.
func (e *Evidence) compare(entry *truth.Entry, b *model.Block, rep *model.Report) {
	wrong := func(n *Tally, right bool, what string) {
		if !n.count(right) {
			e.complain(what, entry, b)
		}
	}
	e.Duration = append(e.Duration, time.Duration(b.DurationNS-entry.DurationNS()).Abs())
	shape := entry.Shape
	if shape == "" {
		shape = model.ShapeSingle
	}
	right := slices.Contains(entry.Causes, b.Cause)
	wrong(&e.Cause, right && (b.Shape == shape || b.Shape == ""), "cause")
	if b.Cause == model.CauseUnknown && !right {
		e.Unknown++
	}
	switch {
	case entry.Nobody:
		if b.Culprit != nil && b.Cause.BlamesLine() { // else it is counted already
			e.Blamed++
			e.complain("blamed", entry, b)
		}
	case !right: // one complaint is enough
	case entry.Innocent:
		wrong(&e.Culprit, b.Culprit == nil || entry.Names(b.Culprit), "culprit")
	default:
		wrong(&e.Culprit, entry.Names(b.Culprit), "culprit")
	}
	if entry.Target != "" && entry.Causes[0].Kind() == model.KindWaiting {
		wrong(&e.Target, regexp.MustCompile(entry.Target).MatchString(b.Detail.Target), "target")
	}
	if entry.Holder != nil {
		wrong(&e.Holder, names(entry.Holder, b.Detail.Holder), "holder")
	}
	if entry.Native != "" && b.Cause == model.CauseNative {
		wrong(&e.Native, regexp.MustCompile(entry.Native).MatchString(b.Detail.Native), "native")
	}
	if entry.Task != "" {
		wrong(&e.Task, b.Task == entry.Task, "task")
	}
	if entry.Advice != "" && right {
		wrong(&e.Advice, regexp.MustCompile(entry.Advice).MatchString(adviceOn(b, rep)), "advice")
	}
	spoilt := b.BreakdownNS[model.CauseRunqueue] > int64(time.Millisecond) // that part is not gc's
	if entry.GCNS > 0 && !spoilt {
		e.GC = append(e.GC, time.Duration(b.BreakdownNS[model.CauseGC]-entry.GCNS).Abs())
	}
	if entry.ImportNS > 0 && !spoilt {
		e.Imports = append(e.Imports, time.Duration(b.BreakdownNS[model.CauseImport]-entry.ImportNS).Abs())
	}
}

// names reports whether the holder reported is the thread that held it, standing where it stood
// when it let go: in the innermost of its application's functions, if it had one.
func names(holder *truth.Holder, h *model.Holder) bool {
	if h == nil || h.TID != holder.TID || h.Thread != holder.Thread {
		return false
	}
	if len(holder.Functions) == 0 {
		return true
	}
	for _, f := range h.Frames {
		if f.App {
			return slices.Contains(holder.Functions, f.Function)
		}
	}
	return false
}

// adviceOn returns what the report advises on a block.
func adviceOn(b *model.Block, rep *model.Report) string {
	for _, blocker := range rep.Blockers {
		if blocker.Cause == b.Cause && (blocker.Culprit == nil) == (b.Culprit == nil) &&
			(b.Culprit == nil || *blocker.Culprit == *b.Culprit) {
			return blocker.Advice
		}
	}
	return ""
}
