// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"slices"
	"time"

	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/symbolize"
)

// earlyBlock is a block that ended before its thread was judged.
type earlyBlock struct {
	block   *probes.Block
	samples []*probes.Sample
}

const maxEarly = 16

// onSample keeps a sample for the end of its period.
func (c *Correlator) onSample(s *probes.Sample) {
	t := c.threads[s.TID]
	switch {
	case t == nil:
		c.lost[reasonOrphan]++
	case s.Period < t.period: // of a block whose record was lost
	case s.Period > t.period:
		t.period, t.samples = s.Period, []*probes.Sample{s}
	case len(t.samples) >= maxPending:
		c.lost[reasonSamples]++
	default:
		t.samples = append(t.samples, s)
	}
	if t != nil && t.slot != probes.NoSlot && s.Period == t.period {
		t.name(s, rawFrames(&s.Stack))
		c.holder(t, s)
		c.meetReleaser(s.Holder)
	}
}

// takeSamples hands over the samples of one period.
func (t *thread) takeSamples(period uint64) []*probes.Sample {
	if t.period != period {
		return nil
	}
	samples := t.samples
	t.samples = nil
	return samples
}

func (c *Correlator) onBlock(b *probes.Block) {
	t := c.threads[b.TID]
	if t == nil {
		return // never announced as a thread of a Python process
	}
	samples := t.takeSamples(b.Period)
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
func (c *Correlator) settle(t *thread) {
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
func (c *Correlator) finishBlock(t *thread, b *probes.Block, samples []*probes.Sample) {
	p := period{
		start: b.Start, end: b.End, whole: true,
		offNS: b.OffNS, waitedNS: b.WaitedNS, throttledNS: b.ThrottledNS, stoppedNS: b.StoppedNS,
		pieces: c.pieces(t, t.complete(b.Period, samples, b.Stackless)), inside: t.takeInside(b.Period), seeded: b.Seeded,
	}
	c.flush(t)
	t.ended = b.Period
	if b.Exited && !seen(p.pieces) {
		// A thread that ends goes on for a while after its loop has: nothing shows that
		// this was the loop's time.
		return
	}
	doubtful := slices.ContainsFunc(p.pieces, func(x piece) bool { return x.outside && illegible(x.frames) })
	if b.Exited {
		p.leaveOutEnding(int64(c.opts.Threshold))
	}
	c.learnRest(t, p.pieces)
	c.learnCallerInside(t, p.pieces)
	parts, rest := p.split()
	if !p.whole || len(parts) != 1 {
		t.fix.replace(b.End-b.Start, parts, rest)
	}
	if t.kind == eventloop.UVLoop && elsewhere(p.pieces) {
		c.doubt(t)
	}
	told := false
	for _, part := range parts {
		if part.end-part.start < int64(c.opts.Threshold) {
			continue
		}
		told = true
		ready := readyBlock{block: t.block(part, false), period: b.Period, last: part.end == b.End}
		if b.ReadyAt > 0 {
			ready.oldestNS = max(b.End-b.ReadyAt, 0)
		}
		c.makeReady(t, ready)
	}
	if !told && doubtful {
		c.lost[reasonUnnamable]++ // it may have been the loop's time or not
	}
}

// illegible tells whether a frame could not be read, which may have been the loop's.
func illegible(frames []model.Frame) bool {
	return slices.ContainsFunc(frames, func(f model.Frame) bool { return f.Function == symbolize.Unreadable })
}

// ongoing returns the block a thread is in, nil where it is in none. samples are those sent so far.
func (c *Correlator) ongoing(t *thread, k probes.Thread, samples []*probes.Sample, now int64) *model.Block {
	parts, _ := c.openParts(t, k, samples, now)
	return c.lastPart(t, parts, now)
}

// lastPart returns the block that the last part of an open period is, nil if it is none.
func (c *Correlator) lastPart(t *thread, parts []period, now int64) *model.Block {
	if len(parts) == 0 {
		return nil
	}
	last := parts[len(parts)-1]
	if last.end != now || last.end-last.start < int64(c.opts.Threshold) {
		return nil
	}
	b := t.block(last, true)
	return &b
}

// openParts cuts the period that a thread is in where the loop rested, and returns the parts and the time cut
// out. On the way it looks at a sleep that has no stack, and learns where the loop rests.
func (c *Correlator) openParts(t *thread, k probes.Thread, samples []*probes.Sample, now int64) ([]period, int64) {
	held, err := c.kernel.HeldSamples(k, now)
	if err != nil {
		c.check(err)
	}
	p := period{
		start: k.Since, end: now, whole: true,
		offNS: k.OffNS, waitedNS: k.WaitedNS, throttledNS: k.ThrottledNS, stoppedNS: k.StoppedNS, seeded: k.Seeded,
	}
	if k.OffAt != 0 {
		open := max(now-k.OffAt, 0)
		p.offNS += open
		if !k.Asleep {
			p.waitedNS += open
		}
		if !k.Asleep && k.Throttled {
			p.throttledNS += open
		}
		if k.Stopped {
			p.stoppedNS += open
		}
	}
	c.glimpseNow(t, k)
	p.pieces = c.pieces(t, t.complete(k.Period, slices.Concat(samples, held), k.Stackless))
	p.inside, err = c.kernel.Inside(k, now, p.offNS, p.waitedNS+p.stoppedNS)
	c.check(err)
	c.learnRest(t, p.pieces)
	return p.split()
}

// finishOpen reports the blocks of the period that a thread is in when the observation ends. It enters the
// parts that have ended into the corrections of the loop's books, and returns the length of the last part.
func (c *Correlator) finishOpen(t *thread, k probes.Thread, now int64) (openNS int64) {
	openNS = max(now-k.Since, 0)
	if k.InWait || t.ended == k.Period || openNS < int64(c.opts.Threshold) {
		return openNS
	}
	parts, rest := c.openParts(t, k, t.takeSamples(k.Period), now)
	if b := c.lastPart(t, parts, now); b != nil && t.told != k.Period {
		defer c.emit(*b)
	}
	t.fix.restNS += rest
	openNS = 0
	if n := len(parts); n > 0 && parts[n-1].end == now {
		openNS = now - parts[n-1].start
		parts = parts[:n-1]
	}
	for _, part := range parts {
		t.fix.added = append(t.fix.added, part.end-part.start)
		if part.end-part.start >= int64(c.opts.Threshold) {
			c.emit(t.block(part, false))
		}
	}
	return openNS
}

// ongoingAfter is how long a block goes on past the threshold before it is reported ahead of its end:
// most have ended by then.
const ongoingAfter = 200 * time.Millisecond

// tellOngoing reports a block before it has ended, once.
func (c *Correlator) tellOngoing(t *thread, k probes.Thread, now int64) {
	if c.opts.Ongoing == nil || !t.isLoop() || k.InWait || t.told == k.Period || now-k.Since < int64(c.opts.Threshold+ongoingAfter) {
		return
	}
	var samples []*probes.Sample
	if t.period == k.Period {
		samples = t.samples
	}
	if b := c.ongoing(t, k, samples, now); b != nil {
		t.told = k.Period
		c.opts.Ongoing(*b)
	}
}

// elsewhere tells whether all that was seen of a period lies outside the loop.
func elsewhere(pieces []piece) bool {
	return len(pieces) > 0 && !slices.ContainsFunc(pieces, func(x piece) bool { return !x.outside || x.atRest })
}

func (c *Correlator) emit(b model.Block) {
	c.blockCount++
	c.opts.Emit(b)
}
