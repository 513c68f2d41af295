// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/report"
	"github.com/loopwatch/loopwatch/internal/symbolize"
	"github.com/loopwatch/loopwatch/internal/syscalls"
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
	if t != nil && t.isLoop() && s.Period == t.period {
		t.name(s, rawFrames(&s.Stack))
		t.holder(s)
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
		if b.Exited {
			c.lost[reasonUnjudged]++
		} else if t.verdict == probes.Pending && len(t.early) < maxEarly {
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
		pieces: t.pieces(t.withGlimpse(b.Period, b.OffNS-b.WaitedNS, samples)), inside: t.takeInside(b.Period),
	}
	c.flush(t)
	t.ended = b.Period
	if b.Exited && !seen(p.pieces) {
		// A thread that ends goes on for a while after its loop has: nothing shows that
		// this was the loop's time.
		return
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
	for _, part := range parts {
		if part.end-part.start < int64(c.opts.Threshold) {
			continue
		}
		ready := readyBlock{block: t.block(part, false), period: b.Period, last: part.end == b.End}
		if b.ReadyAt > 0 {
			ready.oldestNS = max(b.End-b.ReadyAt, 0)
		}
		c.makeReady(t, ready)
	}
}

// ongoing returns the block a thread is in, nil where it is in none. samples are those sent so far.
func (c *Correlator) ongoing(t *thread, k probes.Thread, samples []*probes.Sample, now int64) *report.Block {
	held, err := c.kernel.HeldSamples(k, now)
	if err != nil {
		c.check(err)
	}
	p := period{
		start: k.Since, end: now, whole: true,
		offNS: k.OffNS, waitedNS: k.WaitedNS, throttledNS: k.ThrottledNS, stoppedNS: k.StoppedNS,
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
	p.pieces = t.pieces(t.withGlimpse(k.Period, p.offNS-p.waitedNS, slices.Concat(samples, held)))
	p.inside, err = c.kernel.Inside(k, now, p.offNS, p.waitedNS+p.stoppedNS)
	c.check(err)
	parts, _ := p.split()
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

// tellOngoing tells of a block before it has ended, once.
func (c *Correlator) tellOngoing(t *thread, k probes.Thread, now int64) {
	if c.opts.Ongoing == nil || !t.isLoop() || k.InWait || t.told == k.Period || now-k.Since < int64(c.opts.Threshold) {
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

func (c *Correlator) emit(b report.Block) {
	c.blockCount++
	c.opts.Emit(b)
}

// piece is one sample with its stack named and judged.
type piece struct {
	sample   *probes.Sample
	frames   []report.Frame
	task     string // the asyncio task running, empty where none was seen
	culprit  *report.Frame
	cause    report.Cause
	native   string
	ns       int64 // share of the period
	outside  bool  // the loop rested, or did not run at all
	raw      []cpython.RawFrame
	atRest   bool
	callback callback
	// function is what the loop called, as function and file; empty where that is not seen.
	function report.Frame
	holder   *report.Holder // nil where it is not known
}

func (p *piece) isOff() bool { return p.sample.Kind == probes.Off }

func (p *piece) stopped() bool { return p.isOff() && p.cause == report.CauseStopped }

func (p *piece) leaf() *report.Frame {
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
			v := t.proc.classify(p.frames)
			inside, atRest := t.place(p.raw, v)
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
		if nobodysLine(p.cause) {
			p.culprit = nil
		} else if cause, ok := roomCauses[s.Room]; ok {
			p.cause = cause
		} else if collects(s) {
			p.cause = report.CauseGC
		} else if importing(p.frames) {
			p.cause = report.CauseImport
		}
		out = append(out, p)
	}
	slices.SortStableFunc(out, func(a, b piece) int { return cmp.Compare(a.sample.At, b.sample.At) })
	return out
}

// name names the stack of a sample, once: the sooner the better. A frame without a file stands
// for a middle that was cut.
func (t *thread) name(s *probes.Sample, raw []cpython.RawFrame) naming {
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
		if p.atRest && p.cause == report.CauseSleep && len(p.raw) > 0 && p.raw[0].Code != t.restCode {
			t.restCode = p.raw[0].Code
			c.configure(t)
			return
		}
	}
}

// period is an active period, or what is left of one after its rests were cut out.
type period struct {
	start, end  int64
	offNS       int64 // off the CPU
	waitedNS    int64 // of that, runnable without a CPU
	throttledNS int64 // of that, held back by a quota
	stoppedNS   int64 // of offNS, stopped
	whole       bool  // these are the kernel's own exact sums
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
	part := period{start: p.start}
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

// share gives every piece its part of the duration and returns the split by cause, which adds up
// to it. Time off the CPU is exact: stopped, held back and waiting for a CPU are the kernel's own
// sums, and sleep goes to the stacks seen off the CPU. The rest goes to the ticks, each taking the
// CPU time since the one before. What the interpreter's own probes account for is shared among
// the stacks seen there.
func (p *period) share() map[report.Cause]int64 {
	duration := p.end - p.start
	offNS := min(max(p.offNS, 0), duration)
	waitedNS := min(max(p.waitedNS, 0), offNS)
	throttledNS := min(max(p.throttledNS, 0), waitedNS)
	stoppedNS := min(max(p.stoppedNS, 0), offNS-waitedNS)
	sleepNS := offNS - waitedNS - stoppedNS
	out := map[report.Cause]int64{report.CauseThrottled: throttledNS, report.CauseRunqueue: waitedNS - throttledNS}
	var stops []weighed
	for i := range p.pieces {
		if p.pieces[i].stopped() {
			stops = append(stops, weighed{i, p.pieces[i].sample.NS})
		}
	}
	out[report.CauseStopped] += p.apportion(stops, stoppedNS, out)
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
func (p *period) apportion(pieces []weighed, ns int64, out map[report.Cause]int64) (left int64) {
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

// block puts everything together.
func (t *thread) block(p period, ongoing bool) report.Block {
	b := report.Block{
		PID: t.proc.process.PID, TID: t.tid, StartNS: p.start, DurationNS: p.end - p.start, Ongoing: ongoing,
		BreakdownNS: p.share(),
	}
	b.Shape = p.shape()
	b.Cause = largest(b.BreakdownNS)
	b.Stacks = mergeStacks(p.pieces)
	if top := heaviest(p.pieces, b.Cause); top != nil {
		b.Culprit, b.Leaf, b.Task = top.culprit, top.leaf(), top.task
		b.Detail = detail(top)
		if top.native != "" {
			b.Detail.Native = mainModule(p.pieces)
		}
	}
	b.Detail.GIL = gilDuring(p.pieces, b.Cause)
	b.Detail.Holder = mainHolder(p.pieces, b.Cause, b.Culprit)
	p.describeInside(&b.Detail)
	if nobodysLine(b.Cause) {
		b.Culprit = nil
	}
	return b
}

// heaviest returns the piece that stands for the block: of the function of application code
// that took most of it, as far as the cause goes, the heaviest piece. Lines of one function are
// counted together first: a loop in it spreads over several.
func heaviest(pieces []piece, cause report.Cause) *piece {
	type place struct{ function, file string }
	sums := make(map[place]int64)
	at := func(p *piece) place {
		if f := cmp.Or(p.culprit, p.leaf()); f != nil {
			return place{f.Function, f.File}
		}
		return place{}
	}
	matches := func(p *piece) bool { return p.cause == cause }
	// Collections and imports are known to the nanosecond where no stack was taken in them: the
	// stacks of something else do not stand for them.
	if cause != report.CauseGC && cause != report.CauseImport && !slices.ContainsFunc(pieces, func(p piece) bool { return matches(&p) }) {
		matches = func(*piece) bool { return true }
	}
	lines := make(map[report.Frame]int64)
	for i := range pieces {
		if p := &pieces[i]; matches(p) {
			sums[at(p)] += p.ns
			if p.culprit != nil {
				lines[*p.culprit] += p.ns
			}
		}
	}
	weight := func(p *piece) (function, line int64) {
		if p.culprit != nil {
			line = lines[*p.culprit]
		}
		return sums[at(p)], line
	}
	var top *piece
	for i := range pieces {
		p := &pieces[i]
		if !matches(p) || len(p.frames) == 0 {
			continue
		}
		if top == nil {
			top = p
			continue
		}
		f, l := weight(p)
		tf, tl := weight(top)
		if cmp.Or(cmp.Compare(f, tf), cmp.Compare(l, tl), cmp.Compare(p.ns, top.ns)) > 0 {
			top = p
		}
	}
	return top
}

// mergeStacks adds up equal stacks, heaviest first.
func mergeStacks(pieces []piece) []report.Stack {
	var out []report.Stack
	index := make(map[string]int)
	for i := range pieces {
		p := &pieces[i]
		if len(p.frames) == 0 {
			continue
		}
		key := p.key()
		j, known := index[key]
		if !known {
			j = len(out)
			index[key] = j
			out = append(out, report.Stack{Cause: p.cause, Frames: p.frames})
		}
		out[j].NS += p.ns
	}
	slices.SortStableFunc(out, func(a, b report.Stack) int { return cmp.Compare(b.NS, a.NS) })
	return out
}

// key is the same for pieces of equal cause and stack.
func (p *piece) key() string {
	b := make([]byte, 0, 12*len(p.raw)+16)
	b = append(b, p.cause...)
	for _, f := range p.raw {
		b = binary.NativeEndian.AppendUint64(b, f.Code)
		b = binary.NativeEndian.AppendUint32(b, uint32(f.Instr))
	}
	return string(b)
}

func detail(p *piece) report.Detail {
	d := report.Detail{Native: p.native, Target: targetText(p.sample, p.cause)}
	if p.sample.Syscall < 0 {
		return d
	}
	call := syscalls.Lookup(p.sample.Syscall)
	d.Syscall = call.Name
	if call.HasFD() && p.sample.Target.FD >= 0 {
		fd := p.sample.Target.FD
		d.FD = &fd
	}
	return d
}

// largest returns the cause with the largest share; of equal ones the first by name.
func largest(split map[report.Cause]int64) report.Cause {
	best := report.CauseUnknown
	for cause, ns := range split {
		if ns > split[best] || (ns == split[best] && (cause < best || split[best] == 0)) {
			best = cause
		}
	}
	return best
}

// nobodysLine tells the causes that blame no line of the loop.
func nobodysLine(c report.Cause) bool {
	switch c {
	case report.CauseRunqueue, report.CauseThrottled, report.CauseStopped, report.CauseGIL:
		return true
	}
	return false
}

// importing tells whether a stack is inside an import that the loop's own code began.
func importing(frames []report.Frame) bool {
	for _, f := range frames {
		if eventloop.IsMachinery(f) {
			return false
		}
		if f.Function == "_find_and_load" && f.File == "<frozen importlib._bootstrap>" {
			return true
		}
	}
	return false
}
