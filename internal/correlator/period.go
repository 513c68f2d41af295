// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
)

// period is an active period, or what is left of one after its rests were cut out.
type period struct {
	start, end  int64
	offNS       int64 // off the CPU
	waitedNS    int64 // of that, runnable without a CPU
	throttledNS int64 // of that, held back by a quota
	stoppedNS   int64 // of offNS, stopped
	whole       bool  // these are the kernel's own exact sums
	seeded      bool  // it was going on when it was first seen: start is when that was
	pieces      []piece
	inside      *probes.Inside // what the interpreter's own probes said of it, nil if nothing
}

// split cuts a period at the pieces in which the loop rested or did not run, and returns the
// parts in between and the time cut out. A part next to one in which the loop did not run has to
// show for itself that the loop did.
func (p *period) split() (parts []period, restNS int64) {
	if !slices.ContainsFunc(p.pieces, func(x piece) bool { return x.outside }) {
		return []period{*p}, 0
	}
	p.whole = false
	part := period{start: p.start, seeded: p.seeded}
	covered := p.start // everything before belongs to a part or a rest
	// Sums of the kernel's up to where the part began.
	var waited, throttled int64
	doubtful := false
	finish := func(end int64, endsDoubtful bool) {
		end = max(end, part.start)
		if part.end = end; !seen(part.pieces) && (doubtful || endsDoubtful) {
			restNS += part.end - part.start
			return
		}
		for _, x := range part.pieces {
			if x.isOff() {
				part.offNS += x.sample.NS
			}
			if x.stopped() {
				part.stoppedNS += x.sample.NS
			}
		}
		waitedTo, throttledTo := p.waitedNS, p.throttledNS
		if n := len(part.pieces); end != p.end && n > 0 {
			waitedTo, throttledTo = part.pieces[n-1].sample.WaitedNS, part.pieces[n-1].sample.ThrottledNS
		}
		part.waitedNS, part.throttledNS = max(waitedTo-waited, 0), max(throttledTo-throttled, 0)
		part.offNS = min(part.offNS+part.waitedNS, part.end-part.start)
		parts = append(parts, part)
	}
	for _, x := range p.pieces {
		from, to := x.sample.At, x.sample.At
		if x.isOff() {
			to = min(to+x.sample.NS, p.end)
		} else {
			from = covered
		}
		if x.outside {
			finish(from, !x.atRest)
			restNS += to - from
			part, doubtful = period{start: to}, !x.atRest
			waited, throttled = x.sample.WaitedNS, x.sample.ThrottledNS
		} else {
			part.pieces = append(part.pieces, x)
		}
		covered = max(covered, to)
	}
	finish(p.end, false)
	return parts, restNS
}

// seen tells whether any of the stacks is there: what can no longer be walked is a thread whose
// interpreter is shutting down.
func seen(pieces []piece) bool {
	return slices.ContainsFunc(pieces, func(x piece) bool { return len(x.frames) > 0 })
}

// leaveOutEnding leaves out what a thread did after its loop had ended, such as the last collection of
// an interpreter that shuts down: time at the end of a period, and of the thread, in which samples
// have no Python frame, or in which for as long as limit there was none. A loop that is killed while it
// computes or sleeps has left its stack shortly before.
func (p *period) leaveOutEnding(limit int64) {
	last, pieces := p.start, len(p.pieces)
	for i := range p.pieces {
		x := &p.pieces[i]
		if len(x.frames) == 0 || x.outside && !x.atRest {
			continue
		}
		end := x.sample.At
		if x.isOff() {
			end += x.sample.NS
		}
		last, pieces = max(last, min(end, p.end)), i+1
	}
	if pieces == len(p.pieces) && p.end-last < limit {
		return
	}
	after := probes.Sample{Kind: probes.Off, At: last, NS: p.end - last, WaitedNS: p.waitedNS, ThrottledNS: p.throttledNS}
	if pieces > 0 { // what was waited for after it is left out, too
		before := p.pieces[pieces-1].sample
		after.WaitedNS, after.ThrottledNS = before.WaitedNS, before.ThrottledNS
	}
	p.pieces = append(p.pieces[:pieces:pieces], piece{sample: &after, cause: model.CauseUnknown, outside: true})
}

// share gives every piece its part of the duration and returns the split by cause, which adds up
// to it. Time off the CPU is exact: stopped, held back and waiting for a CPU are the kernel's own
// sums, and sleep goes to the stacks seen off the CPU. The rest goes to the ticks, each taking the
// CPU time since the one before. What the interpreter's own probes account for is shared among
// the stacks seen there.
func (p *period) share() map[model.Cause]int64 {
	duration := p.end - p.start
	offNS := min(max(p.offNS, 0), duration)
	waitedNS := min(max(p.waitedNS, 0), offNS)
	throttledNS := min(max(p.throttledNS, 0), waitedNS)
	stoppedNS := min(max(p.stoppedNS, 0), offNS-waitedNS)
	sleepNS := offNS - waitedNS - stoppedNS
	out := map[model.Cause]int64{model.CauseThrottled: throttledNS, model.CauseRunqueue: waitedNS - throttledNS}
	var stops []weighed
	for i := range p.pieces {
		if p.pieces[i].stopped() {
			stops = append(stops, weighed{i, p.pieces[i].sample.NS})
		}
	}
	out[model.CauseStopped] += p.apportion(stops, stoppedNS, out)
	for _, r := range p.rooms(sleepNS, duration-offNS) {
		out[r.asleep] += p.apportion(r.off, r.sleepNS, out)
		out[r.running] += p.apportion(r.ticks, r.cpuNS, out)
	}
	for cause, ns := range out {
		if ns == 0 {
			delete(out, cause)
		}
	}
	return out
}

// weighed is a piece, by its index, and what it weighs beside others.
type weighed struct {
	index  int
	weight int64
}

// apportion divides ns among pieces by weight, the last taking what rounding leaves over, and
// returns what is left where none weighs anything.
func (p *period) apportion(pieces []weighed, ns int64, out map[model.Cause]int64) (left int64) {
	var total int64
	for _, w := range pieces {
		total += w.weight
	}
	if total == 0 {
		return ns
	}
	left = ns
	for n, w := range pieces {
		x := &p.pieces[w.index]
		x.ns = min(int64(float64(w.weight)/float64(total)*float64(ns)), left)
		if n == len(pieces)-1 {
			x.ns = left
		}
		left -= x.ns
		out[x.cause] += x.ns
	}
	return left
}
