// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/truth"
)

// Blocks shorter than mayMiss times the threshold must not be found, those longer than
// mustFind times it must; between the two both is right.
const (
	mayMiss  = 0.9
	mustFind = 1.1
)

// verdict is what comparing a report with the truth yields.
type verdict struct {
	expected, found, right, cause int
	falseAlarms                   int
	queued                        int // blocks of which the wait for a CPU took most
	unplanned                     int // blocks that were long enough, though the program did not plan them
	startError, durationError     []time.Duration
	complaints                    []string
	waits                         *waits
}

func (v *verdict) complain(format string, args ...any) {
	v.complaints = append(v.complaints, fmt.Sprintf(format, args...))
}

// add sums verdicts up.
func (v *verdict) add(o *verdict) {
	v.expected += o.expected
	v.found += o.found
	v.right += o.right
	v.cause += o.cause
	v.falseAlarms += o.falseAlarms
	v.queued += o.queued
	v.unplanned += o.unplanned
	v.startError = append(v.startError, o.startError...)
	v.durationError = append(v.durationError, o.durationError...)
	v.complaints = append(v.complaints, o.complaints...)
}

// judge compares the blocks found of one thread with the log of the program that ran in it.
func judge(threshold time.Duration, log []truth.Entry, blocks []model.Block, w *waits) *verdict {
	v := &verdict{waits: w}
	blocks = slices.Clone(blocks)
	for _, entry := range log {
		if entry.Event != "" {
			continue
		}
		must := float64(entry.DurationNS()) >= mustFind*float64(threshold)
		if must {
			v.expected++
		}
		n := slices.IndexFunc(blocks, func(b model.Block) bool {
			return 2*overlap(b.StartNS, b.StartNS+b.DurationNS, entry.StartNS, entry.EndNS) >= entry.DurationNS()
		})
		if n < 0 {
			if must {
				v.complain("missed: %s of %v at %d", entry.Kind, time.Duration(entry.DurationNS()), entry.StartNS)
			}
			continue
		}
		b := blocks[n]
		blocks = slices.Delete(blocks, n, n+1)
		switch {
		case must:
			v.found++
			v.compare(&entry, &b)
		case float64(entry.DurationNS()) < mayMiss*float64(threshold):
			v.extra(threshold, log, &b)
		}
	}
	for _, b := range blocks {
		v.extra(threshold, log, &b)
	}
	return v
}

// compare looks at a block that is one.
func (v *verdict) compare(entry *truth.Entry, b *model.Block) {
	v.startError = append(v.startError, time.Duration(b.StartNS-entry.StartNS).Abs())
	v.durationError = append(v.durationError, time.Duration(b.DurationNS-entry.DurationNS()).Abs())
	// Short of a CPU for most of the time: no line is to blame, if the kernel's account agrees.
	if queued := b.BreakdownNS[model.CauseRunqueue]; b.Cause == model.CauseRunqueue && b.Culprit == nil &&
		queued >= b.DurationNS/3 && queued <= entry.RunDelayNS+int64(time.Millisecond) {
		v.right++
		v.cause++
		v.queued++
		return
	}
	if entry.Names(b.Culprit) {
		v.right++
	} else {
		v.complain("wrong culprit: %s of %v is at %s (%s:%v), not at %s (cause %s, leaf %s)\n%s",
			entry.Kind, time.Duration(entry.DurationNS()), entry.Function, entry.File, entry.Lines, describe(b.Culprit), b.Cause, describe(b.Leaf), stacksOf(b))
	}
	shape := entry.Shape
	if shape == "" {
		shape = model.ShapeSingle
	}
	if slices.Contains(entry.Causes, b.Cause) && (b.Shape == shape || b.Shape == "") {
		v.cause++
	} else {
		v.complain("wrong cause: %s of %v is %s/%s, not %s/%s (breakdown %v, run delay %v)", entry.Kind,
			time.Duration(entry.DurationNS()), entry.Causes[0], shape, b.Cause, b.Shape, b.BreakdownNS, time.Duration(entry.RunDelayNS))
	}
}

// extra looks at a block the program did not plan. It is a false alarm unless preparing took
// that long, or the kernel's own trace shows an active period just there and just as long: what a
// program does around its blocks takes time, more so on a busy machine.
func (v *verdict) extra(threshold time.Duration, log []truth.Entry, b *model.Block) {
	bound := int64(mayMiss * float64(threshold))
	end := b.StartNS + b.DurationNS
	for _, entry := range log {
		prepared := entry.PreparedNS[1] - entry.PreparedNS[0]
		if prepared >= bound && overlap(b.StartNS, end, entry.PreparedNS[0], entry.PreparedNS[1]) > 0 {
			return
		}
	}
	if b.DurationNS >= int64(threshold) && (v.waits.saw(b.TID, b.StartNS, end) || v.waits.sawLast(b.TID, b.StartNS, end)) {
		v.unplanned++
		return
	}
	v.falseAlarms++
	v.complain("false alarm: %v, %v after the first entry and %v before the last, cause %s, culprit %s, breakdown %v\n%s",
		time.Duration(b.DurationNS), time.Duration(b.StartNS-log[0].StartNS), time.Duration(log[len(log)-1].WrittenNS-b.StartNS),
		b.Cause, describe(b.Culprit), b.BreakdownNS, stacksOf(b))
}

// stacksOf writes the stacks of a block, a line each.
func stacksOf(b *model.Block) string {
	var out strings.Builder
	for _, s := range b.Stacks {
		fmt.Fprintf(&out, "    %v %s:", time.Duration(s.NS), s.Cause)
		for _, f := range s.Frames {
			fmt.Fprintf(&out, " %s:%d", f.Function, f.Line)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func overlap(start1, end1, start2, end2 int64) int64 {
	return max(0, min(end1, end2)-max(start1, start2))
}

func describe(f *model.Frame) string {
	if f == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s (%s:%d)", f.Function, f.File, f.Line)
}

// quantile returns the q-quantile of values, 0 of none.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// figures is the head of the lines that String makes.
const figures = "expected  found  culprit  cause  false  queued  unplanned   start p50/p99        duration p50/p99"

func (v *verdict) String() string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/1e6) }
	return fmt.Sprintf("%8d %6d %8d %6d %6d %7d %10d %7s/%s ms %14s/%s ms", v.expected, v.found, v.right, v.cause, v.falseAlarms, v.queued, v.unplanned,
		ms(quantile(v.startError, .5)), ms(quantile(v.startError, .99)),
		ms(quantile(v.durationError, .5)), ms(quantile(v.durationError, .99)))
}

// summary lists the first complaints of each kind: a hundred of one would hide the others.
func (v *verdict) summary() string {
	const most = 4
	var out strings.Builder
	seen := map[string]int{}
	for _, c := range v.complaints {
		kind, _, _ := strings.Cut(c, ":")
		if seen[kind]++; seen[kind] <= most {
			fmt.Fprintln(&out, c)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(seen)) {
		if more := seen[kind] - most; more > 0 {
			fmt.Fprintf(&out, "%s: %d more\n", kind, more)
		}
	}
	return strings.TrimSuffix(out.String(), "\n")
}
