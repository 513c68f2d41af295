// SPDX-License-Identifier: Apache-2.0

package block

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

// Loop is what is known of a loop from its earlier stacks.
type Loop struct {
	Kind eventloop.Kind `json:"kind"` // "" until it is known to be a loop
	// Anchor is the stack at the loop's own wait, as code objects. Of a loop without Python frames of its own
	// (uvloop), all of it is at the root of every stack inside.
	Anchor []uint64 `json:"anchor,omitempty"`
	// Bare says that such a loop was met in the middle of a period, before any wait of its own.
	Bare     bool   `json:"bare,omitempty"`
	RestCode uint64 `json:"rest_code,omitempty"` // code object that sleeps in place of a wait, 0 none
	// Caller and CallerCode tell the loop's callbacks apart, see FindCaller.
	Caller     eventloop.Caller `json:"caller,omitempty"`
	CallerCode uint64           `json:"caller_code,omitempty"`
	// FramesTellOwner says that a frame says whose it is, as from CPython 3.11 on.
	FramesTellOwner bool `json:"frames_tell_owner,omitempty"`
}

// FindCaller finds the frame that calls callbacks, on the stack at a loop's own wait or, where it is not on that
// (trio, Twisted), on one inside. code is 0 where there is none.
func FindCaller(raw []Address, frames []model.Frame, kind eventloop.Kind) (caller eventloop.Caller, code uint64) {
	at, caller := eventloop.CallerAt(frames, kind)
	switch {
	case caller == eventloop.CallerRoot:
		code = abi.CallerRoot
	case at >= 0 && at < len(raw):
		code = raw[at].Code
	}
	return caller, code
}

// learnCaller does so from the stacks of a block, where the wait did not show it.
func (l *Loop) learnCaller(pieces []piece) (caller eventloop.Caller, code uint64) {
	if l.Kind != eventloop.Trio && l.Kind != eventloop.Twisted || l.CallerCode != 0 {
		return eventloop.CallerUnknown, 0
	}
	for i := range pieces {
		if s := pieces[i].sample; s.Cut == 0 {
			if caller, code := FindCaller(s.Raw, s.Frames, l.Kind); code != 0 {
				return caller, code
			}
		}
	}
	return eventloop.CallerUnknown, 0
}

// learnRest finds a code object that sleeps instead of waiting (eventlet's hub without descriptors): the kernel can count
// such sleep as time at rest.
func (l *Loop) learnRest(pieces []piece) Learned {
	for i := range pieces {
		p := &pieces[i]
		if raw := p.sample.Raw; p.atRest && p.cause == model.CauseSleep && len(raw) > 0 && raw[0].Code != l.RestCode {
			return Learned{RestCode: raw[0].Code}
		}
	}
	return Learned{}
}

// OnAnchor reports whether the stack at the loop's own wait is at the root of this one.
func (l *Loop) OnAnchor(raw []Address) bool {
	if len(raw) < len(l.Anchor) {
		return false
	}
	root := raw[len(raw)-len(l.Anchor):]
	for i := range l.Anchor {
		if root[i].Code != l.Anchor[i] {
			return false
		}
	}
	return true
}

// IsInside reports whether another wait, given its stack as code objects, lies nearer to the root than what is taken for the
// loop's own, and on the same stack.
func (l *Loop) IsInside(anchor []uint64) bool {
	n := len(l.Anchor) - len(anchor)
	return n > 0 && len(anchor) > 0 && slices.Equal(l.Anchor[n:], anchor)
}

// place reports whether a stack lies inside the thread's running loop, and whether everything inside is the loop's own
// machinery, at rest.
func (l *Loop) place(raw []Address, v eventloop.Verdict) (inside, atRest bool) {
	if l.Bare && !v.Ending {
		return true, false
	}
	if l.Kind == eventloop.UVLoop && !v.Running && len(l.Anchor) > 0 {
		inside = l.OnAnchor(raw)
		return inside, inside && len(raw) == len(l.Anchor)
	}
	return v.Inside(l.Kind), v.AtRest
}

// innermost returns how many of the innermost frames of a sample lie inside the loop: all of them where no frame of the
// loop's own is known.
func (l *Loop) innermost(s *Sample, v eventloop.Verdict) int {
	switch {
	case v.Running && v.Root >= 0:
		return v.Root
	case l.Kind == eventloop.UVLoop && !l.Bare && len(l.Anchor) > 0 && s.Cut == 0 && l.OnAnchor(s.Raw):
		return min(len(s.Raw)-len(l.Anchor), len(s.Frames))
	}
	return len(s.Frames)
}

// onCaller reports whether the frame that calls the loop's callbacks is on a stack. It need not be known by name: its code
// is where it was at the loop's own wait.
func (l *Loop) onCaller(raw []Address) bool {
	return l.CallerCode > abi.CallerRoot && slices.ContainsFunc(raw, func(f Address) bool { return f.Code == l.CallerCode })
}

// callback tells which callback of its loop a sample was taken in. All that a loop calls in one period waited for it
// together, so no two have one address; what they make in turn is called in a later one.
type callback struct {
	id uint64 // two different ones are two callbacks; 0 unknown
	// sure says that the same id is the same callback, too. A greenlet that has ended may leave
	// its place to the next.
	sure bool
}

// callbackOf tells which callback a sample was taken in, as far as that can be told.
func (l *Loop) callbackOf(s *Sample) callback {
	cb := s.Callback
	if cb.Frame == 0 {
		return callback{}
	}
	switch l.Caller {
	case eventloop.CallerHandle:
		if eventloop.RunsHandle(s.Frames) {
			return callback{cb.Local &^ 7, true} // the low bits may be a tag
		}
	case eventloop.CallerTask:
		if cb.Generator || !l.FramesTellOwner && s.HasTask {
			return callback{cb.Frame, true}
		}
	case eventloop.CallerDelayed:
		if eventloop.RunsObject(s.Frames) {
			return callback{cb.Local &^ 7, true}
		}
	case eventloop.CallerRoot:
		if eventloop.ArgumentsTell(s.Frames) {
			return callback{cb.Frame ^ cb.Local<<3 | 1, false} // never 0
		}
		return callback{cb.Frame, false}
	}
	return callback{}
}

// entryOf tells by name what the loop had called. inside is how many frames lie inside the loop.
func (l *Loop) entryOf(s *Sample, inside int) eventloop.Entry {
	if s.Partial || inside == len(s.Frames) && !l.Kind.Greenlets() {
		return eventloop.Entry{} // the loop's own frame is not seen
	}
	return eventloop.EntryOf(s.Frames[:inside])
}

// apart says of two pieces of a period, a before b, whether they were taken in different callbacks or in the same one.
// Often neither can be shown.
func (l *Loop) apart(a, b *piece) (different, same bool) {
	byName := a.entry.Known && b.entry.Known && a.entry.Function != b.entry.Function
	switch {
	case a.callback.id != 0 && b.callback.id != 0:
		if a.callback.id != b.callback.id {
			return true, false
		}
		if !a.callback.sure {
			return byName, false
		}
		// One handle of asyncio may run all delayed calls of another framework.
		different = byName && l.Caller == eventloop.CallerHandle && a.entry.Turns > 0 && b.entry.Turns > 0
		return different, !different
	case l.Caller == eventloop.CallerTask && a.sample.Callback.Frame != 0 && b.sample.Callback.Frame != 0 &&
		a.sample.Callback.Frame != b.sample.Callback.Frame:
		return true, false
	}
	return byName, false
}
