// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"cmp"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/symbolize"
)

// piece is one sample with its stack named and judged.
type piece struct {
	sample   *probes.Sample
	frames   []model.Frame
	task     string // the asyncio task running, empty where none was seen
	culprit  *model.Frame
	cause    model.Cause
	native   string
	ns       int64 // share of the period
	outside  bool  // the loop rested, or did not run at all
	raw      []cpython.RawFrame
	atRest   bool
	callback callback
	// function is what the loop called, as function and file; empty where that is not seen.
	function model.Frame
	holder   *model.Holder // nil where it is not known
}

func (p *piece) isOff() bool { return p.sample.Kind == probes.Off }

func (p *piece) stopped() bool { return p.isOff() && p.cause == model.CauseStopped }

func (p *piece) leaf() *model.Frame {
	if len(p.frames) == 0 {
		return nil
	}
	return &p.frames[0]
}

// pieces names and judges samples, in time order.
func (t *thread) pieces(samples []*probes.Sample) []piece {
	out := make([]piece, 0, len(samples))
	for _, s := range samples {
		p := piece{sample: s, raw: rawFrames(&s.Stack), ns: s.NS}
		n := t.name(s, p.raw)
		p.frames, p.task = n.frames, n.task
		p.holder = t.holder(s)
		if len(p.frames) > 0 {
			v := t.proc.classifyOwn(p.raw, p.frames)
			inside, atRest := t.place(p.raw, v)
			inside = inside || illegible(p.frames) && t.onCaller(p.raw)
			p.atRest = atRest && p.isOff() && restful(s)
			p.function = functionOf(p.frames, v.Root)
			p.callback = t.callbackOf(s, p.frames)
			p.outside = p.atRest || !s.Stack.Partial && !inside
			p.culprit, _ = eventloop.Culprit(p.frames)
		}
		if p.isOff() {
			p.cause = t.offCause(s, p.leaf())
		} else {
			p.cause, p.native = t.tickCause(s, p.leaf())
		}
		if !p.cause.BlamesLine() {
			p.culprit = nil
		} else if cause, ok := roomCauses[s.Room]; ok {
			p.cause = cause
		} else if collects(s) {
			p.cause = model.CauseGC
		} else if importing(p.frames) {
			p.cause = model.CauseImport
		}
		out = append(out, p)
	}
	slices.SortStableFunc(out, func(a, b piece) int { return cmp.Compare(a.sample.At, b.sample.At) })
	return out
}

// name names the stack of a sample, once: the sooner the better. A frame without a file stands
// for a middle that was cut.
func (t *thread) name(s *probes.Sample, raw []cpython.RawFrame) naming {
	if g := t.glimpseOf(s.Period, s.At); g != nil && slices.Equal(raw, g.raw) {
		return g.named
	}
	if t.inNamed != s.Period || t.named == nil {
		t.inNamed, t.named, t.holders = s.Period, make(map[int64]naming), nil
	}
	if known, ok := t.named[s.At]; ok && len(known.frames) == len(raw)+min(s.Stack.Cut, 1) {
		return known
	}
	frames := t.proc.resolver.Frames(raw)
	if s.Stack.Cut > 0 && s.Stack.CutAt <= len(frames) {
		frames = slices.Insert(frames, s.Stack.CutAt, symbolize.CutMarker(s.Stack.Cut))
	}
	n := naming{frames, t.taskName(s, frames)}
	if len(t.named) < maxPending {
		t.named[s.At] = n
	}
	return n
}

// learnRest tells the kernel of a code object that sleeps instead of waiting (eventlet's hub
// without descriptors), so that it books such sleep as idle from now on.
func (c *Correlator) learnRest(t *thread, pieces []piece) {
	for _, p := range pieces {
		if p.atRest && p.cause == model.CauseSleep && len(p.raw) > 0 && p.raw[0].Code != t.restCode {
			t.restCode = p.raw[0].Code
			c.configure(t)
			return
		}
	}
}
