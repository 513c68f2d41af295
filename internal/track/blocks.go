// SPDX-License-Identifier: Apache-2.0

package track

import (
	"time"

	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/delayed"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/python"
)

// earlyBlock is a block that ended before its thread was judged.
type earlyBlock struct {
	block   *wire.Block
	samples []*wire.Sample
}

const maxEarly = 16

// onSample keeps a sample for the end of its period.
func (c *Tracker) onSample(s *wire.Sample) {
	t := c.threads[s.TID]
	switch {
	case t == nil:
		c.lost[reasonOrphan]++
	case s.Period < t.period: // of a block whose record was lost
	case s.Period > t.period:
		c.forgetSamples(t, s.Period)
		c.addSample(t, s)
	default:
		c.addSample(t, s)
	}
	if t != nil && t.slot != probes.NoSlot && s.Period == t.period {
		t.name(s, python.RawFrames(&s.Stack))
		c.findCalled(t, s)
		c.holder(t, s)
		c.meetReleaser(s.Holder)
	}
}

// addSample keeps a sample of the period that a thread is in, if there is room for it.
func (c *Tracker) addSample(t *thread, s *wire.Sample) {
	if len(t.samples) >= maxPending || len(t.samples) > 0 && c.frames+len(s.Stack.Frames) > maxFrames {
		c.lost[reasonSamples]++
		return
	}
	t.samples = append(t.samples, s)
	c.frames += len(s.Stack.Frames)
}

// forgetSamples has a thread keep none until those of this period come.
func (c *Tracker) forgetSamples(t *thread, period uint64) {
	for _, s := range t.samples {
		c.frames -= len(s.Stack.Frames)
	}
	t.period, t.samples = period, nil
}

// takeSamples hands over the samples of one period.
func (c *Tracker) takeSamples(t *thread, period uint64) []*wire.Sample {
	if t.period != period {
		return nil
	}
	samples := t.samples
	c.forgetSamples(t, period)
	return samples
}

func (c *Tracker) onBlock(b *wire.Block) {
	t := c.threads[b.TID]
	if t == nil {
		return // never announced as a thread of a Python process
	}
	samples := c.takeSamples(t, b.Period)
	if !t.isLoop() {
		switch {
		case b.Exited, t.verdict == probes.Pending && len(t.early) >= maxEarly:
			c.lost[reasonUnjudged]++
		case t.verdict == probes.Pending:
			t.early = append(t.early, earlyBlock{b, samples})
		}
		return
	}
	c.finishBlock(t, b, samples)
}

// settle deals with the blocks that had to wait for the verdict.
func (c *Tracker) settle(t *thread) {
	if !t.isLoop() && t.verdict == probes.Pending {
		return
	}
	early := t.early
	t.early = nil
	if !t.isLoop() {
		return
	}
	for _, e := range early {
		c.finishBlock(t, e.block, e.samples)
	}
}

// finishBlock judges an ended period and keeps what of it was a block.
func (c *Tracker) finishBlock(t *thread, b *wire.Block, samples []*wire.Sample) {
	e := c.endedPeriod(t, b, samples)
	c.record(e)
	c.delayed.Flush(t.tid)
	t.ended = b.Period
	j := block.Judge(e)
	c.learn(t, j.Learned)
	t.fix.Enter(j.Correction)
	if j.LoopUnseen {
		c.doubt(t)
	}
	for _, found := range j.Blocks {
		ready := delayed.Block{Block: found, Number: b.Period, Last: found.StartNS+found.DurationNS == b.End, Loop: t.loop.Kind}
		if b.ReadyAt > 0 {
			ready.OldestNS = max(b.End-b.ReadyAt, 0)
		}
		c.delayed.Add(t.tid, ready)
	}
	if j.Unnamable {
		c.lost[reasonUnnamable]++ // it may have been the loop's time or not
	}
}

