// SPDX-License-Identifier: Apache-2.0

// Package judge holds what loopwatch found against what a truth program (test/truth) says of itself. In go the program's
// log, the blocks of a report, and a Witness of what else there was; out come figures, and in words every block that was
// missed, made up or explained wrongly. The end-to-end tests judge live reports by it, test/replay those of recordings.
// Program is how a log is kept beside a recording.
package judge

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/truth"
)

// Blocks shorter than MayMiss times the threshold must not be found, those longer than
// MustFind times it must; between the two both is right.
const (
	MayMiss  = 0.9
	MustFind = 1.1
)

// Result is what comparing blocks with the truth yields.
type Result struct {
	Expected, Found, Right, Cause int
	Freed                         int // of Right, those where the import is named and not the module, see codeFreed
	FalseAlarms                   int
	LateUnseen                    int    // blocks of whose time in the wait the witness does not know; TestLateWakeups does
	Queued                        int    // blocks of which the wait for a CPU took most
	Unplanned                     []Span // blocks that the witness accepted, though the program did not plan them
	StartError, DurationError     []time.Duration
	Complaints                    []string
	witness                       Witness
	periods                       map[period]Span
}

// Complain adds a complaint, which begins with its kind and a colon.
func (v *Result) Complain(format string, args ...any) {
	v.Complaints = append(v.Complaints, fmt.Sprintf(format, args...))
}

// Add sums results up.
func (v *Result) Add(o *Result) {
	v.Expected += o.Expected
	v.Found += o.Found
	v.Right += o.Right
	v.Freed += o.Freed
	v.Cause += o.Cause
	v.FalseAlarms += o.FalseAlarms
	v.LateUnseen += o.LateUnseen
	v.Queued += o.Queued
	v.Unplanned = append(v.Unplanned, o.Unplanned...)
	v.StartError = append(v.StartError, o.StartError...)
	v.DurationError = append(v.DurationError, o.DurationError...)
	v.Complaints = append(v.Complaints, o.Complaints...)
}

// Blocks compares the blocks found of one thread with the log of the program that ran in it. Without a witness a block
// that the program did not plan is a false alarm.
func Blocks(threshold time.Duration, log []truth.Entry, blocks []model.Block, w Witness) *Result {
	v := &Result{witness: w, periods: periodsOf(blocks)}
	blocks = slices.Clone(blocks)
	for _, entry := range log {
		if entry.Event != "" {
			continue
		}
		must := float64(entry.DurationNS()) >= MustFind*float64(threshold)
		if must {
			v.Expected++
		}
		n := find(blocks, &entry)
		if n < 0 {
			if must {
				v.Complain("missed: %s of %v at %d, found there was %s", entry.Kind, time.Duration(entry.DurationNS()), entry.StartNS, around(blocks, &entry))
			}
			continue
		}
		b := blocks[n]
		blocks = slices.Delete(blocks, n, n+1)
		if entry.Shape == model.ShapeMany && b.Period != 0 { // it is a part of what the entry is about, as others of its period are
			blocks = slices.DeleteFunc(blocks, func(o model.Block) bool { return o.Period == b.Period && within(&o, &entry) })
			b.Shape = model.ShapeMany
		}
		switch {
		case must:
			v.Found++
			v.Compare(&entry, &b)
		case float64(entry.DurationNS()) < MayMiss*float64(threshold):
			v.extra(threshold, log, &b)
		}
	}
	for _, b := range blocks {
		v.extra(threshold, log, &b)
	}
	return v
}

// find returns the index of the block that an entry of the log is about, -1 if there is none. Where the entry is about many
// callbacks and the machine has stopped in some of them, each of those is a block: it returns the longest.
func find(blocks []model.Block, entry *truth.Entry) int {
	covers := func(ns int64) bool { return 2*ns >= entry.DurationNS() }
	n := slices.IndexFunc(blocks, func(b model.Block) bool { return covers(shared(&b, entry)) })
	if n >= 0 || entry.Shape != model.ShapeMany {
		return n
	}
	sums, longest := map[uint64]int64{}, -1
	for i, b := range blocks {
		if b.Period == 0 || !within(&b, entry) {
			continue
		}
		sums[b.Period] += shared(&b, entry)
		if longest < 0 || b.DurationNS > blocks[longest].DurationNS {
			longest = i
		}
	}
	if longest < 0 || !covers(sums[blocks[longest].Period]) {
		return -1
	}
	return longest
}

