// SPDX-License-Identifier: Apache-2.0

package track

import (
	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/python"
)

// onWait judges a thread that waits on a descriptor nobody has judged.
func (c *Tracker) onWait(w *wire.Wait) {
	p, known := c.process(w.PID)
	if p == nil {
		if known || !c.looks.Keep(w) { // or the kernel will ask again
			c.leaveThread(w.TID)
		}
		return
	}
	t := c.threads[w.TID]
	if t == nil || t.proc != p {
		c.dropThread(w.TID)
		t = &thread{proc: p, tid: w.TID, slot: probes.NoSlot}
		c.threads[w.TID] = t
	}
	walked := t.state.Addr
	if w.Stack == nil || !cpython.IsThread(w.ThreadID, t.state.ThreadID) || walked == 0 || t.shared {
		if !t.findState(w.ThreadID) {
			c.refuseThread(t, w.FD)
			return
		}
	}
	if w.Stack != nil && t.state.Addr == walked { // not in another interpreter since
		c.judge(t, w.FD, python.RawFrames(w.Stack))
		return
	}
	here, ok := c.walkHere(t)
	switch {
	case ok && here.thread.InWait:
		c.judge(t, here.thread.WaitFD, here.raw)
	case ok && c.insideLoop(t, here.raw):
		c.judge(t, -1, here.raw)
		c.lookAgain(t)
	case ok && w.FD < 0: // in no wait and in no loop: one of a program's other threads
		c.leaveThread(w.TID)
	default: // the kernel can walk from now on, and will ask again
		if t.slot == probes.NoSlot {
			// It may be a loop in a block already: with a place for samples its stacks are kept.
			_ = c.assignSlot(t) // without one it is judged all the same
		}
		c.configure(t)
		c.lookAgain(t)
	}
}

// insideLoop reports whether a stack seen outside a wait is inside a loop.
func (c *Tracker) insideLoop(t *thread, raw []cpython.RawFrame) bool {
	v := c.findLoop(t, raw, t.proc.Names.Frames(raw))
	return v.Running || c.bareLoop(t, v) != ""
}

// findLoop finds out which loop of its process's own a thread is in.
func (c *Tracker) findLoop(t *thread, raw []cpython.RawFrame, frames []model.Frame) eventloop.Verdict {
	return t.proc.FindLoop(t.stack(raw, frames), c.known)
}

// known says what is known already of a process, as python.Process.FindLoop asks.
func (c *Tracker) known(pid int) python.Known {
	p := c.procs[pid]
	if p == nil {
		return python.Known{}
	}
	k := python.Known{Process: p.Process}
	for _, t := range c.threads {
		if t.proc == p && t.isLoop() {
			k.Loops = append(k.Loops, python.LoopThread{State: t.state.Addr, Since: t.loopSince})
		}
	}
	return k
}

// lookAgain looks at a thread that may have fallen asleep just before the kernel was told how to
// walk it.
func (c *Tracker) lookAgain(t *thread) {
	k, ok, err := c.kernel.Thread(t.tid)
	if err != nil || !ok || !sleepsUnseen(k) {
		return
	}
	if t.glimpseOf(k.Period, k.OffAt) == nil {
		c.judgeInside(t)
	}
}

// judgeInside looks at a thread outside its wait. If it is not yet known as a loop and its stack is inside
// one, it is judged.
func (c *Tracker) judgeInside(t *thread) {
	if here, ok := c.walkHere(t); ok && !t.isLoop() && !here.thread.InWait && c.insideLoop(t, here.raw) {
		c.judge(t, -1, here.raw)
	}
}

// refuseThread ignores a thread that has no Python thread state.
func (c *Tracker) refuseThread(t *thread, fd int) {
	if fd < 0 {
		c.leaveThread(t.tid)
		return
	}
	t.verdict = probes.Ignored
	t.fds.Set(fd, probes.Ignored)
	c.configure(t)
}

