// SPDX-License-Identifier: Apache-2.0

package block

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
)

// period is an active period, or what is left of one after its rests were cut out.
type period struct {
	start, end  int64
	offNS       int64 // off the CPU
	waitedNS    int64 // of that, runnable without a CPU
	throttledNS int64 // of that, held back by a quota
	stoppedNS   int64 // of offNS, stopped
	before      waits // in the kernel's period before this part of it
	late        Late  // at the beginning: inside the wait
	whole       bool  // these are the kernel's own exact sums
	seeded      bool  // it was going on when it was first seen: start is when that was
	pieces      []piece
	account     *Account // nil where the interpreter's own probes said nothing
}

// waits is time for which a thread waited for a CPU, and of that the time for which a quota held it back.
type waits struct{ ns, throttledNS int64 }

func (s *Sample) waits() waits { return waits{s.WaitedNS, s.ThrottledNS} }

// waitsTo returns the kernel's sums at the end of p.
func (p *period) waitsTo() waits {
	return waits{p.before.ns + p.waitedNS, p.before.throttledNS + p.throttledNS}
}

// period returns the whole period, with its samples judged.
func (e *Evidence) period() period {
	return period{
		start: e.StartNS, end: e.EndNS, offNS: e.OffNS, waitedNS: e.WaitedNS, throttledNS: e.ThrottledNS, stoppedNS: e.StoppedNS,
		whole: true, seeded: e.Seeded, pieces: e.pieces(), account: e.Account,
	}
}

func (p *period) length() int64 { return p.end - p.start }

// split cuts a period at the pieces in which the loop rested or did not run, and returns the
// parts in between and the time cut out. A part next to one in which the loop did not run has to
// show for itself that the loop did.
func (p *period) split() (parts []period, restNS int64) {
	if !slices.ContainsFunc(p.pieces, func(x piece) bool { return x.outside }) {
		return []period{*p}, 0
	}
	part := period{start: p.start, before: p.before, seeded: p.seeded}
	covered := p.start // everything before belongs to a part or a rest
	doubtful := false
	finish := func(end int64, endsDoubtful bool) {
		part.end = max(end, part.start)
		if !seen(part.pieces) && (doubtful || endsDoubtful) {
			restNS += part.length()
			return
		}
		to := p.waitsTo()
		if n := len(part.pieces); end != p.end && n > 0 {
			to = part.pieces[n-1].sample.waits()
		}
		part.sumUp(to)
		parts = append(parts, part)
	}
	for _, x := range p.pieces {
		from, to := x.sample.AtNS, x.sample.AtNS
		if x.isOff() {
			to = min(to+x.sample.NS, p.end)
		} else {
			from = covered
		}
		if x.outside {
			finish(from, !x.atRest)
			restNS += to - from
			part, doubtful = period{start: to, before: x.sample.waits()}, !x.atRest
		} else {
			part.pieces = append(part.pieces, x)
		}
		covered = max(covered, to)
	}
	finish(p.end, false)
	return parts, restNS
}

// sumUp adds up the time off the CPU of a part, as far as its pieces show it. to are the kernel's sums at its end.
func (p *period) sumUp(to waits) {
	for i := range p.pieces {
		x := &p.pieces[i]
		if x.isOff() {
			p.offNS += x.sample.NS
		}
		if x.stopped() {
			p.stoppedNS += x.sample.NS
		}
	}
	p.waitedNS, p.throttledNS = max(to.ns-p.before.ns, 0), max(to.throttledNS-p.before.throttledNS, 0)
	p.offNS = min(p.offNS+p.waitedNS, p.length())
}

// seen reports whether any of the stacks is there: what can no longer be walked is a thread whose
// interpreter is shutting down.
func seen(pieces []piece) bool {
	return slices.ContainsFunc(pieces, func(x piece) bool { return len(x.sample.Frames) > 0 })
}

// withoutEnding returns the period without what a thread did after its loop had ended, such as the last collection of
// an interpreter that shuts down: time at the end of a period, and of the thread, in which samples
// have no Python frame, or in which for as long as limit there was none. A loop that is killed while it
// computes or sleeps has left its stack shortly before.
func (p period) withoutEnding(limit int64) period {
	last, pieces := p.start, len(p.pieces)
	for i := range p.pieces {
		x := &p.pieces[i]
		if len(x.sample.Frames) == 0 || x.outside && !x.atRest {
			continue
		}
		end := x.sample.AtNS
		if x.isOff() {
			end += x.sample.NS
		}
		last, pieces = max(last, min(end, p.end)), i+1
	}
	if pieces == len(p.pieces) && p.end-last < limit {
		return p
	}
	after := Sample{AtNS: last, NS: p.end - last, WaitedNS: p.waitedNS, ThrottledNS: p.throttledNS}
	if pieces > 0 { // what was waited for after it is left out, too
		before := p.pieces[pieces-1].sample
		after.WaitedNS, after.ThrottledNS = before.WaitedNS, before.ThrottledNS
	}
	p.pieces = append(p.pieces[:pieces:pieces], piece{sample: &after, cause: model.CauseUnknown, outside: true})
	return p
}
