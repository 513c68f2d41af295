// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// The words the text uses, for writers that live in packages of their own: one thing has one
// name in every format. All results are safe to print (package safetext).

// HumanDuration writes nanoseconds as people say them: 312 ms, 4.21 s.
func HumanDuration(ns int64) string { return humanDuration(ns) }

// BoundedDuration is HumanDuration of what may be a lower bound: ≥ 312 ms.
func BoundedDuration(ns int64, atLeast bool) string { return boundedDuration(ns, atLeast) }

// Percent writes a share of one as a percentage.
func Percent(share float64) string { return percent(share) }

// Plural returns "1 block", "2 blocks".
func Plural(n int64, thing string) string { return plural(n, thing) }

// LoopName returns "uvicorn[1234]", with the thread too where the loop is not in the main one.
func LoopName(l model.Loop) string { return loopName(l) }

// CulpritName returns "Handler.get app.py:42".
func CulpritName(f *model.Frame) string { return culpritName(f) }

// FileLine returns "app.py:42", or the whole path.
func FileLine(f model.Frame, short bool) string { return fileLine(f, short) }

// Evidence tells in one line what the kernel saw the thread do.
func Evidence(d model.Detail) string { return evidence(d) }

// LoopNames are the names of a report's loops.
type LoopNames map[model.LoopID]string

// NamesOf returns the names of the loops of r.
func NamesOf(r *model.Report) LoopNames {
	names := make(LoopNames, len(r.Loops))
	for _, l := range r.Loops {
		names[model.LoopID{PID: l.PID, TID: l.TID}] = loopName(l)
	}
	return names
}

// Of returns the name of a loop.
func (n LoopNames) Of(id model.LoopID) string {
	if name := n[id]; name != "" {
		return name
	}
	return loopName(model.Loop{PID: id.PID, TID: id.TID})
}

// List names the first loops of a list and counts the rest.
func (n LoopNames) List(ids []model.LoopID, limit int) string {
	var names []string
	for _, id := range ids[:min(limit, len(ids))] {
		names = append(names, n.Of(id))
	}
	s := strings.Join(names, ", ")
	if more := len(ids) - limit; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// FrameRun is frames of a stack that stand together: one to be shown, or several of libraries
// to be folded away.
type FrameRun struct {
	Frames  []model.Frame
	Library string // the package several frames belong to, where it is one
}

// FoldStack splits a stack into runs, in order, as the text shows it.
func FoldStack(frames []model.Frame) []FrameRun {
	var runs []FrameRun
	at := 0
	for _, l := range foldStack(frames, false) {
		n := max(l.folded, 1)
		runs = append(runs, FrameRun{frames[at : at+n], l.library})
		at += n
	}
	return runs
}

// ShortCommand returns what a command line is called: the script, module or program it runs.
func ShortCommand(command string) string { return shortCommand(command) }

// Waited says who waited for blocks to end, empty where nobody did or it is not known.
func Waited(d *model.Delayed) string {
	if d.Events <= 0 {
		return ""
	}
	s := plural(d.Events, "event") + " had to wait"
	if d.MaxNS > 0 {
		s += ", the longest for " + humanDuration(d.MaxNS)
	}
	return s
}
