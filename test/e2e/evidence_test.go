// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/truth"
)

// tally counts how many of those that had to be right were.
type tally struct{ right, of int }

func (n *tally) count(right bool) bool {
	n.of++
	if right {
		n.right++
	}
	return right
}

func (n *tally) add(o tally) { n.right, n.of = n.right+o.right, n.of+o.of }

func (n tally) String() string { return fmt.Sprintf("%d/%d", n.right, n.of) }

func (n tally) atLeast(t *testing.T, share float64, what string) {
	t.Helper()
	assert.Positive(t, n.of, what)
	assert.GreaterOrEqual(t, float64(n.right), share*float64(n.of), "%s: %v", what, n)
}

// evidence is what comparing a report with the log of a program yields, block by block.
type evidence struct {
	expected, found int
	queued          int // blocks spoilt by a machine that had no CPU for the loop
	unknown         int
	blamed          int // blocks of nobody's line for which a line was blamed

	cause, culprit, target, holder, native, task, advice tally

	duration, gc, imports []time.Duration // errors
	complaints            []string
}

func (e *evidence) add(o *evidence) {
	e.expected += o.expected
	e.found += o.found
	e.queued += o.queued
	e.unknown += o.unknown
	e.blamed += o.blamed
	e.cause.add(o.cause)
	e.culprit.add(o.culprit)
	e.target.add(o.target)
	e.holder.add(o.holder)
	e.native.add(o.native)
	e.task.add(o.task)
	e.advice.add(o.advice)
	e.duration = append(e.duration, o.duration...)
	e.gc = append(e.gc, o.gc...)
	e.imports = append(e.imports, o.imports...)
	e.complaints = append(e.complaints, o.complaints...)
}

func (e *evidence) String() string {
	errors := func(d []time.Duration) string {
		return fmt.Sprintf("%.2f/%.2f ms", float64(quantile(d, .5))/1e6, float64(quantile(d, .99))/1e6)
	}
	return fmt.Sprintf("  expected %d, found %d, queued %d, unknown %d, blamed %d\n", e.expected, e.found, e.queued, e.unknown, e.blamed) +
		fmt.Sprintf("  right: cause %v, culprit %v, target %v, holder %v, native %v, task %v, advice %v\n",
			e.cause, e.culprit, e.target, e.holder, e.native, e.task, e.advice) +
		fmt.Sprintf("  error p50/p99: duration %s, gc %s, import %s\n", errors(e.duration), errors(e.gc), errors(e.imports))
}

func (e *evidence) complain(what string, entry *truth.Entry, b *model.Block) {
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
	e.complaints = append(e.complaints, fmt.Sprintf("%s: %s\n    log %s\n    got %s", what, entry.Kind, known, said))
}

// summary lists the first complaint of each kind of block in each respect.
func (e *evidence) summary() string {
	var out strings.Builder
	seen := map[string]bool{}
	for _, c := range e.complaints {
		if what, _, _ := strings.Cut(c, "\n"); !seen[what] {
			seen[what] = true
			fmt.Fprintln(&out, c)
		}
	}
	return out.String()
}

// hold compares the report with the log of a program whose blocks are all long.
func hold(threshold time.Duration, p *performance) *evidence {
	e := &evidence{}
	blocks := blocksOf(p.rep, p.pid)
	for n := range blocks {
		if b := &blocks[n]; b.Culprit != nil && !b.Cause.BlamesLine() {
			e.blamed++
			e.complain("blamed", &truth.Entry{}, b)
		}
	}
	for n := range p.log {
		entry := &p.log[n]
		if entry.Event != "" || float64(entry.DurationNS()) < mustFind*float64(threshold) {
			continue
		}
		e.expected++
		at := slices.IndexFunc(blocks, func(b model.Block) bool {
			return 2*overlap(b.StartNS, b.StartNS+b.DurationNS, entry.StartNS, entry.EndNS) >= entry.DurationNS()
		})
		if at < 0 {
			e.complain("missed", entry, &model.Block{})
			continue
		}
		b := blocks[at]
		blocks = slices.Delete(blocks, at, at+1)
		// Short of a CPU for most of the time, if the kernel's account agrees. That account does not
		// know a quota from a full run queue: where one held the loop back it is no excuse.
		if queued := b.BreakdownNS[model.CauseRunqueue]; !slices.Contains(entry.Causes, b.Cause) && entry.Causes[0] != model.CauseThrottled &&
			b.Cause == model.CauseRunqueue && b.Culprit == nil && queued >= b.DurationNS/3 && queued <= entry.RunDelayNS+int64(time.Millisecond) {
			e.queued++
			continue
		}
		e.found++
		e.compare(entry, &b, p.rep)
	}
	return e
}

// compare looks at one block that was found.
func (e *evidence) compare(entry *truth.Entry, b *model.Block, rep *model.Report) {
	wrong := func(n *tally, right bool, what string) {
		if !n.count(right) {
			e.complain(what, entry, b)
		}
	}
	e.duration = append(e.duration, time.Duration(b.DurationNS-entry.DurationNS()).Abs())
	shape := entry.Shape
	if shape == "" {
		shape = model.ShapeSingle
	}
	right := slices.Contains(entry.Causes, b.Cause)
	wrong(&e.cause, right && (b.Shape == shape || b.Shape == ""), "cause")
	if b.Cause == model.CauseUnknown && !right {
		e.unknown++
	}
	switch {
	case entry.Nobody:
		if b.Culprit != nil && b.Cause.BlamesLine() { // else it is counted already
			e.blamed++
			e.complain("blamed", entry, b)
		}
	case !right: // one complaint is enough
	case entry.Innocent:
		wrong(&e.culprit, b.Culprit == nil || entry.Names(b.Culprit), "culprit")
	default:
		wrong(&e.culprit, entry.Names(b.Culprit), "culprit")
	}
	if entry.Target != "" && entry.Causes[0].Kind() == model.KindWaiting {
		wrong(&e.target, regexp.MustCompile(entry.Target).MatchString(b.Detail.Target), "target")
	}
	if entry.Holder != nil {
		wrong(&e.holder, names(entry.Holder, b.Detail.Holder), "holder")
	}
	if entry.Native != "" && b.Cause == model.CauseNative {
		wrong(&e.native, regexp.MustCompile(entry.Native).MatchString(b.Detail.Native), "native")
	}
	if entry.Task != "" {
		wrong(&e.task, b.Task == entry.Task, "task")
	}
	if entry.Advice != "" && right {
		wrong(&e.advice, regexp.MustCompile(entry.Advice).MatchString(adviceOn(b, rep)), "advice")
	}
	spoilt := b.BreakdownNS[model.CauseRunqueue] > int64(time.Millisecond) // that part is not gc's
	if entry.GCNS > 0 && !spoilt {
		e.gc = append(e.gc, time.Duration(b.BreakdownNS[model.CauseGC]-entry.GCNS).Abs())
	}
	if entry.ImportNS > 0 && !spoilt {
		e.imports = append(e.imports, time.Duration(b.BreakdownNS[model.CauseImport]-entry.ImportNS).Abs())
	}
}

// names tells whether the holder reported is the thread that held it, standing where it stood
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
