// SPDX-License-Identifier: Apache-2.0

// Package profile writes the blocked time of a report as weighted stacks, in the formats of
// flame graph tools: folded lines, speedscope and pprof. A report goes in, a file any of those
// tools opens goes out. The weights add up to the durations of the blocks the report lists, to
// the nanosecond: time without a stack stands under a frame in brackets that says so.
package profile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// NoStack is the pseudo frame of time without a stack. Names of code never stand in brackets alone: they bring their
// file.
const NoStack = "[no stack]"

// Frame is one frame of a sample, its strings fit to be shown. File is empty where the frame is
// no code.
type Frame struct {
	Function string
	File     string
	Line     int
	App      bool
}

// String returns "Handler.get (/srv/app.py:42)".
func (f Frame) String() string {
	switch {
	case f.File == "":
		return f.Function
	case f.Line <= 0:
		return fmt.Sprintf("%s (%s)", f.Function, f.File)
	}
	return fmt.Sprintf("%s (%s:%d)", f.Function, f.File, f.Line)
}

// Sample is time of one block spent in one stack.
type Sample struct {
	Loop   *Loop
	Block  *model.Block
	First  bool // the first sample of its block: count these to count blocks
	Cause  model.Cause
	NS     int64
	Frames []Frame // outermost first, never empty
}

// Loop is one loop with blocks, its strings fit to be shown.
type Loop struct {
	model.Loop
	Process string // "uvicorn[1234]"
	Name    string // "asyncio", or "asyncio thread 1240" where it is not in the main thread
}

// maxName bounds names of foreign origin, in columns: recursion writes each hundreds of times.
const maxName = 200

// clean makes a foreign string fit to be shown. The cut by bytes comes first: it is cheap.
func clean(s string) string {
	return safetext.Middle(safetext.Line(safetext.Bound(s, 4*maxName)), maxName)
}

// Samples returns the blocked time of r in the order of its blocks. What one block's samples
// weigh adds up to its duration.
func Samples(r *model.Report) []Sample {
	loops := make(map[model.LoopID]*Loop, len(r.Loops))
	for _, l := range r.Loops {
		loops[model.LoopID{PID: l.PID, TID: l.TID}] = newLoop(l)
	}
	frames := make(map[model.Frame]Frame)
	var out []Sample
	for i := range r.Blocks {
		b := &r.Blocks[i]
		id := model.LoopID{PID: b.PID, TID: b.TID}
		if loops[id] == nil {
			loops[id] = newLoop(model.Loop{PID: b.PID, TID: b.TID, Loop: "unknown"})
		}
		first := len(out)
		out = appendBlock(out, b, loops[id], frames)
		if first < len(out) {
			out[first].First = true
		}
	}
	return out
}

func newLoop(l model.Loop) *Loop {
	main := l
	main.TID = l.PID
	name := cmp.Or(clean(l.Loop), "unknown")
	if l.TID != l.PID {
		name = fmt.Sprintf("%s thread %d", name, l.TID)
	}
	return &Loop{Loop: l, Process: words.LoopName(main), Name: name}
}

func appendBlock(out []Sample, b *model.Block, l *Loop, frames map[model.Frame]Frame) []Sample {
	left := max(b.DurationNS, 0)
	byCause := make(map[model.Cause]int64)
	take := func(cause model.Cause, ns int64, stack []Frame) {
		if ns = min(ns, left); ns > 0 {
			left -= ns
			out = append(out, Sample{Loop: l, Block: b, Cause: cmp.Or(cause, model.CauseUnknown), NS: ns, Frames: stack})
		}
	}
	for _, s := range b.Stacks {
		before := left
		take(s.Cause, s.NS, stackOf(s, frames))
		byCause[s.Cause] += before - left
	}
	for _, cause := range slices.Sorted(maps.Keys(b.BreakdownNS)) {
		take(cause, b.BreakdownNS[cause]-byCause[cause], []Frame{{Function: cmp.Or(cause.PseudoFrame(), NoStack)}})
	}
	take(b.Cause, left, []Frame{{Function: NoStack}})
	return out
}

// stackOf returns a stack outermost first. Where no line is to blame, what is stands innermost.
func stackOf(s model.Stack, known map[model.Frame]Frame) []Frame {
	out := make([]Frame, 0, len(s.Frames)+1)
	for i := len(s.Frames) - 1; i >= 0; i-- {
		f, found := known[s.Frames[i]]
		if !found {
			f = Frame{clean(s.Frames[i].Function), clean(s.Frames[i].File), s.Frames[i].Line, s.Frames[i].App}
			f.Function = cmp.Or(f.Function, "?")
			known[s.Frames[i]] = f
		}
		out = append(out, f)
	}
	if name := s.Cause.PseudoFrame(); name != "" {
		out = append(out, Frame{Function: name})
	}
	if len(out) == 0 {
		out = append(out, Frame{Function: NoStack})
	}
	return out
}
