// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
)

// found is a process on its way to being known.
type found struct {
	pid     int
	proc    *proc
	command string
	err     error
}

// look opens a process and finds its interpreter, reading only.
func look(pid int) found {
	f := found{pid: pid}
	p, err := process.Open(pid)
	if err != nil {
		f.err = err
		return f
	}
	rt, err := cpython.Locate(p)
	if err != nil {
		f.command, f.err = p.Cmdline(), err
		return f
	}
	f.proc = newProc(p, rt)
	return f
}

// Discover finds every Python process there is. Processes that start later announce themselves.
func (c *Correlator) Discover() error {
	pids, err := c.candidates()
	if err != nil {
		return err
	}
	c.check(c.kernel.SetProcess(c.opts.Self, probes.Ignored))
	var done atomic.Int64
	also := func(f *found) {
		if f.err == nil {
			f.proc.findTasksAhead()
		}
		if n := done.Add(1); c.opts.Looking != nil {
			c.opts.Looking(int(n), len(pids))
		}
	}
	for _, f := range lookAll(pids, also) {
		c.meet(f)
	}
	return c.refusal()
}

// candidates lists the processes to look at now.
func (c *Correlator) candidates() ([]int, error) {
	if len(c.opts.PIDs) == 0 {
		pids, err := process.Scan()
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		return slices.DeleteFunc(pids, func(pid int) bool { return pid == c.opts.Self }), nil
	}
	pids := slices.Clone(c.opts.PIDs)
	if c.opts.Children {
		below, err := process.Descendants(pids)
		if err != nil {
			return nil, fmt.Errorf("list child processes: %w", err)
		}
		pids = append(pids, below...)
	}
	for _, pid := range pids {
		if err := c.kernel.Want(pid); err != nil {
			return nil, err
		}
	}
	return pids, nil
}

// lookAll looks at many processes at once, as far as there are CPUs. also, if there is one, is called with
// what was found of each, from several goroutines.
func lookAll(pids []int, also func(*found)) []found {
	out := make([]found, len(pids))
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				out[i] = look(pids[i])
				if also != nil {
					also(&out[i])
				}
			}
		})
	}
	for i := range pids {
		next <- i
	}
	close(next)
	wg.Wait()
	return out
}

// refusal says why none of the processes asked for can be watched, if so.
func (c *Correlator) refusal() error {
	if len(c.opts.PIDs) == 0 || len(c.procs) > 0 || c.opts.Children {
		return nil
	}
	for _, pid := range c.opts.PIDs {
		f := look(pid)
		if f.err != nil && !errors.Is(f.err, cpython.ErrNotReady) {
			reason, do := f.whyNot()
			return &PIDError{pid, reason, do}
		}
	}
	return nil
}

// unreadable tells whether look came to no answer.
func (f *found) unreadable() bool {
	return f.err != nil && !errors.As(f.err, new(*cpython.UnsupportedError)) &&
		!errors.Is(f.err, cpython.ErrNotPython) && !errors.Is(f.err, cpython.ErrNotReady)
}

// whyNot says why a process cannot be watched, and what to do.
func (f *found) whyNot() (reason, do string) {
	const other = "give the process id of a running Python process, or leave out --pid to watch all"
	var unsupported *cpython.UnsupportedError
	switch {
	case errors.As(f.err, &unsupported):
		return unsupported.Reason, "see the list of supported interpreters in the README"
	case errors.Is(f.err, cpython.ErrNotPython):
		return "it is not a Python process", other
	case errors.Is(f.err, cpython.ErrNotReady):
		return "its interpreter is just starting or ending", "nothing: it is looked at again as it goes on"
	case !process.Exists(f.pid):
		return "there is no such process", other
	}
	return probes.Unreadable(f.err)
}

// meet enters what look found; it returns nil where the process is not to be watched.
func (c *Correlator) meet(f found) *proc {
	var unsupported *cpython.UnsupportedError
	switch {
	case f.err == nil:
		layout, err := c.kernel.AddLayout(kernelLayout(&f.proc.runtime.Layout))
		if err != nil {
			c.refuse(f.pid, f.proc.command, err.Error())
			return nil
		}
		f.proc.layout, f.proc.kernel, f.proc.peers = layout, c.kernel, c.procs
		c.procs[f.pid] = f.proc
		c.met++
		c.check(c.kernel.SetPython(f.pid, f.proc.interp(f.proc.firstInterp()), layout))
		return f.proc
	case errors.As(f.err, &unsupported):
		c.refuse(f.pid, f.command, unsupported.Reason)
	case errors.Is(f.err, cpython.ErrNotPython):
		c.check(c.kernel.SetProcess(f.pid, probes.Ignored))
	case errors.Is(f.err, cpython.ErrNotReady):
		c.check(c.kernel.ForgetProcess(f.pid))
	case !process.Exists(f.pid):
		c.check(c.kernel.ForgetProcess(f.pid))
	default:
		reason, do := f.whyNot()
		c.refuse(f.pid, f.command, reason+"; "+do)
		u := c.unsupported[f.pid]
		u.Maybe = !cpython.Named(f.pid)
		c.unsupported[f.pid] = u
	}
	return nil
}