// shared returns for how long a block and an entry of the log both go on.
func shared(b *model.Block, entry *truth.Entry) int64 {
	return Overlap(b.StartNS, b.StartNS+b.DurationNS, entry.StartNS, entry.EndNS)
}

// within reports whether most of a block lies in an entry of the log.
func within(b *model.Block, entry *truth.Entry) bool { return 2*shared(b, entry) >= b.DurationNS }

// around describes the blocks that share any time with an entry of the log.
func around(blocks []model.Block, entry *truth.Entry) string {
	var out []string
	for _, b := range blocks {
		if shared(&b, entry) > 0 {
			out = append(out, fmt.Sprintf("%v from %v on (%s, period %d)", time.Duration(b.DurationNS), time.Duration(b.StartNS-entry.StartNS), b.Cause, b.Period))
		}
	}
	if out == nil {
		return "nothing"
	}
	return strings.Join(out, ", ")
}

// period names an active period that has several blocks.
type period struct {
	tid    int
	number uint64
}

// periodsOf returns from when to when the periods went that have several blocks.
func periodsOf(blocks []model.Block) map[period]Span {
	out := make(map[period]Span)
	for _, b := range blocks {
		if b.Period == 0 {
			continue
		}
		key := period{b.TID, b.Period}
		s, known := out[key]
		if !known {
			s = Span{b.TID, b.StartNS, b.StartNS + b.DurationNS}
		}
		out[key] = Span{b.TID, min(s.StartNS, b.StartNS), max(s.EndNS, b.StartNS+b.DurationNS)}
	}
	return out
}

// Compare looks at a block that is one.
func (v *Result) Compare(entry *truth.Entry, b *model.Block) {
	v.StartError = append(v.StartError, time.Duration(b.StartNS-entry.StartNS).Abs())
	v.DurationError = append(v.DurationError, time.Duration(b.DurationNS-entry.DurationNS()).Abs())
	if starved(entry, b) {
		v.Right++
		v.Cause++
		v.Queued++
		return
	}
	switch {
	case entry.Names(b.Culprit):
		v.Right++
	case codeFreed(entry, b):
		v.Right++
		v.Freed++
	case importedSlowly(entry, b):
		v.Right++
	default:
		v.Complain("wrong culprit: %s of %v is at %s (%s:%v), not at %s (cause %s, leaf %s)\n%s",
			entry.Kind, time.Duration(entry.DurationNS()), entry.Function, entry.File, entry.Lines, Describe(b.Culprit), b.Cause, Describe(b.Leaf), StacksOf(b))
	}
	shape := entry.Shape
	if shape == "" {
		shape = model.ShapeSingle
	}
	if slices.Contains(entry.Causes, b.Cause) && (b.Shape == shape || b.Shape == "") {
		v.Cause++
	} else {
		v.Complain("wrong cause: %s of %v is %s/%s, not %s/%s (breakdown %v, run delay %v)", entry.Kind,
			time.Duration(entry.DurationNS()), entry.Causes[0], shape, b.Cause, b.Shape, b.BreakdownNS, time.Duration(entry.RunDelayNS))
	}
}

// starved reports whether a block is told as what a machine without a CPU to spare makes of any: for a third of it the loop's
// thread waited for a CPU, by the kernel's own account, and what took most is that, or the GIL, whose holder had no CPU either.
func starved(entry *truth.Entry, b *model.Block) bool {
	return Queued(b, entry.RunDelayNS) || b.Cause == model.CauseGIL && shortOfCPU(b, entry.RunDelayNS)
}

// Queued reports whether a block is told as one by the wait for a CPU, and the kernel's own account of that agrees.
func Queued(b *model.Block, runDelayNS int64) bool {
	return b.Cause == model.CauseRunqueue && shortOfCPU(b, runDelayNS)
}

// shortOfCPU reports whether the thread had no CPU for a third of a block, by the kernel's own account. That goes by another
// clock, which lags behind: the two differ by a little for each of many waits.
func shortOfCPU(b *model.Block, runDelayNS int64) bool {
	queued := b.BreakdownNS[model.CauseRunqueue]
	return b.Culprit == nil && queued >= b.DurationNS/3 && queued-queued/50 <= runDelayNS+int64(time.Millisecond)
}

