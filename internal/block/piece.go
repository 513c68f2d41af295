// SPDX-License-Identifier: Apache-2.0

package block

import (
	"cmp"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// piece is one sample, judged.
type piece struct {
	sample   *Sample
	culprit  *model.Frame
	cause    model.Cause
	native   string // the module of native code
	ns       int64  // share of the period, in what share returns
	outside  bool   // the loop rested, or did not run at all
	atRest   bool
	callback callback
	// function is what the loop called, as function and file; empty where that is not seen.
	function model.Frame
	entry    eventloop.Entry
}

func (p *piece) isOff() bool { return p.sample.Kind == Off }

func (p *piece) stopped() bool { return p.isOff() && p.cause == model.CauseStopped }

func (p *piece) leaf() *model.Frame {
	if len(p.sample.Frames) == 0 {
		return nil
	}
	return &p.sample.Frames[0]
}

// pieces judges the samples, in time order.
func (e *Evidence) pieces() []piece {
	out := make([]piece, 0, len(e.Samples))
	for i := range e.Samples {
		out = append(out, e.Loop.judge(&e.Samples[i]))
	}
	slices.SortStableFunc(out, func(a, b piece) int { return cmp.Compare(a.sample.AtNS, b.sample.AtNS) })
	return out
}

func (l *Loop) judge(s *Sample) piece {
	p := piece{sample: s}
	innermost := len(s.Frames)
	if len(s.Frames) > 0 {
		stack := s.classify()
		innermost = l.innermost(s, stack)
		inside, atRest := l.place(s.Raw, stack)
		inside = inside || illegible(s.Frames) && l.onCaller(s.Raw)
		// What is stopped there is out of its wait already, or the kernel would have counted it as that.
		p.atRest = atRest && p.isOff() && !s.Sleep.Stopped && syscalls.Lookup(s.Sleep.Number).MayRest()
		p.function = functionOf(s.Frames, stack.Root)
		p.callback = l.callbackOf(s)
		p.entry = l.entryOf(s, innermost)
		p.outside = p.atRest || !s.Partial && !inside
	}
	p.cause, p.native = s.cause()
	p.cause, p.culprit = cause.Blame(p.cause, p.isOff(), s.Busy, s.Frames[:innermost])
	return p
}

// classify tells which loop the frames belong to.
func (s *Sample) classify() eventloop.Verdict {
	if s.Inherited > 0 && s.Inherited <= len(s.Frames) {
		return eventloop.ClassifyForked(s.Frames, s.Inherited, extensions(s.Extensions))
	}
	return eventloop.Classify(s.Frames, extensions(s.Extensions))
}

// extensions are modules that are mapped.
type extensions []string

func (x extensions) Extension(dir string) bool { return slices.Contains(x, dir) }

// cause says what the thread slept in or ran, and the module if that is native code. It does not depend yet on what the
// interpreter was busy with.
func (s *Sample) cause() (c model.Cause, native string) {
	if s.Kind == Off {
		return cause.OfSleep(s.Sleep, s.Frames), ""
	}
	run := cause.Run{Module: s.Module, Interpreter: s.Interpreter, GIL: s.Busy.GIL}
	if s.Sleep.Number >= 0 {
		run.Kernel = &s.Sleep
	}
	return cause.OfRun(run, s.Frames)
}

// mainNative names the native code that most native time was spent in.
func mainNative(pieces []piece) string {
	module := mainModule(pieces)
	ns := make(map[string]int64) // by function
	for i := range pieces {
		if p := &pieces[i]; p.native == module {
			ns[p.sample.Function] += max(p.ns, 1)
		}
	}
	return cause.NativeCode(module, cause.MainFunction(ns))
}

// mainModule returns the module that most native time was spent in.
func mainModule(pieces []piece) string {
	ns := make(map[string]int64)
	for i := range pieces {
		if p := &pieces[i]; p.native != "" {
			ns[p.native] += p.ns
		}
	}
	return cause.MainModule(ns)
}
