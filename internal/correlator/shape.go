// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
)

// callback tells which callback of its loop a piece was taken in. All that a loop calls in one
// period waited for it together, so that no two have one address; what they make in turn is
// called in a later one.
type callback struct {
	id uint64 // two different ones are two callbacks; 0 unknown
	// sure says that the same id is the same callback, too. A greenlet that has ended may leave
	// its place to the next.
	sure bool
}

// learnCaller remembers the frame that calls callbacks, from the stack at a loop's own wait or,
// where it is not on that (trio), from one inside.
func (t *thread) learnCaller(raw []cpython.RawFrame, frames []model.Frame) {
	at, caller := eventloop.CallerAt(frames, t.kind)
	t.caller, t.callerCode = caller, 0
	switch {
	case caller == eventloop.CallerRoot:
		t.callerCode = probes.CallerRoot
	case at >= 0 && at < len(raw):
		t.callerCode = raw[at].Code
	}
}

// learnCallerInside does so from the stacks of a block, for those that come after it.
func (c *Correlator) learnCallerInside(t *thread, pieces []piece) {
	if t.kind != eventloop.Trio || t.callerCode != 0 {
		return
	}
	for i := range pieces {
		if p := &pieces[i]; p.sample.Stack.Cut == 0 {
			if t.learnCaller(p.raw, p.frames); t.callerCode != 0 {
				c.configure(t)
				return
			}
		}
	}
}

// onCaller tells whether the frame that calls the loop's callbacks is on a stack, of which it need not
// be known by name: its code is where it was at the loop's own wait.
func (t *thread) onCaller(raw []cpython.RawFrame) bool {
	return t.callerCode > probes.CallerRoot &&
		slices.ContainsFunc(raw, func(f cpython.RawFrame) bool { return f.Code == t.callerCode })
}

// callbackOf tells which callback a sample was taken in, as far as that can be told.
func (t *thread) callbackOf(s *probes.Sample, frames []model.Frame) callback {
	cb := s.Callback
	if cb.Frame == 0 {
		return callback{}
	}
	switch t.caller {
	case eventloop.CallerHandle:
		if eventloop.RunsHandle(frames) {
			return callback{cb.Local &^ 7, true} // the low bits may be a tag
		}
	case eventloop.CallerTask:
		// Before 3.11 frames do not say whose they are.
		if cb.Generator || t.proc.Runtime.Layout.FrameOwner == 0 && s.Task != nil {
			return callback{cb.Frame, true}
		}
	case eventloop.CallerRoot:
		return callback{cb.Frame, false}
	}
	return callback{}
}

// shape tells one long callback from many short ones, where the samples show it.
func (p *period) shape() model.Shape {
	half := (p.end - p.start) / 2
	for i := range p.pieces {
		// What is carried by one sample without an end of its own is one stretch, but for
		// a sixth of the threshold at most.
		if x := &p.pieces[i]; x.isOff() && x.ns >= half && x.callback.id == 0 {
			return model.ShapeSingle
		}
	}
	var total, unknown, top, topSure int64
	sums := make(map[uint64]int64)
	for i := range p.pieces {
		x := &p.pieces[i]
		total += x.ns
		if x.callback.id == 0 {
			unknown += x.ns
			continue
		}
		sums[x.callback.id] += x.ns
		top = max(top, sums[x.callback.id])
		if x.callback.sure {
			topSure = max(topSure, sums[x.callback.id])
		}
	}
	switch {
	case topSure > 0 && 2*topSure >= total:
		return model.ShapeSingle
	case total > 0 && 2*(top+unknown) < total:
		return model.ShapeMany
	case len(sums) > 0:
		return ""
	}
	return p.shapeByName()
}

// shapeByName goes by the functions called, where nothing else tells callbacks apart: several,
// none of which has half, are many. One function may be called once or often: then nothing is said.
func (p *period) shapeByName() model.Shape {
	half := (p.end - p.start) / 2
	functions := make(map[model.Frame]int64)
	for i := range p.pieces {
		if x := &p.pieces[i]; x.function.Function != "" {
			functions[x.function] += x.ns
		}
	}
	for _, ns := range functions {
		if ns >= half {
			return ""
		}
	}
	if len(functions) >= 3 {
		return model.ShapeMany
	}
	return ""
}

// functionOf returns the outermost frame inside the loop's machinery, as function and file.
func functionOf(frames []model.Frame, root int) model.Frame {
	for i := min(root, len(frames)) - 1; i >= 0; i-- {
		if f := frames[i]; !eventloop.IsMachinery(f) && f.File != "" {
			return model.Frame{Function: f.Function, File: f.File}
		}
	}
	return model.Frame{}
}
