// SPDX-License-Identifier: Apache-2.0

package dump

import (
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// status is what a thread turned out to be.
type status struct {
	kind   eventloop.Kind // of the loop it runs, "" none
	idle   bool           // in the loop's own wait
	atWait bool           // on its way into that or out of it
	inside int            // so many of the innermost frames lie inside the loop; all of them without one
	// since is when its state began, CLOCK_MONOTONIC nanoseconds, 0 not known; with atLeast it may have begun
	// before.
	since   int64
	atLeast bool
}

// judge reports whether a thread runs a loop, whether that is at rest, and since when.
func (l *look) judge(p *proc, t *thread) {
	v := p.FindLoop(python.Stack{Raw: t.raw, Frames: t.frames, Main: t.kernel.TID == p.PID}, l.known)
	rests := (v.AtRest || v.MayRest) && !t.kernel.Running && !t.kernel.Stopped && syscalls.Lookup(t.kernel.Syscall).MayRest()
	out := status{inside: len(t.frames)}
	switch {
	case v.Running:
		out.kind, out.idle, out.atWait, out.inside = v.Kind, rests, v.AtRest && t.kernel.Running, v.Root
	case v.Kind == eventloop.UVLoop && !v.Running && !v.Forked: // started by the program itself: no frame of its own
		if t.loop != 0 && (v.AtRest || p.isUVLoop(t)) {
			waits := syscalls.Lookup(t.kernel.Syscall).Object == syscalls.Epoll // it never does otherwise
			out.kind, out.idle = v.Kind, rests && waits && t.running == nil
		}
	case v.Forked: // what it knows of a loop is its parent's
	case t.loop != 0 && p.isUVLoop(t):
		out.kind = eventloop.UVLoop
	case v.Detached:
		switch {
		case p.Modules.Extension("gevent"):
			out.kind = eventloop.Gevent
		case slices.ContainsFunc(t.frames, isEventlet):
			out.kind = eventloop.Eventlet
		}
	}
	switch {
	case out.kind == "" || out.idle:
		out.since, out.atLeast = t.kernel.Since, false
	default:
		out.since = p.iterationBegan(t)
		if out.since == 0 {
			// It has slept in this call since then, and was outside its wait before that, too.
			out.since, out.atLeast = t.kernel.Since, true
		}
	}
	t.status = out
}

// known says what the dump knows of a process already, as python.Process.FindLoop asks.
func (l *look) known(pid int) python.Known {
	at := slices.IndexFunc(l.procs, func(p *proc) bool { return p.PID == pid })
	if at < 0 {
		return python.Known{}
	}
	k := python.Known{Process: l.procs[at].Process}
	for _, t := range l.procs[at].threads {
		if t.loop != 0 {
			k.Loops = append(k.Loops, python.LoopThread{State: t.state.Addr})
		}
	}
	return k
}

func isEventlet(f model.Frame) bool { return strings.Contains(f.File, "/eventlet/") }

func (p *proc) isUVLoop(t *thread) bool {
	i := p.interps[t.state.Interp]
	return i != nil && i.tasks != nil && i.tasks.IsUVLoop(p.Memory, t.loop)
}

// iterationBegan returns when the iteration of asyncio's loop began that a thread is in, 0 where that cannot be told.
// Once it has waited, _run_once keeps the time by which timers are due, which is the time then, in a local
// variable, by the clock of time.monotonic.
func (p *proc) iterationBegan(t *thread) int64 {
	at := -1
	for i, f := range t.frames { // of nested loops, nest_asyncio's innermost iterates
		if f.Function != "_run_once" && !strings.HasSuffix(f.Function, "._run_once") {
			continue
		}
		if at < 0 || !strings.HasSuffix(t.frames[at].File, "/nest_asyncio.py") {
			at = i
		}
	}
	if at < 0 || at >= len(t.addrs) {
		return 0
	}
	object, err := p.Runtime.Local(p.Memory, t.addrs[at], t.raw[at].Code, "end_time")
	if err != nil || object == 0 {
		return 0
	}
	if !p.Runtime.IsBuiltin(p.Memory, object, "float") {
		return 0
	}
	seconds, err := p.Runtime.Float(p.Memory, object)
	if err != nil {
		return 0
	}
	began, ok := p.kernelTime(seconds)
	if !ok {
		return 0
	}
	const clockSteps = 1000 // ns: a double's precision after some years of uptime, and the loop's own resolution
	began -= clockSteps
	// A program may have a clock of its own for its loop.
	latest := t.kernel.At
	if t.kernel.Since != 0 {
		latest = t.kernel.Since + kernelTick
	}
	if began > latest {
		return 0
	}
	return began
}

// kernelTime returns what a time of the process's time.monotonic is by CLOCK_MONOTONIC here, in nanoseconds. ok is false where it is no
// such time, or the process is in a time namespace of which that is not known.
func (p *proc) kernelTime(seconds float64) (ns int64, ok bool) {
	if !(seconds > 0 && seconds < 1e9) {
		return 0, false
	}
	ahead, err := p.ClockOffset()
	return int64(seconds*1e9) - ahead, err == nil
}

// kernelTick is how late listing.Thread.Since may be.
const kernelTick = int64(10e6)
