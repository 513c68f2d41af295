// SPDX-License-Identifier: Apache-2.0

package python

import (
	"errors"
	"fmt"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/image"
	"github.com/loopwatch/loopwatch/internal/cpython/locate"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/elffile"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes/host"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Refusal says why a process is no Python process that can be looked at.
type Refusal struct {
	PID     int
	Command string // empty where there is no process
	Err     error
	process *process.Process // nil where there is none
}

// AnswersAgain reports whether a process that was refused because it did not answer does so by now, or may do so.
func (r *Refusal) AnswersAgain() bool {
	return errors.Is(r.Err, elffile.ErrChanges) || errors.Is(r.Err, image.ErrLater) || r.process != nil && r.Kind() == Silent && !r.process.Silent()
}

// Kind is a kind of Refusal.
type Kind int

const (
	Unreadable  Kind = iota // it may be anything
	Unsupported             // a Python, but none of those known
	NotPython
	Starting // or ending
	Silent   // its memory or its files do not answer
	Gone
)

// Kind returns the kind of the refusal. What cannot be read counts as gone once there is no process any more.
func (r *Refusal) Kind() Kind {
	switch {
	case r.unsupported() != nil:
		return Unsupported
	case errors.Is(r.Err, locate.ErrNotPython):
		return NotPython
	case errors.Is(r.Err, cpython.ErrNotReady):
		return Starting
	case errors.Is(r.Err, process.ErrNoAnswer):
		return Silent
	case !process.Exists(r.PID):
		return Gone
	}
	return Unreadable
}

// SilentReason says why a process that does not answer is left alone.
const SilentReason = "its memory does not answer: a page that nobody serves, or a file system that hangs"

// Purpose is what a user wants of a process, as a verb.
type Purpose string

const (
	Watch  Purpose = "watch"   // for some time
	LookAt Purpose = "look at" // once
)

// Explain says why a process cannot be used for a purpose, and what the user can do.
func (r *Refusal) Explain(purpose Purpose) (reason, do string) {
	another, later := "give the process id of a running Python process, or leave out --pid to watch all", "nothing: it is looked at again as it goes on"
	if purpose == LookAt {
		another, later = "give the id of a running Python process, or none to see all", "try again in a moment"
	}
	switch r.Kind() {
	case Unsupported:
		return r.unsupported().Reason, "see the list of supported interpreters in the README"
	case NotPython:
		return "it is not a Python process", another
	case Silent:
		return SilentReason, later
	case Starting:
		return "its interpreter is just starting or ending", later
	case Gone:
		return "there is no such process", another
	}
	switch {
	case errors.Is(r.Err, elffile.ErrChanges):
		return elffile.ErrChanges.Error(), later
	case errors.Is(r.Err, image.ErrLater):
		return image.ErrLater.Error(), later
	case errors.Is(r.Err, image.ErrTooMuch):
		return image.ErrTooMuch.Error(), "nothing: what it maps may be its own doing"
	}
	return host.Unreadable(r.Err)
}

// unsupported returns why the interpreter is none of those known, nil where that is not the reason.
func (r *Refusal) unsupported() *release.UnsupportedError {
	var unsupported *release.UnsupportedError
	errors.As(r.Err, &unsupported)
	return unsupported
}

// PIDError says that a process that a user asked for cannot be used for a purpose.
type PIDError struct {
	Purpose Purpose
	PID     int
	Reason  string
	Do      string
}

func (e *PIDError) Error() string {
	return fmt.Sprintf("cannot %s process %d: %s; %s", e.Purpose, e.PID, e.Reason, e.Do)
}

// Answer returns the refusal as the answer to a user who asked for the process.
func (r *Refusal) Answer(purpose Purpose) *PIDError {
	reason, do := r.Explain(purpose)
	return &PIDError{Purpose: purpose, PID: r.PID, Reason: reason, Do: do}
}

// Row returns the kind of the refusal, and what a list of processes that are not watched, or looked at, says of this one: no reason where it
// does not belong there, because it is no Python, or comes or goes at this moment.
func (r *Refusal) Row(purpose Purpose) (u model.Unsupported, kind Kind) {
	u, kind = model.Unsupported{PID: r.PID, Command: r.Command}, r.Kind()
	reason, do := r.Explain(purpose)
	switch kind {
	case Unsupported, Silent:
		u.Reason = reason
	case Unreadable:
		u.Reason, u.Maybe = reason+"; "+do, !locate.Named(r.PID)
	}
	return u, kind
}
