// SPDX-License-Identifier: Apache-2.0

// Package profile writes the blocked time of a report, or the waiting time of a profile of awaits, as weighted stacks, in the
// formats of flame graph tools: folded lines, speedscope and pprof. A report or such a profile goes in, a file any of those
// tools opens goes out. The weights add up to the durations of the blocks that the report lists, or to the waits of the
// profile, to the nanosecond: time without a stack stands under a frame in brackets that says so.
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

// Sample is time of one loop spent in one stack.
type Sample struct {
	Loop *Loop
	// Count is how many blocks begin with this sample, or how often tasks were found waiting there.
	Count  int64
	Kind   string // the cause of a block, or what tasks waited for
	NS     int64
	Frames []Frame // outermost first, never empty
}

// Loop is one loop, its strings fit to be shown.
type Loop struct {
	model.LoopID
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
		loops[model.LoopID{PID: l.PID, TID: l.TID}] = newLoop(l.PID, l.TID, l.Command, l.Loop)
	}
	frames := make(map[model.Frame]Frame)
	var out []Sample
	for i := range r.Blocks {
		b := &r.Blocks[i]
		id := model.LoopID{PID: b.PID, TID: b.TID}
		if loops[id] == nil {
			loops[id] = newLoop(b.PID, b.TID, "", "")
		}
		first := len(out)
		out = appendBlock(out, b, loops[id], frames)
		if first < len(out) {
			out[first].Count = 1
		}
	}
	return out
}

func newLoop(pid, tid int, command, kind string) *Loop {
	name := cmp.Or(clean(kind), "unknown")
	if tid != pid {
		name = fmt.Sprintf("%s thread %d", name, tid)
	}
	return &Loop{model.LoopID{PID: pid, TID: tid}, words.LoopName(model.Loop{PID: pid, TID: pid, Command: command}), name}
}

func appendBlock(out []Sample, b *model.Block, l *Loop, frames map[model.Frame]Frame) []Sample {
	left := max(b.DurationNS, 0)
	byCause := make(map[model.Cause]int64)
	take := func(cause model.Cause, ns int64, stack []Frame) {
		if ns = min(ns, left); ns > 0 {
			left -= ns
			out = append(out, Sample{Loop: l, Kind: string(cmp.Or(cause, model.CauseUnknown)), NS: ns, Frames: stack})
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
	out := framesOf(s.Frames, known)
	if name := s.Cause.PseudoFrame(); name != "" {
		out = append(out, Frame{Function: name})
	}
	if len(out) == 0 {
		out = append(out, Frame{Function: NoStack})
	}
	return out
}

// framesOf returns frames outermost first.
func framesOf(frames []model.Frame, known map[model.Frame]Frame) []Frame {
	out := make([]Frame, 0, len(frames)+1)
	for _, frame := range slices.Backward(frames) {
		f, found := known[frame]
		if !found {
			f = Frame{clean(frame.Function), clean(frame.File), frame.Line, frame.App}
			f.Function = cmp.Or(f.Function, "?")
			known[frame] = f
		}
		out = append(out, f)
	}
	return out
}