// refuse lists a Python process as one that cannot be watched.
func (c *Correlator) refuse(pid int, command, reason string) {
	c.check(c.kernel.SetProcess(pid, probes.Ignored))
	c.unsupported[pid] = model.Unsupported{PID: pid, Command: command, Reason: reason}
}

// process returns the Python process with this id, looking at it if it is new; nil if it is
// none or cannot be watched.
func (c *Correlator) process(pid int) *proc {
	if p := c.procs[pid]; p != nil {
		return p
	}
	if _, ok := c.unsupported[pid]; ok || pid == c.opts.Self {
		return nil
	}
	return c.meet(look(pid))
}

// onWait judges a thread that waits on a descriptor nobody has judged.
func (c *Correlator) onWait(w *probes.Wait) {
	p := c.process(w.PID)
	if p == nil {
		c.dropThread(w.TID)
		c.check(c.kernel.ForgetThread(w.TID))
		return
	}
	t := c.threads[w.TID]
	if t == nil || t.proc != p {
		c.dropThread(w.TID)
		t = &thread{proc: p, tid: w.TID, slot: probes.NoSlot}
		c.threads[w.TID] = t
	}
	if w.Stack == nil || !cpython.IsThread(w.ThreadID, t.state.ThreadID) || t.state.Addr == 0 {
		if !t.findState(w.ThreadID) {
			c.refuseThread(t, w.FD)
			return
		}
	}
	if w.Stack != nil {
		c.judge(t, w.FD, rawFrames(w.Stack))
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
		c.dropThread(w.TID)
		c.check(c.kernel.ForgetThread(w.TID))
	default: // the kernel can walk from now on, and will ask again
		if t.slot == probes.NoSlot {
			// It may be a loop in a block already: with a place for samples its stacks are kept.
			_ = c.giveSlot(t) // without one it is judged all the same
		}
		c.configure(t)
		c.lookAgain(t)
	}
}

// insideLoop tells whether a stack seen outside a wait is inside a loop.
func (c *Correlator) insideLoop(t *thread, raw []cpython.RawFrame) bool {
	v := c.classify(t, raw, t.proc.resolver.Frames(raw))
	return v.Running || c.bareLoop(t, v) != ""
}

