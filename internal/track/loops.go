// SPDX-License-Identifier: Apache-2.0

package track

import (
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/python"
)

// endLoop makes a loop's row out of its statistics and frees its place. k is its thread's present
// state, nil where it has ended, and openNS how long that has gone on.
func (c *Tracker) endLoop(t *thread, k *probes.Thread, now, openNS int64) {
	c.delayed.Flush(t.tid)
	c.opts.Log.Info("event loop ended", "pid", t.proc.PID, "tid", t.tid, "loop", t.loop.Kind)
	defer func() { t.slot = probes.NoSlot }()
	defer c.slots.Give(t.slot)
	if c.opts.DropEnded {
		return
	}
	statistics, err := c.kernel.Statistics(t.slot)
	if err != nil {
		c.check(err)
		return
	}
	if len(c.ended) >= maxEndedLoops {
		c.lost[reasonEnded]++
		return
	}
	statistics.IdleNS += t.fix.Apply(statistics)
	if k != nil {
		statistics.LateNS += k.LateNow(now).NS
		statistics.AddOpen(k, openNS)
		statistics.AddUnrested(k, now, int64(c.opts.Threshold))
	}
	l := t.row()
	l.Iterations, l.IdleNS, l.LateNS, l.ActiveNS = statistics.Iterations, statistics.IdleNS, statistics.LateNS, statistics.ActiveNS
	l.IterationNS, l.ReadyDelayNS = statistics.Periods(), statistics.ReadyDelay()
	l.UnrestedNS = model.Unrested{Total: statistics.UnrestedNS, Max: statistics.UnrestedMaxNS}
	c.ended = append(c.ended, l)
}

// row says who a loop is.
func (t *thread) row() model.Loop {
	return model.Loop{
		PID: t.proc.PID, TID: t.tid, Command: t.proc.Command, Python: t.proc.Runtime.Version.String(),
		Loop: string(t.loop.Kind), Container: t.proc.Container, Unit: t.proc.Unit,
		USDT: t.proc.probed.Kinds(),
	}
}

// Identify says who the loop of a thread is. To be called from within Options.Emit and Ongoing.
func (c *Tracker) Identify(tid int) model.Loop {
	if t := c.threads[tid]; t != nil {
		return t.row()
	}
	return model.Loop{TID: tid}
}

// Poll looks at the blocks going on right now, in case the kernel did not report one. Call it
// a few times a second.
func (c *Tracker) Poll(now int64) error {
	open, err := c.kernel.Threads()
	if err != nil {
		return err
	}
	for _, k := range open {
		if t := c.threads[k.TID]; t != nil && c.mayBlock(t, k, now, c.opts.Threshold) {
			c.nameOpen(t, k)
			c.reportOngoing(t, k, now)
		}
	}
	c.usdt.Limit(now)
	return nil
}

func (c *Tracker) onHalfBlock(e *wire.HalfBlock) {
	t := c.threads[e.TID]
	if t == nil {
		return
	}
	k, ok, err := c.kernel.Thread(e.TID)
	if err != nil || !ok {
		return
	}
	c.nameOpen(t, k)
	if !t.isLoop() && !k.InWait {
		c.judgeInside(t)
	}
}

// nameOpen names the stacks of a period while it goes on: the process may be killed in the
// middle, and the code of a module is gone as soon as it has been imported.
func (c *Tracker) nameOpen(t *thread, k probes.Thread) {
	if t.slot == probes.NoSlot || k.InWait {
		return
	}
	held, err := c.kernel.HeldSamples(k, k.OffAt)
	if err != nil {
		c.check(err)
		return
	}
	for _, s := range held {
		t.name(s, python.RawFrames(&s.Stack))
		c.holder(t, s)
		c.findCalled(t, s)
	}
	c.glimpseNow(t, k)
}
