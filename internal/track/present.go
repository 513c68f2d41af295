// SPDX-License-Identifier: Apache-2.0

package track

import (
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/python"
)

// Present is what one loop is like at a moment of the observation.
type Present struct {
	Loop       model.Loop         // who it is, without its statistics
	Statistics *probes.Statistics // since it was first seen; IdleNS, ActiveNS and MaxNS up to that moment
	Waiting    bool               // for events; or else it is active
	Since      int64              // when that began, CLOCK_MONOTONIC nanoseconds
	Block      *model.Block       // that is going on, nil if none is
	EndedNS    int64              // time in blocks before it in the same active period
}

// Present looks at every loop at the time now (CLOCK_MONOTONIC nanoseconds, not in the future), in
// the middle of the observation. To be called now and then: once a second is often enough to follow
// it, and cheap.
func (c *Tracker) Present(now int64) ([]Present, error) {
	before, err := c.kernel.Threads()
	if err != nil {
		return nil, err
	}
	statistics, err := c.kernel.AllStatistics(c.slots.Used())
	if err != nil {
		return nil, err
	}
	out := make([]Present, 0, len(before))
	threads := make([]probes.Thread, 0, len(before))
	for _, k := range before {
		t := c.threads[k.TID]
		if t == nil || !t.isLoop() {
			continue
		}
		c.delayed.Flush(t.tid) // who follows a loop does not wait for the events that a block has delayed
		out, threads = append(out, Present{Loop: t.row(), Statistics: statistics[t.slot]}), append(threads, k)
	}
	after, err := c.kernel.Threads()
	if err != nil {
		return nil, err
	}
	states := make(map[int]probes.Thread, len(after))
	for _, k := range after {
		states[k.TID] = k
	}
	for i := range out {
		p := &out[i]
		t := c.threads[threads[i].TID]
		k, err := c.settled(t, p, threads[i], states[t.tid])
		if err != nil {
			return nil, err
		}
		p.Statistics.IdleNS += t.fix.Apply(p.Statistics)
		p.Waiting, p.Since = k.AtRest(), k.Since
		p.Statistics.LateNS += k.LateNow(now).NS
		p.Statistics.AddOpen(&k, max(now-k.Since, 0))
		if !c.mayBlock(t, k, now, c.opts.Threshold) {
			continue
		}
		var samples []*wire.Sample
		if t.period == openNumber(k) {
			samples = t.samples
		}
		j := c.judgeOpen(t, k, samples, now)
		if p.Block = j.Ongoing; p.Block != nil {
			if p.Block.InWait { // it has begun in the wait
				p.Waiting, p.Since = false, p.Block.StartNS
			}
			for _, b := range j.Blocks {
				p.EndedNS += b.DurationNS
			}
		}
	}
	return out, nil
}

// settled returns a state of the thread that belongs to the statistics in p, and reads both again where
// the loop went on to another period or wait in between: a period that ends between the two reads would
// count twice or not at all. A loop that keeps doing so has only just begun with what it does, so there is
// little to count.
func (c *Tracker) settled(t *thread, p *Present, before, after probes.Thread) (probes.Thread, error) {
	same := func() bool {
		return before.InWait == after.InWait && before.Period == after.Period && before.Since == after.Since
	}
	for range 3 {
		if same() || after.TID == 0 {
			break
		}
		before = after
		statistics, err := c.kernel.Statistics(t.slot)
		if err != nil {
			return after, err
		}
		again, ok, err := c.kernel.Thread(t.tid)
		if err != nil {
			return after, err
		}
		p.Statistics, after = statistics, again
		if !ok {
			return before, nil // it has ended
		}
	}
	return before, nil
}

// SetThreshold changes how long an active period has to be for a block. The kernel has to be told
// first.
func (c *Tracker) SetThreshold(to time.Duration) { c.opts.Threshold = to }

// Losses adds up everything that was given up so far, in the kernel and here.
func (c *Tracker) Losses() (model.Lost, error) { return c.losses() }

// Unsupported lists the Python processes that cannot be watched, those that do not answer at present included.
func (c *Tracker) Unsupported() []model.Unsupported {
	out := c.unwatched.All()
	for _, p := range c.procs {
		if p.Silent() {
			out = append(out, model.Unsupported{PID: p.PID, Command: p.Command, Reason: python.SilentReason})
		}
	}
	return out
}