// lookAgain looks at a thread that may have fallen asleep just before the kernel was told how to
// walk it.
func (c *Correlator) lookAgain(t *thread) {
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
func (c *Correlator) judgeInside(t *thread) {
	if here, ok := c.walkHere(t); ok && !t.isLoop() && !here.thread.InWait && c.insideLoop(t, here.raw) {
		c.judge(t, -1, here.raw)
	}
}

// refuseThread ignores a thread that has no Python thread state.
func (c *Correlator) refuseThread(t *thread, fd int) {
	if fd < 0 {
		c.dropThread(t.tid)
		c.check(c.kernel.ForgetThread(t.tid))
		return
	}
	t.verdict = probes.Ignored
	t.setFD(fd, probes.Ignored)
	c.configure(t)
}

// maxWalk bounds a walk from user space.
const maxWalk = 4096

// judge decides from the stack of a wait whether it is a loop's own.
func (c *Correlator) judge(t *thread, fd int, raw []cpython.RawFrame) {
	frames := t.proc.resolver.Frames(raw)
	v := c.classify(t, raw, frames)
	// Deeper in than the loop's own wait: that of something a callback uses.
	deeper := t.kind == eventloop.UVLoop && !v.Running && len(raw) > len(t.anchor) && len(t.anchor) > 0 && t.onAnchor(raw)
	bare := eventloop.Kind("")
	if fd < 0 {
		bare = c.bareLoop(t, v)
	}
	switch {
	case fd >= 0 && v.AtRest && v.Kind != "" && !deeper:
		t.kind, t.verdict = v.Kind, probes.Watched
		t.anchor, t.bare = slices.Clone(raw), false
		t.learnCaller(raw, frames)
		t.setFD(fd, probes.Watched)
	case v.Running && !t.isLoop(): // a loop, but this is no wait of its own
		t.kind, t.verdict = v.Kind, probes.Pending
		t.setFD(fd, probes.Ignored)
	case t.isLoop():
		t.setFD(fd, probes.Ignored)
	case bare != "":
		t.kind, t.verdict, t.bare = bare, probes.Pending, true
	default:
		t.verdict = probes.Ignored
		t.setFD(fd, probes.Ignored)
	}
	if t.kind != "" && t.slot == probes.NoSlot {
		if err := c.giveSlot(t); err != nil {
			c.lost[reasonLoops]++
			t.verdict, t.kind = probes.Ignored, ""
		}
	}
	if !t.isLoop() {
		c.takeSlot(t)
	}
	c.configure(t)
	if t.isLoop() {
		if t.loopSince == 0 {
			t.loopSince = ticksNow()
		}
		c.useProbes(t.proc)
	}
	c.settle(t)
}

// doubt has a thread's waits judged anew: its stacks no longer show the loop that it ran.
func (c *Correlator) doubt(t *thread) {
	t.anchor, t.bare, t.fds, t.verdict = nil, false, nil, probes.Pending
	c.configure(t)
}

func (c *Correlator) giveSlot(t *thread) error {
	slot, ok := c.slots.take()
	if !ok {
		return errTooManyLoops
	}
	if err := c.kernel.ClearBooks(slot); err != nil {
		c.slots.give(slot)
		return err
	}
	t.slot = slot
	return nil
}

// takeSlot takes the place of a thread that turns out to be no loop.
func (c *Correlator) takeSlot(t *thread) {
	if t.slot != probes.NoSlot {
		c.slots.give(t.slot)
		t.slot = probes.NoSlot
	}
}

// dropThread forgets a thread; of a loop the books are kept, see endLoop.
func (c *Correlator) dropThread(tid int) {
	if t := c.threads[tid]; t != nil {
		c.takeSlot(t)
		delete(c.threads, tid)
	}
}

// configure sends the kernel what is known of a thread.
func (c *Correlator) configure(t *thread) {
	if t.isLoop() {
		c.findTasks(t)
	}
	layout, running := t.proc.layout, uint64(0)
	if t.canNameTasks() {
		layout, running = t.tasks.layout, t.tasks.reader.Current
	}
	c.check(c.kernel.SetThread(probes.ThreadConfig{
		TID: t.tid, Verdict: t.verdict, TState: t.state.Addr, ThreadID: t.state.ThreadID, RestCode: t.restCode, Caller: t.callerCode,
		Interp: t.interp, Tasks: running, Layout: layout, Slot: t.slot, FDs: t.fds,
	}))
}

func (c *Correlator) onExit(e *probes.Exit) {
	if t := c.threads[e.TID]; t != nil {
		if t.isLoop() {
			c.endLoop(t, nil, 0, 0)
		} else {
			c.lost[reasonUnjudged] += int64(len(t.early))
		}
		c.dropThread(e.TID)
	}
	if e.Last {
		c.forgetProcess(e.PID)
	}
}

// forgetProcess drops a process that ended or became another program.
func (c *Correlator) forgetProcess(pid int) {
	if c.unsupported[pid].Maybe {
		c.lost[reasonOpaque]++ // it is no longer listed
	}
	delete(c.unsupported, pid)
	p := c.procs[pid]
	if p == nil {
		return
	}
	for reason, n := range p.failures() {
		c.lost[reason] += n
	}
	c.releaseProbes(p)
	for tid, t := range c.threads {
		if t.proc != p {
			continue
		}
		if t.isLoop() {
			c.endLoop(t, nil, 0, 0)
		}
		c.dropThread(tid)
	}
	delete(c.procs, pid)
}

// kernelLayout hands a layout to the walker.
func kernelLayout(l *cpython.Layout) probes.Layout {
	return probes.Layout{
		TstateThreadId: l.ThreadID, TstateFrame: l.ThreadFrame, ViaCframe: l.ViaCFrame, CframeFrame: l.CFrameFrame,
		FrameCode: l.FrameCode, FramePrevious: l.FrameBack, FrameInstr: l.FrameInstr, FrameOwner: l.FrameOwner,
		ShimOwners: l.ShimOwners, CodeTagMask: l.FrameCodeTag, InstrKind: uint32(l.InstrKind),
		// The two words that the walker makes cpython.CodeCheck of.
		CodeFile: l.CodeFile, CodeLine: l.CodeLine, CodeAdaptive: l.CodeInstrs, FrameLocals: l.FrameLocals,
		TstateNext: l.ThreadNext, GilSize: l.GILSize, GilLocked: l.GILLocked, GilHolder: l.GILLastHolder,
	}
}
