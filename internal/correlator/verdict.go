// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/model"
)

// block puts everything together.
func (t *thread) block(p period, ongoing bool) model.Block {
	b := model.Block{
		PID: t.proc.PID, TID: t.tid, StartNS: p.start, DurationNS: p.end - p.start, Ongoing: ongoing, AtLeast: p.seeded,
		BreakdownNS: p.share(),
	}
	b.Shape = p.shape()
	b.Cause = largest(b.BreakdownNS)
	b.Stacks = mergeStacks(p.pieces)
	if top := heaviest(p.pieces, b.Cause); top != nil {
		b.Culprit, b.Leaf, b.Task = top.culprit, top.leaf(), top.task
		b.Detail = cause.Detail(callOf(top.sample), top.cause)
		if top.native != "" {
			b.Detail.Native = mainModule(p.pieces)
		}
	}
	b.Detail.GIL = gilDuring(p.pieces, b.Cause)
	b.Detail.Holder = mainHolder(p.pieces, b.Cause, b.Culprit)
	p.describeInside(&b.Detail)
	if !b.Cause.BlamesLine() {
		b.Culprit = nil
	}
	return b
}

// heaviest returns the piece that stands for the block: of the function of application code
// that took most of it, as far as the cause goes, the heaviest piece. Lines of one function are
// counted together first: a loop in it spreads over several.
func heaviest(pieces []piece, cause model.Cause) *piece {
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
	if cause != model.CauseGC && cause != model.CauseImport && !slices.ContainsFunc(pieces, func(p piece) bool { return matches(&p) }) {
		matches = func(*piece) bool { return true }
	}
	lines := make(map[model.Frame]int64)
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
func mergeStacks(pieces []piece) []model.Stack {
	var out []model.Stack
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
			out = append(out, model.Stack{Cause: p.cause, Frames: p.frames})
		}
		out[j].NS += p.ns
	}
	slices.SortStableFunc(out, func(a, b model.Stack) int { return cmp.Compare(b.NS, a.NS) })
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

// largest returns the cause with the largest share; of equal ones the first by name.
func largest(split map[model.Cause]int64) model.Cause {
	best := model.CauseUnknown
	for cause, ns := range split {
		if ns > split[best] || (ns == split[best] && (cause < best || split[best] == 0)) {
			best = cause
		}
	}
	return best
}
