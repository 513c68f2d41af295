// SPDX-License-Identifier: Apache-2.0

// Package cause judges why a thread slept or ran. In go plain values: the syscall with its arguments and its target, the
// place in the kernel, the module whose code ran, the Python frames, and what the interpreter was busy with. Out come a
// model.Cause, the frame to blame, and the evidence in words. The package reads nothing itself and keeps nothing, so the
// same values always give the same answer.
package cause

import (
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// Call is a syscall that a thread is in.
type Call struct {
	Number int             `json:"syscall"` // -1 where it is in none, as in a page fault
	Args   [3]uint64       `json:"args"`
	Target syscalls.Target `json:"target"` // what the call works on, or the file whose page is missing
}

// Phase is what an interpreter is in the middle of, as its own probes mark it.
type Phase string

const (
	NoPhase     Phase = ""
	PhaseGC     Phase = "gc"
	PhaseImport Phase = "import"
)

// Cause returns the cause that a phase establishes, "" where it is none.
func (p Phase) Cause() model.Cause {
	switch p {
	case PhaseGC:
		return model.CauseGC
	case PhaseImport:
		return model.CauseImport
	}
	return ""
}

// Interpreter is what the interpreter of a thread was busy with.
type Interpreter struct {
	Phase      Phase     `json:"phase,omitempty"`
	Collecting bool      `json:"collecting,omitempty"` // the garbage collector ran, on whichever of its threads
	GIL        model.GIL `json:"gil,omitempty"`        // whether the thread itself held the GIL
}

// collects reports whether the thread itself collects: the collector runs with the GIL, so without it another thread does.
func (i Interpreter) collects() bool { return i.Collecting && i.GIL != model.GILReleased }

// sleepsInFinalizer reports whether a thread that is off the CPU in the middle of a collection sleeps in what the collector
// has called: a finalizer, a callback of a weak reference, one of gc.callbacks. The collector itself keeps the GIL, and
// sleeps for nothing but a page of its memory.
func (i Interpreter) sleepsInFinalizer(c model.Cause) bool {
	switch c {
	case model.CauseSleep, model.CauseNet, model.CauseDNS, model.CausePipe, model.CauseSubprocess:
		return true
	case model.CauseUnknown:
		return false
	}
	return i.GIL == model.GILReleased
}

// Blame returns the final cause and the line to blame for it. c is what the thread ran, or with asleep what it slept in; a
// collection or an import around that is the cause instead, but not of what sleeps in a finalizer. frames are those inside the loop, or all of a thread without one. The culprit is
// nil where no line is to blame.
func Blame(c model.Cause, asleep bool, i Interpreter, frames []model.Frame) (_ model.Cause, culprit *model.Frame) {
	if !c.BlamesLine() {
		return c, nil
	}
	finalizer := i.Phase == PhaseGC && asleep && i.sleepsInFinalizer(c)
	switch {
	case finalizer && !importing(frames):
	case finalizer:
		c = model.CauseImport
	case i.Phase != NoPhase:
		c = i.Phase.Cause()
	case i.collects():
		c = model.CauseGC
	case importing(frames):
		c = model.CauseImport
	}
	return c, eventloop.Culprit(frames)
}

// importing reports whether a stack is inside an import that the loop's own code began.
func importing(frames []model.Frame) bool {
	for _, f := range frames {
		if eventloop.IsMachinery(f) {
			return false
		}
		if f.Function == "_find_and_load" && f.File == "<frozen importlib._bootstrap>" {
			return true
		}
	}
	return false
}

// leafOf returns the innermost frame of a stack, nil where it has none.
func leafOf(frames []model.Frame) *model.Frame {
	if len(frames) == 0 {
		return nil
	}
	return &frames[0]
}
