// SPDX-License-Identifier: Apache-2.0

package track

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/loopwatch/loopwatch/internal/cpython/locate"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/python"
)

// Discover finds every Python process there is, as far as it gets until ctx is done. Processes that start later announce themselves.
func (c *Tracker) Discover(ctx context.Context) error {
	pids, err := c.candidates()
	if err != nil {
		return err
	}
	c.check(c.kernel.SetProcess(c.opts.Self, probes.Ignored))
	var done atomic.Int64
	also := func(o python.Opened) {
		if o.Process != nil {
			findTasksAhead(o.Process)
		}
		if n := done.Add(1); c.opts.Looking != nil {
			c.opts.Looking(int(n), len(pids))
		}
	}
	for i, o := range c.python.OpenAll(ctx, pids, also) {
		if o.Process != nil || o.Refusal != nil {
			c.meet(pids[i], o)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return c.refusal()
}

// candidates lists the processes to look at now.
func (c *Tracker) candidates() ([]int, error) {
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

// refusal says why none of the processes asked for can be watched, if so.
func (c *Tracker) refusal() error {
	if len(c.opts.PIDs) == 0 || len(c.procs) > 0 || c.opts.Children {
		return nil
	}
	for _, pid := range c.opts.PIDs {
		if _, refusal := c.python.Open(pid); refusal != nil && refusal.Kind() != python.Starting && refusal.Kind() != python.Silent {
			return refusal.Answer(python.Watch)
		}
	}
	return nil
}

// meet enters what came of opening a process; it returns nil where the process is not to be watched.
func (c *Tracker) meet(pid int, o python.Opened) *proc {
	if o.Refusal != nil {
		c.turnAway(o.Refusal)
		return nil
	}
	if known := c.procs[pid]; known != nil { // it was asked for twice
		return known
	}
	p := newProc(o.Process, c.kernel.ThreadPointers)
	if err := c.layouts.AddStacks(&p.layouts, &p.Runtime.Layout); err != nil {
		c.refuseLayout(o.Process, err)
		return nil
	}
	c.procs[pid] = p
	c.met++
	c.opts.Log.Info("process watched", "pid", pid, "python", p.Runtime.Version, "command", p.Command)
	c.check(c.kernel.SetPython(pid, kernelInterp(p.Interpreter(p.FirstInterpreter())), p.layouts.Stacks()))
	return p
}

// turnAway tells the kernel what to do about a process that is not to be watched, and lists it if it is, or may be, a
// Python.
func (c *Tracker) turnAway(r *python.Refusal) {
	switch u, kind := r.Row(python.Watch); kind {
	case python.Unsupported:
		c.refuse(u, nil)
	case python.NotPython:
		c.check(c.kernel.SetProcess(r.PID, probes.Ignored))
	case python.Starting, python.Gone:
		c.check(c.kernel.ForgetProcess(r.PID))
	case python.Silent:
		c.lost[reasonSilent]++
		u.Maybe = !locate.Named(r.PID)
		c.refuse(u, r)
	default:
		c.refuse(u, r)
	}
}

// refuse lists a process as one that cannot be watched. retry, which may be nil, says when it is worth another try.
func (c *Tracker) refuse(u model.Unsupported, retry *python.Refusal) {
	c.ignore(u)
	c.unwatched.Refused(u, retry)
}

// refuseLayout lists a process whose layout the kernel does not take. Where there is no room for it, that is until there is.
func (c *Tracker) refuseLayout(p *python.Process, err error) {
	c.lost[reasonLayouts]++
	u := model.Unsupported{PID: p.PID, Command: p.Command, Reason: err.Error()}
	if !errors.Is(err, probes.ErrLayouts) {
		c.refuse(u, nil)
		return
	}
	c.ignore(u)
	c.unwatched.Crowded(u)
}

// ignore has the kernel side ignore a process that is not watched.
func (c *Tracker) ignore(u model.Unsupported) {
	c.check(c.kernel.SetProcess(u.PID, probes.Ignored))
	c.opts.Log.Info("process not watched", "pid", u.PID, "command", u.Command, "reason", u.Reason)
}

// TakeLooks goes on with the processes that have been looked at beside the events. It returns when to call it again: the zero
// time where no look is under way.
func (c *Tracker) TakeLooks(now time.Time) (next time.Time) { return c.looks.Take(now, c.looked) }

// lookAt opens a process, on a goroutine of its own.
func (c *Tracker) lookAt(pid int) (*python.Process, *python.Refusal) {
	p, refusal := c.python.Open(pid)
	if p != nil {
		p.TryStack()
	}
	return p, refusal
}

// looked enters a process that has been looked at, and judges its threads.
func (c *Tracker) looked(pid int, o python.Opened, waits []*wire.Wait, held []wire.Event) {
	p := c.meet(pid, o)
	for _, w := range waits {
		if p != nil {
			c.onWait(w)
		} else {
			c.leaveThread(w.TID)
		}
	}
	for _, e := range held {
		c.Handle(e)
	}
}

// process returns the Python process with this id, looking at it if it is new; nil if it is
// none or cannot be watched, or, with known false, if the look at it has not ended.
func (c *Tracker) process(pid int) (p *proc, known bool) {
	if p := c.procs[pid]; p != nil {
		if p.Same() {
			return p, true
		}
		c.check(c.kernel.ForgetProcess(pid)) // its end was missed, and the process id is used again
		c.forgetProcess(pid)
	}
	if pid == c.opts.Self {
		return nil, true
	}
	if listed, again := c.unwatched.Listed(pid); listed {
		if !again {
			return nil, true
		}
		c.unwatched.Drop(pid)
	}
	if !c.looks.Ask(pid, c.looked) {
		return nil, false
	}
	return c.procs[pid], true
}

func (c *Tracker) onExit(e *wire.Exit) {
	c.endThread(e.TID)
	if e.Last {
		c.forgetProcess(e.PID)
	}
}

// endThread forgets a thread that has ended.
func (c *Tracker) endThread(tid int) {
	if t := c.threads[tid]; t != nil {
		if t.isLoop() {
			c.endLoop(t, nil, 0, 0)
		} else {
			c.lost[reasonUnjudged] += int64(len(t.early))
		}
		c.dropThread(tid)
	}
}

// forgetProcess drops a process that ended or became another program.
func (c *Tracker) forgetProcess(pid int) {
	c.looks.Drop(pid)
	if c.unwatched.Drop(pid).Maybe {
		c.lost[reasonOpaque]++ // it is no longer listed
	}
	p := c.procs[pid]
	if p == nil {
		return
	}
	for reason, n := range p.failures() {
		c.lost[reason] += n
	}
	c.opts.Log.Info("process ended", "pid", pid)
	c.usdt.Release(p.probed)
	p.probed = nil
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
	if c.layouts.Release(&p.layouts) {
		c.unwatched.Room()
	}
}