// learn keeps what the stacks of a period have taught about a loop and tells the kernel: it counts the sleep of the code
// object at rest as idle from now on, and looks for callbacks inside their caller.
func (c *Tracker) learn(t *thread, l block.Learned) {
	if l.RestCode != 0 {
		t.loop.RestCode = l.RestCode
	}
	if l.CallerCode != 0 {
		t.loop.Caller, t.loop.CallerCode = l.Caller, l.CallerCode
	}
	if l.RestCode != 0 || l.CallerCode != 0 {
		c.configure(t)
	}
}

func (c *Tracker) record(e *block.Evidence) {
	if c.opts.Record != nil {
		c.opts.Record(e)
	}
}

// judgeOpen judges the period that a thread is in. samples are those sent so far.
func (c *Tracker) judgeOpen(t *thread, k probes.Thread, samples []*wire.Sample, now int64) block.Judgement {
	return c.judgeNow(t, c.openPeriod(t, k, samples, now))
}

func (c *Tracker) judgeNow(t *thread, e *block.Evidence) block.Judgement {
	j := block.Judge(e)
	c.learn(t, j.Learned)
	return j
}

// finishOpen reports the blocks of the period that a thread is in when the observation ends. It enters the
// parts that have ended into the corrections of the loop's statistics, and returns the length of the last part.
func (c *Tracker) finishOpen(t *thread, k probes.Thread, now int64) (openNS int64) {
	openNS = max(now-k.Since, 0)
	if !c.mayBlock(t, k, now, c.opts.Threshold) {
		return openNS
	}
	e := c.openPeriod(t, k, c.takeSamples(t, openNumber(k)), now)
	c.record(e)
	j := c.judgeNow(t, e)
	t.fix.Enter(j.Correction)
	for _, b := range j.Blocks {
		c.emit(b)
	}
	if j.Ongoing != nil && !t.reported.is(openNumber(k), j.Ongoing.StartNS, c.opts.Threshold) {
		c.emit(*j.Ongoing)
	}
	if k.InWait {
		return openNS
	}
	return j.OpenNS
}

// openNumber returns the number of the period that a thread is in, or that comes after its wait.
func openNumber(k probes.Thread) uint64 {
	if k.InWait {
		return k.Period + 1
	}
	return k.Period
}

// mayBlock reports whether the period that a thread is in, with its late wait, is long enough for a block that is not told yet.
func (c *Tracker) mayBlock(t *thread, k probes.Thread, now int64, limit time.Duration) bool {
	return t.ended != openNumber(k) && openFor(k, now) >= limit
}

// openFor returns for how long a thread has been outside its wait, or late in it, or both, with an iteration that is joined.
func openFor(k probes.Thread, now int64) time.Duration {
	ns := k.Before(now).NS
	if !k.InWait {
		ns += max(now-k.Since, 0)
	}
	return time.Duration(ns)
}

// ongoingAfter is how long a block goes on past the threshold before it is reported ahead of its end:
// most have ended by then.
const ongoingAfter = 200 * time.Millisecond

// reportOngoing reports a block before it has ended, once. Where it turns out to be the next of several, that is reported,
// too: it is looked again each time the period has grown by a quarter.
func (c *Tracker) reportOngoing(t *thread, k probes.Thread, now int64) {
	open := openFor(k, now)
	if c.opts.Ongoing == nil || !t.isLoop() || !c.mayBlock(t, k, now, c.opts.Threshold+ongoingAfter) ||
		t.reported.period == openNumber(k) && open < t.reported.again {
		return
	}
	var samples []*wire.Sample
	if t.period == openNumber(k) {
		samples = t.samples
	}
	if b := c.judgeOpen(t, k, samples, now).Ongoing; b != nil {
		again := t.reported.is(openNumber(k), b.StartNS, c.opts.Threshold)
		t.reported = reported{openNumber(k), b.StartNS, open + max(c.opts.Threshold+ongoingAfter, open/4)}
		if !again {
			c.opts.Ongoing(*b)
		}
	}
}

func (c *Tracker) emit(b model.Block) {
	c.blockCount++
	c.opts.Emit(b)
}