// importedSlowly reports whether a block names the line that imports, and finding and reading the module took as long as what
// the entry is about, the module's own code.
func importedSlowly(entry *truth.Entry, b *model.Block) bool {
	return importLine(entry, b) && entry.Function != entry.Kind && b.DurationNS-entry.DurationNS() >= entry.DurationNS()*9/10
}

// importLine reports whether a block by an import blames the program's line that imports.
func importLine(entry *truth.Entry, b *model.Block) bool {
	return b.Cause == model.CauseImport && b.Culprit != nil && b.Culprit.App && b.Culprit.Function == entry.Kind
}

// codeFreed reports whether a block by an import names the line that imports, because the module's own code could not be
// read: it is freed when the import ends, and on a busy machine loopwatch may come too late.
func codeFreed(entry *truth.Entry, b *model.Block) bool {
	return importLine(entry, b) && b.Leaf != nil && b.Leaf.Function == model.Unreadable
}

// extra looks at a block the program did not plan. It is a false alarm unless preparing took
// that long, or the witness saw an active period just there and just as long: what a program does around
// its blocks takes time, more so on a busy machine.
func (v *Result) extra(threshold time.Duration, log []truth.Entry, b *model.Block) {
	bound := int64(MayMiss * float64(threshold))
	end := b.StartNS + b.DurationNS
	for _, entry := range log {
		prepared := entry.PreparedNS[1] - entry.PreparedNS[0]
		if prepared >= bound && Overlap(b.StartNS, end, entry.PreparedNS[0], entry.PreparedNS[1]) > 0 {
			return
		}
	}
	whole, several := v.periods[period{b.TID, b.Period}]
	if !several {
		whole = Span{b.TID, b.StartNS, end}
	}
	if b.DurationNS >= int64(threshold) && v.witness != nil && v.witness.Saw(b.TID, whole.StartNS, whole.EndNS) {
		v.Unplanned = append(v.Unplanned, whole)
		return
	}
	if b.InWait && v.sawActivePart(b) {
		v.LateUnseen++
		return
	}
	v.FalseAlarms++
	witnessed := "nothing there"
	if v.witness != nil {
		if s, ok := v.witness.Nearest(b.TID, b.StartNS, end); ok {
			witnessed = fmt.Sprintf("a period that began %v later and ended %v later", time.Duration(s.StartNS-b.StartNS), time.Duration(s.EndNS-end))
		}
	}
	v.Complain(falseAlarm+": %v, %v after the first entry and %v before the last, the witness saw %s, in the wait %v, cause %s, culprit %s, breakdown %v\n%s",
		time.Duration(b.DurationNS), time.Duration(b.StartNS-log[0].StartNS), time.Duration(log[len(log)-1].WrittenNS-b.StartNS), witnessed,
		b.InWait, b.Cause, Describe(b.Culprit), b.BreakdownNS, StacksOf(b))
}

// sawActivePart reports whether the witness saw all of a block but what of it lies in the wait: an active period inside the
// block that ended with it.
func (v *Result) sawActivePart(b *model.Block) bool {
	if v.witness == nil {
		return false
	}
	end := b.StartNS + b.DurationNS
	s, ok := v.witness.Within(b.TID, b.StartNS, end)
	return ok && near(s.EndNS, end)
}

// falseAlarm is the kind of complaint about a block that there was not.
const falseAlarm = "false alarm"

// alarms returns the complaints about false alarms.
func (v *Result) alarms() []string {
	return slices.DeleteFunc(slices.Clone(v.Complaints), func(c string) bool { return !strings.HasPrefix(c, falseAlarm) })
}

// Figures is the head of the lines that String makes.
const Figures = "expected  found  culprit  freed  cause  false  queued  unplanned   start p50/p99        duration p50/p99"

func (v *Result) String() string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/1e6) }
	return fmt.Sprintf("%8d %6d %8d %6d %6d %6d %7d %10d %7s/%s ms %14s/%s ms", v.Expected, v.Found, v.Right, v.Freed, v.Cause, v.FalseAlarms, v.Queued, len(v.Unplanned),
		ms(Quantile(v.StartError, .5)), ms(Quantile(v.StartError, .99)),
		ms(Quantile(v.DurationError, .5)), ms(Quantile(v.DurationError, .99)))
}

// Summary lists the first complaints of each kind: a hundred of one would hide the others.
func (v *Result) Summary() string {
	const most = 4
	var out strings.Builder
	seen := map[string]int{}
	for _, c := range v.Complaints {
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
