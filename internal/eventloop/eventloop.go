// SPDX-License-Identifier: Apache-2.0

// Package eventloop tells which event loop a Python stack belongs to, and which of its frames
// are the application's. In go a stack's frames, innermost first, and what is known of the
// modules mapped; out comes a Verdict. The package knows the loops by the files and functions
// they run in, and nothing of processes.
package eventloop

import (
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Kind is a kind of event loop, as reports name it. The empty Kind is none.
type Kind string

// The kinds that are told apart. Tornado and Twisted can run on asyncio's loop: then the kind
// is theirs if they started it, and asyncio's if the program did (asyncio.run with a Tornado
// application in it).
const (
	Asyncio  Kind = "asyncio"
	UVLoop   Kind = "uvloop"
	Trio     Kind = "trio"
	Tornado  Kind = "tornado"
	Gevent   Kind = "gevent"
	Eventlet Kind = "eventlet"
	Twisted  Kind = "twisted"
	Curio    Kind = "curio"
)

// Kinds returns all of them.
func Kinds() []Kind {
	return []Kind{Asyncio, UVLoop, Trio, Tornado, Gevent, Eventlet, Twisted, Curio}
}

// Greenlets tells the kinds whose tasks have stacks of their own, without the loop's frames.
// On a thread that runs such a loop every stack is inside it, the main program's too: whatever
// runs keeps the hub from running.
func (k Kind) Greenlets() bool { return k == Gevent || k == Eventlet }

// Extensions returns what Classify may ask Modules about.
func Extensions() []string { return []string{extUVLoop, extGevent, extGreenlet} }

const (
	extUVLoop   = "uvloop"
	extGevent   = "gevent"
	extGreenlet = "greenlet"
)

// Modules tells which extension modules a process has mapped.
type Modules interface {
	// Extension reports whether a shared object in a directory of this name is mapped, as
	// ".../uvloop/loop.cpython-311-x86_64-linux-gnu.so" is for "uvloop".
	Extension(dir string) bool
}

// Verdict is what a stack shows.
type Verdict struct {
	Kind Kind
	// Running says that a loop of this kind is on the stack.
	Running bool
	// AtRest says that a wait made here is the loop's own: the frames inside its run frame
	// are only those that it takes to wait. Where loops are nested, this is said of the outer one, which
	// is blocked while the inner one rests.
	AtRest bool
	// MayRest says that a wait made here is the loop's own if asyncio has the thread run a loop of this kind. The stack alone
	// does not tell: its leaf is of an installed package, which may be a library that waits itself.
	MayRest bool
	// Detached says that the stack is a greenlet's own and so does not show the loop it may be
	// part of. Besides the greenlet loops SQLAlchemy's asyncio support makes such stacks.
	Detached bool
	// Root is the index of the loop's frame nearest the leaf, from which outwards a stack stays
	// the same from iteration to iteration; -1 where no frame of the loop is there. Of nested
	// loops it is the outer one's.
	Root int
	// Forked says that the process was forked inside a loop of its parent, whose frames are still on the
	// stack. The parent runs that loop, this process does not.
	Forked bool
	// Ending says that the interpreter itself called the outermost frame as it shut down.
	Ending bool
}

// Inside reports whether the stack lies inside the loop of the given kind that is known to run
// on its thread. A uvloop without visible frames cannot be told this way: there the stack at
// the loop's own wait has to be compared.
func (v Verdict) Inside(kind Kind) bool {
	return v.Running || v.Detached || kind.Greenlets() && !v.Ending
}

// Classify judges one stack, innermost frame first. mods may be nil, which leaves uvloop and
// detached stacks unrecognised.
//
// A uvloop has no frames of its own. Where it was started by asyncio.run, uvloop.run or the
// like, that frame stands for it. Where a program calls run_until_complete itself, or a thread's target is run_forever,
// nothing is there: the verdict at any wait is then AtRest without Running, unless the leaf is one of the standard library's
// that may wait itself, or MayRest where it is an installed package's. The caller has to hold later stacks against it.
func Classify(frames []model.Frame, mods Modules) Verdict {
	s := make(stack, len(frames))
	for i := range frames {
		s[i] = site{frames[i].File, lastName(frames[i].Function)}
	}
	if began := slices.IndexFunc(s, forkedBegin.has); began >= 0 {
		v := s[:began+1].classify(mods)
		v.Forked = slices.ContainsFunc(s[began+1:], isLoop)
		v.MayRest = v.MayRest && !v.Forked // what asyncio has of the thread may be the parent's
		return v
	}
	return s.classify(mods)
}

// ClassifyForked judges a stack whose outermost frames, inherited of them, are the parent's of a process
// forked inside a loop. Only a loop that is seen on the others is its own.
func ClassifyForked(frames []model.Frame, inherited int, mods Modules) Verdict {
	v := Classify(frames[:len(frames)-inherited], mods)
	if !v.Running {
		v = Verdict{Root: -1}
	}
	v.Forked = true
	return v
}

// isLoop reports whether a frame is one that stays on the stack while a loop runs.
func isLoop(f site) bool {
	return asyncioStart.has(f) || slices.ContainsFunc(loops, func(l loop) bool { return l.anchors.has(f) })
}

// classify judges a stack all of which the process has called itself.
func (s stack) classify(mods Modules) Verdict {
	for i := len(s) - 1; i >= 0; i-- { // the outermost loop counts
		for n := range loops {
			if l := &loops[n]; l.anchors.has(s[i]) {
				return s.judge(l, i)
			}
		}
	}
	if len(s) > 0 && endings.has(s[len(s)-1]) {
		return Verdict{Root: -1, Ending: true}
	}
	has := func(dir string) bool { return mods != nil && mods.Extension(dir) }
	if has(extUVLoop) {
		if v, ok := s.uvloop(); ok {
			return v
		}
	}
	if len(s) > 0 && (has(extGevent) || has(extGreenlet) || s.greenletOnTop()) && !threadRoots.has(s[len(s)-1]) && !forkedBegin.has(s[len(s)-1]) {
		return Verdict{Detached: true, Root: -1}
	}
	if has(extUVLoop) && !has(extGevent) && len(s) > 0 {
		if !isLibrary(s[0].file) || targetCallers.has(s[0]) {
			return Verdict{Kind: UVLoop, AtRest: true, Root: -1}
		}
		if name, _ := Package(s[0].file); name != "" {
			return Verdict{Kind: UVLoop, MayRest: true, Root: -1}
		}
	}
	return Verdict{Root: -1}
}

// site is a frame as loops are known by: its file and its function's own name.
type site struct{ file, function string }

type stack []site

// judge looks at the loop whose outermost anchor is s[at].
func (s stack) judge(l *loop, at int) Verdict {
	root := at
	for root > 0 && l.continues(s[root-1]) {
		root--
	}
	v := Verdict{Kind: l.kind, Running: true, Root: root}
	if l.kind == Asyncio {
		v.Kind = s.startedBy(at)
	}
	v.AtRest = l.rests(s, root)
	if !v.AtRest && l.kind == Asyncio {
		// nest_asyncio runs the same loop again further in.
		if again := slices.IndexFunc(s[:root], nestedRunOnce.has); again >= 0 {
			v.AtRest = l.rests(s, again)
		}
	}
	return v
}

// startedBy tells whose an asyncio loop is, from who called the anchor at.
func (s stack) startedBy(at int) Kind {
	for _, f := range s[at+1:] {
		if asyncioStart.has(f) {
			continue
		}
		for _, b := range borrowers {
			if b.start.has(f) {
				return b.kind
			}
		}
		break
	}
	return Asyncio
}

// uvloop looks for the frame that called into the compiled loop.
func (s stack) uvloop() (Verdict, bool) {
	for i := len(s) - 1; i >= 0; i-- {
		kind := Kind("")
		if asyncioStart.has(s[i]) {
			kind = UVLoop
		}
		for _, b := range borrowers {
			if b.start.has(s[i]) {
				kind = b.kind
			}
		}
		if kind == "" {
			continue
		}
		for i > 0 && asyncioStart.has(s[i-1]) {
			i--
		}
		return Verdict{Kind: kind, Running: true, AtRest: i == 0, Root: i}, true
	}
	return Verdict{}, false
}

// greenletOnTop recognises greenlets where the greenlet module was not seen to be mapped.
func (s stack) greenletOnTop() bool {
	return strings.HasSuffix(s[len(s)-1].file, "/eventlet/greenthread.py")
}

// lastName strips the qualification: "Kernel.run.<locals>.step" is "step".
func lastName(qualified string) string {
	return qualified[strings.LastIndexByte(qualified, '.')+1:]
}

// Culprit returns the frame to name for what happens inside a loop, given the frames inside it: the innermost one of the
// application, or else of the package that the frameworks there called, or else the innermost one that is no machinery of a
// loop. It is nil where a loop calls no Python function, as with call_soon(time.sleep, 1): the line that started the loop is
// not to blame. Code without a file, such as the methods of a dataclass, is nobody's to look up: the line that called it is
// named instead, unless there is none, as in what "python -c" runs.
func Culprit(inside []model.Frame) *model.Frame {
	if f := innermost(inside, func(f model.Frame) bool { return f.App && !withoutFile(f.File) }); f != nil {
		return f
	}
	if f := innermost(inside, func(f model.Frame) bool { return f.App }); f != nil {
		return f
	}
	if f := installedCulprit(inside); f != nil {
		return f
	}
	return innermost(inside, func(f model.Frame) bool { return f.File != "" && !IsMachinery(f) })
}

func innermost(frames []model.Frame, wanted func(model.Frame) bool) *model.Frame {
	if i := slices.IndexFunc(frames, wanted); i >= 0 {
		return &frames[i]
	}
	return nil
}

// withoutFile reports whether code was compiled from no file: "<string>", "<attrs generated init app.Order>".
func withoutFile(file string) bool { return strings.HasPrefix(file, "<") }

// Leaf returns the innermost frame. Frames without a file, which stand for what could not be read, are passed over where
// there are others. It is nil for an empty stack.
func Leaf(frames []model.Frame) *model.Frame {
	for i := range frames {
		if frames[i].File != "" {
			return &frames[i]
		}
	}
	if len(frames) > 0 {
		return &frames[0]
	}
	return nil
}
