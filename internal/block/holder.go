// SPDX-License-Identifier: Apache-2.0

package block

import (
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

// gilDuring says whether the loop's thread held the GIL for most of what its block is made of,
// where that is known. It decides whether a thread would help, or only another process.
func gilDuring(pieces []piece, cause model.Cause) model.GIL {
	if !cause.BlamesLine() || cause == model.CauseUnknown {
		return ""
	}
	var held, released int64
	for i := range pieces {
		p := &pieces[i]
		if p.cause != cause {
			continue
		}
		switch p.sample.Busy.GIL {
		case model.GILHeld:
			held += p.ns
		case model.GILReleased:
			released += p.ns
		}
	}
	switch {
	case held > released:
		return model.GILHeld
	case released > held:
		return model.GILReleased
	}
	return ""
}

// mainHolder returns the thread and function that held what a loop waited for longest, nil
// where that is not known of most of the wait.
func mainHolder(pieces []piece, cause model.Cause, culprit *model.Frame) *model.Holder {
	if cause != model.CauseGIL && cause != model.CauseLock {
		return nil
	}
	type place struct {
		thread         uint64
		pid, tid       int
		function, file string
	}
	sums, heaviest := make(map[place]int64), make(map[place]*piece)
	var unknown int64
	var top place
	var next *piece // the wait after this one, in what the culprit waited for
	for i := len(pieces) - 1; i >= 0; i-- {
		p := &pieces[i]
		if p.cause != cause || cause == model.CauseLock && !sameFunction(p.culprit, culprit) {
			continue
		}
		known := p
		if p.sample.Holder == nil && cause == model.CauseLock && next != nil && sameLine(p.culprit, next.culprit) {
			known = next // a wait in slices: those before the last end by timeout
		}
		next = known
		if known.sample.Holder == nil {
			unknown += p.ns
			continue
		}
		at := place{thread: known.sample.Holder.ThreadPointer, pid: known.sample.Holder.PID}
		if at.thread == 0 {
			at.tid = known.sample.Holder.TID
		}
		if f := standsFor(known.sample.Holder.Frames); f != nil {
			at.function, at.file = f.Function, f.File
		}
		sums[at] += p.ns
		if best := heaviest[at]; best == nil || betterKnown(known, best) {
			heaviest[at] = known
		}
		if sums[at] > sums[top] {
			top = at
		}
	}
	if sums[top] == 0 || sums[top] < unknown {
		return nil
	}
	return &heaviest[top].sample.Holder.Holder
}

// betterKnown reports whether a shows a holder better than b: with its thread id, or else for longer.
func betterKnown(a, b *piece) bool {
	if x, y := a.sample.Holder.TID != 0, b.sample.Holder.TID != 0; x != y {
		return x
	}
	return a.ns > b.ns
}

// sameLine reports whether two waits were made by one line of the application.
func sameLine(a, b *model.Frame) bool { return a != nil && sameFunction(a, b) && a.Line == b.Line }

func sameFunction(a, b *model.Frame) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Function == b.Function && a.File == b.File
}

// standsFor returns the frame that names what a thread does: the culprit of a loop's stack.
func standsFor(frames []model.Frame) *model.Frame {
	if culprit := eventloop.Culprit(frames); culprit != nil {
		return culprit
	}
	if len(frames) > 0 {
		return &frames[0]
	}
	return nil
}
