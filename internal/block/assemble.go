// SPDX-License-Identifier: Apache-2.0

package block

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/model"
)

// block puts everything together.
func (e *Evidence) block(p period) model.Block {
	split, pieces := p.share()
	b := model.Block{
		PID: e.PID, TID: e.TID, StartNS: p.start, DurationNS: p.length(), AtLeast: p.seeded, InWait: p.late.NS > 0, BreakdownNS: split,
	}
	b.Shape = shape(pieces, p.length()-p.late.NS)
	b.Cause = largest(b.BreakdownNS)
	if p.mostlyLate() && !b.Cause.BlamesLine() {
		pieces = nil // what the loop did afterwards
	}
	b.Stacks = mergeStacks(pieces)
	if top := heaviest(pieces, b.Cause); top != nil {
		b.Culprit, b.Leaf, b.Task = top.culprit, top.leaf(), top.sample.Task
		b.Detail = cause.Detail(top.sample.Sleep.Call, top.cause)
		if top.native != "" {
			b.Detail.Native = mainNative(pieces)
		}
		if top.sample.Busy.Phase == cause.PhaseGC && b.Cause.BlamesLine() && b.Cause != model.CauseGC {
			b.Detail.During = model.CauseGC
		}
	}
	if b.Culprit == nil && b.Cause.BlamesLine() {
		b.Detail.Called = mainCalled(pieces)
	}
	if b.Cause.BlamesLine() && (b.Culprit == nil || !b.Culprit.App) {
		b.Detail.Scheduled = mainScheduled(pieces)
	}
	b.Detail.GIL = gilDuring(pieces, b.Cause)
	b.Detail.Holder = mainHolder(pieces, b.Cause, b.Culprit)
	p.describe(&b.Detail)
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
		if !matches(p) || len(p.sample.Frames) == 0 {
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

// mainCalled returns what the loop called itself for longest, empty where that is not known.
func mainCalled(pieces []piece) (longest string) {
	ns := make(map[string]int64)
	for i := range pieces {
		if called := pieces[i].sample.Called; called != "" {
			ns[called] += max(pieces[i].ns, 1)
			if ns[called] > ns[longest] {
				longest = called
			}
		}
	}
	return longest
}

// mainScheduled returns the line that scheduled what the loop called for longest, nil where that is not known.
func mainScheduled(pieces []piece) (longest *model.Frame) {
	ns := make(map[model.Frame]int64)
	for i := range pieces {
		if at := pieces[i].sample.Scheduled; at != nil {
			ns[*at] += max(pieces[i].ns, 1)
			if longest == nil || ns[*at] > ns[*longest] {
				longest = at
			}
		}
	}
	return longest
}

// mergeStacks adds up equal stacks, heaviest first.
func mergeStacks(pieces []piece) []model.Stack {
	var out []model.Stack
	index := make(map[string]int)
	for i := range pieces {
		p := &pieces[i]
		if len(p.sample.Frames) == 0 {
			continue
		}
		key := p.key()
		j, known := index[key]
		if !known {
			j = len(out)
			index[key] = j
			out = append(out, model.Stack{Cause: p.cause, Frames: p.sample.Frames})
		}
		out[j].NS += p.ns
	}
	slices.SortStableFunc(out, func(a, b model.Stack) int { return cmp.Compare(b.NS, a.NS) })
	return out
}

// key is the same for pieces of equal cause and stack.
func (p *piece) key() string {
	b := make([]byte, 0, 12*len(p.sample.Raw)+16)
	b = append(b, p.cause...)
	for _, f := range p.sample.Raw {
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