// judge decides from the stack of a wait whether it is a loop's own.
func (c *Tracker) judge(t *thread, fd int, raw []cpython.RawFrame) {
	frames := t.proc.Names.Frames(raw)
	v := c.findLoop(t, raw, frames)
	// Deeper in than the loop's own wait: that of something a callback uses.
	at := addresses(raw)
	deeper := t.loop.Kind == eventloop.UVLoop && !v.Running && len(at) > len(t.loop.Anchor) && len(t.loop.Anchor) > 0 && t.loop.OnAnchor(at)
	bare := eventloop.Kind("")
	if fd < 0 {
		bare = c.bareLoop(t, v)
	}
	atRest := v.AtRest && v.Kind != "" || fd >= 0 && v.MayRest && c.runsUVLoop(t)
	switch {
	case fd >= 0 && atRest && !deeper:
		if v.Kind == eventloop.UVLoop && t.loop.IsInside(block.Codes(at)) { // what was taken for its own wait was that of something a callback uses
			t.fds = nil
		}
		t.loop.Kind, t.verdict = v.Kind, probes.Watched
		t.loop.Anchor, t.loop.Bare = block.Codes(at), false
		t.loop.Caller, t.loop.CallerCode = block.FindCaller(at, frames, v.Kind)
		t.fds.Set(fd, probes.Watched)
	case v.Running && !t.isLoop(): // a loop, but this is no wait of its own
		t.loop.Kind, t.verdict = v.Kind, probes.Pending
		t.learnCaller(at, frames)
		t.fds.Set(fd, probes.Ignored)
	case t.isLoop():
		t.fds.Set(fd, probes.Ignored)
	case bare != "":
		t.loop.Kind, t.verdict, t.loop.Bare = bare, probes.Pending, true
		t.learnCaller(at, frames)
	default:
		t.verdict = probes.Ignored
		t.fds.Set(fd, probes.Ignored)
	}
	if t.loop.Kind != "" && t.slot == probes.NoSlot {
		if err := c.assignSlot(t); err != nil {
			c.lost[reasonLoops]++
			c.opts.Log.Warn("event loop not watched", "pid", t.proc.PID, "tid", t.tid, "error", err)
			t.verdict, t.loop.Kind = probes.Ignored, ""
		}
	}
	if !t.isLoop() {
		c.releaseSlot(t)
	}
	c.configure(t)
	if t.isLoop() {
		if t.loopSince == 0 {
			t.loopSince = process.Now()
			if !t.proc.startKnown {
				t.proc.startKnown = true
				t.proc.LearnStart()
			}
			c.opts.Log.Info("event loop found", "pid", t.proc.PID, "tid", t.tid, "loop", t.loop.Kind)
		}
		if t.proc.probed == nil {
			t.proc.probed = c.usdt.Use(t.proc.Process)
		}
	}
	c.settle(t)
}

// doubt has a thread's waits judged anew: its stacks no longer show the loop that it ran.
func (c *Tracker) doubt(t *thread) {
	t.loop.Anchor, t.loop.Bare, t.fds, t.verdict = nil, false, nil, probes.Pending
	c.configure(t)
}

func (c *Tracker) assignSlot(t *thread) error {
	slot, ok := c.slots.Take(t.proc.PID)
	if !ok {
		return errTooManyLoops
	}
	if err := c.kernel.ClearStatistics(slot); err != nil {
		c.slots.Give(slot)
		return err
	}
	t.slot = slot
	return nil
}

// releaseSlot takes the place in the maps back from a thread that turns out to be no loop.
func (c *Tracker) releaseSlot(t *thread) {
	if t.slot != probes.NoSlot {
		c.slots.Give(t.slot)
		t.slot = probes.NoSlot
	}
}

// dropThread forgets a thread; of a loop the statistics are kept, see endLoop.
func (c *Tracker) dropThread(tid int) {
	if t := c.threads[tid]; t != nil {
		c.forgetSamples(t, 0)
		c.releaseSlot(t)
		delete(c.threads, tid)
	}
}

// leaveThread forgets a thread, here and in the kernel.
func (c *Tracker) leaveThread(tid int) {
	c.dropThread(tid)
	c.check(c.kernel.ForgetThread(tid))
}

// configure sends the kernel what is known of a thread.
func (c *Tracker) configure(t *thread) {
	if t.isLoop() {
		c.findTasks(t)
	}
	layout, running := t.proc.layouts.Stacks(), uint64(0)
	if t.canNameTasks() {
		layout, running = t.tasks.layout, t.tasks.reader.Current
	}
	c.check(c.kernel.SetThread(probes.ThreadConfig{
		TID: t.tid, Verdict: t.verdict, TState: t.state.Addr, ThreadID: t.state.ThreadID, RestCode: t.loop.RestCode, Caller: t.loop.CallerCode,
		Interp: kernelInterp(t.interp), Tasks: running, Layout: layout, Slot: t.slot, FDs: t.fds,
	}))
}
