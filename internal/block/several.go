// SPDX-License-Identifier: Apache-2.0

package block

import "github.com/loopwatch/loopwatch/internal/model"

// part is what one of several callbacks of a period took, with shorter ones beside it.
type part struct {
	period
	boundaryNS int64 // how far off its begin or its end may be
}

// several returns the parts of a period in which more than one callback took as long as the threshold. It returns nil
// where that cannot be shown.
func (e *Evidence) several(p *period) []part {
	groups := groupRuns(e.Loop.runs(p), e.ThresholdNS)
	if len(groups) == 0 {
		return nil
	}
	out := make([]part, 0, len(groups))
	pieces, before, start, doubt := p.pieces, p.before, p.start, int64(0)
	for i := range groups {
		g, last := &groups[i], i+1 == len(groups)
		x := part{period{start: start, end: p.end, before: before, seeded: p.seeded && i == 0}, doubt}
		if !last {
			x.end = groups[i+1].start
			doubt = max(x.end-g.last, groups[i+1].first-x.end)
			x.boundaryNS = max(x.boundaryNS, doubt)
		}
		own := 0
		for own < len(pieces) && (last || pieces[own].sample.AtNS < x.end) {
			own++
		}
		x.pieces, pieces = pieces[:own:own], pieces[own:]
		to := p.waitsTo()
		if !last {
			to = before
			if own > 0 && len(pieces) > 0 {
				to = waitsBetween(x.pieces[own-1].sample, pieces[0].sample, x.end)
			}
		}
		x.sumUp(to)
		out = append(out, x)
		before, start = to, x.end
	}
	return out
}

// waitsBetween returns the kernel's sums at a time between two samples.
func waitsBetween(a, b *Sample, at int64) waits {
	from, to := a.AtNS, b.AtNS
	if a.Kind == Off {
		from = min(from+a.NS, at)
	}
	w := a.waits()
	if b.Kind == Off || from >= to { // what it waited for after its sleep is among its own
		return w
	}
	share := float64(at-from) / float64(to-from)
	return waits{w.ns + int64(share*float64(b.WaitedNS-w.ns)), w.throttledNS + int64(share*float64(b.ThrottledNS-w.throttledNS))}
}

// blocksOf returns the blocks of a part that is long enough.
func (e *Evidence) blocksOf(p *period) []model.Block {
	active := p.withoutLate()
	parts := e.several(&active)
	if parts == nil {
		return []model.Block{e.block(*p)}
	}
	if p.late.NS > 0 {
		parts[0].addLate(p.late)
	}
	out := make([]model.Block, 0, len(parts))
	for _, x := range parts {
		b := e.block(x.period)
		b.Period, b.PeriodNS, b.BoundaryNS = p.number(), p.length(), x.boundaryNS
		out = append(out, b)
	}
	return out
}

// number tells p from all others of its loop: the microsecond at which it began.
func (p *period) number() uint64 { return uint64(p.start) / 1000 }

// run is a stretch of a period in which nothing shows that one callback followed another.
type run struct {
	first, last int64 // when its callback was certainly running, for the first time and the last
	start, end  int64 // where it is taken to begin and end: halfway to its neighbours
	keptNS      int64 // it had no CPU, or was stopped
	latest      *piece
	callback    *piece // the latest whose callback is known, nil none
}

// tells reports whether a piece shows anything about its callback.
func (p *piece) tells() bool {
	return p.callback.id != 0 || p.entry.Known || p.sample.Callback.Frame != 0
}

// runs divides a period where the callback changes.
func (l *Loop) runs(p *period) []run {
	var out []run
	until := p.asleepUntil()
	for i := range p.pieces {
		x := &p.pieces[i]
		if !x.tells() {
			continue
		}
		at := l.runOf(out, x)
		if at == len(out) {
			out = append(out, run{first: x.sample.AtNS})
		}
		out = out[:at+1]
		r := &out[at]
		r.last, r.latest = until[i], x
		if x.stopped() {
			r.keptNS += x.sample.NS
		}
		if x.callback.id != 0 {
			r.callback = x
		}
	}
	waited := p.before.ns
	for i := range out {
		out[i].start, out[i].end = p.start, p.end
		to := out[i].latest.sample.WaitedNS
		if i+1 == len(out) {
			to = p.waitsTo().ns
		}
		out[i].keptNS += max(to-waited, 0)
		waited = max(to, waited)
		if i > 0 {
			before := &out[i-1]
			before.last = min(before.last, out[i].first)
			before.end = before.last + (out[i].first-before.last)/2
			out[i].start = before.end
		}
	}
	return out
}

// runOf returns the index of the run that a piece behind them belongs to, which is len(runs) where it begins another.
func (l *Loop) runOf(runs []run, x *piece) int {
	n := len(runs)
	if n == 0 {
		return 0
	}
	if x.callback.id != 0 {
		for i := n - 1; i >= 0; i-- { // nothing of others can have been in the middle of it
			if runs[i].callback != nil {
				if _, same := l.apart(runs[i].callback, x); same {
					return i
				}
			}
		}
		if known := runs[n-1].callback; known != nil {
			if different, _ := l.apart(known, x); different {
				return n
			}
			return n - 1
		}
	}
	if different, _ := l.apart(runs[n-1].latest, x); different {
		return n
	}
	return n - 1
}

// asleepUntil returns for each piece the time until which its stack certainly stood: of a stretch off the CPU its end,
// unless short stretches before it make up part of its time.
func (p *period) asleepUntil() []int64 {
	out := make([]int64, len(p.pieces))
	off, slept := int64(0), int64(0) // at the piece before: off the CPU in the period up to it, and in it
	for i := range p.pieces {
		s := p.pieces[i].sample
		out[i] = s.AtNS
		now := s.AtNS - p.start - s.CPUNS
		if i == 0 && !p.whole {
			off = now
		}
		if p.pieces[i].isOff() {
			carried := min(max(now-off-slept, 0), s.NS)
			slept = s.NS - carried
			out[i] += slept
		} else {
			slept = 0
		}
		off = now
	}
	return out
}

// group is a long run with the short ones beside it, or many short ones.
type group struct {
	start       int64
	first, last int64 // when what it is about was certainly running
}

// groupRuns puts runs together so that each group takes the threshold. It returns nil where fewer than two runs do
// alone. Short ones go with the long one before them, those at the beginning with the first, and those that reach the
// threshold together stand for themselves.
func groupRuns(runs []run, threshold int64) []group {
	var out []group
	long, from := 0, 0 // from is the first run that is in no group
	rest := func(to int) bool {
		if from == to || runs[to-1].end-runs[from].start < threshold {
			return false
		}
		out = append(out, group{runs[from].start, runs[from].first, runs[to-1].last})
		from = to
		return true
	}
	for i := range runs {
		r := &runs[i]
		if !r.reaches(threshold) {
			continue
		}
		long++
		if !rest(i) && len(out) > 0 {
			from = i
		}
		out = append(out, group{runs[from].start, r.first, r.last})
		from = i + 1
	}
	if long < 2 {
		return nil
	}
	rest(len(runs))
	return out
}

// reaches reports whether a run takes as long as the threshold. Where its neighbours leave much open it is not known to.
// One that had no CPU for nearly all of its time is as short as the others: it could have been any of them.
func (r *run) reaches(threshold int64) bool {
	took := r.end - r.start
	return took >= threshold && took-(r.end-r.last) >= threshold*3/4 && took-r.keptNS >= threshold/4
}
