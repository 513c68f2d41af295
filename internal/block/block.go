// SPDX-License-Identifier: Apache-2.0

// Package block judges active periods. In goes Evidence: one period of one loop, with its sums, its samples whose frames
// are named, and what is known of the loop. Out comes a Judgement: the blocks in that period, what the loop's statistics
// have wrong, and what the stacks teach about the loop. Both are plain values. The package reads nothing else and keeps
// nothing, so the same evidence always gives the same judgement.
package block

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

// Judgement is what follows from one Evidence.
type Judgement struct {
	// Blocks have ended; they are in the order of their ends.
	Blocks []model.Block
	// Ongoing is the block that goes on at the end of an open period, nil if there is none.
	Ongoing *model.Block
	// OpenNS is how long the part that goes on at the end of an open period is by then.
	OpenNS     int64
	Correction Correction
	Learned    Learned
	// LoopUnseen says that the stacks no longer show the loop that the thread ran.
	LoopUnseen bool
	// Unnamable says that frames could not be read, and that for this reason a block may be missing.
	Unnamable bool
}

// Learned is what the stacks of a period teach about the loop, for the periods that follow.
type Learned struct {
	RestCode   uint64 // new code object that sleeps in place of a wait, 0 none
	Caller     eventloop.Caller
	CallerCode uint64 // new code object of Caller, 0 none
}

// Judge judges a period.
func Judge(e *Evidence) Judgement {
	p := e.period()
	if e.Open {
		return judgeOpen(e, p)
	}
	if e.Exited && !seen(p.pieces) {
		// A thread that ends goes on for a while after its loop has: nothing shows that
		// this was the loop's time.
		return Judgement{}
	}
	doubtful := slices.ContainsFunc(p.pieces, func(x piece) bool { return x.outside && illegible(x.sample.Frames) })
	if e.Exited {
		p = p.withoutEnding(e.ThresholdNS)
	}
	j := Judgement{Learned: e.Loop.learnRest(p.pieces)}
	j.Learned.Caller, j.Learned.CallerCode = e.Loop.learnCaller(p.pieces)
	parts, rest := p.split()
	if len(parts) != 1 || !parts[0].whole {
		j.Correction = Correction{Removed: []int64{e.EndNS - e.StartNS}, Added: lengths(parts), RestNS: rest}
	}
	j.LoopUnseen = e.Loop.Kind == eventloop.UVLoop && elsewhere(p.pieces)
	j.Blocks = e.blocks(p.joinLate(parts, e.late()))
	j.Unnamable = len(j.Blocks) == 0 && doubtful
	return j
}

// judgeOpen judges a period that goes on.
func judgeOpen(e *Evidence, p period) Judgement {
	j := Judgement{Learned: e.Loop.learnRest(p.pieces)}
	parts, rest := p.split()
	j.Correction = Correction{Added: lengths(parts), RestNS: rest}
	parts = p.joinLate(parts, e.late())
	var ended []model.Block // of the part that goes on
	if n := len(parts); n > 0 && parts[n-1].end == e.EndNS {
		last := parts[n-1]
		parts = parts[:n-1]
		j.Correction.Added = j.Correction.Added[:max(len(j.Correction.Added)-1, 0)]
		j.OpenNS = last.length() - last.late.NS
		if last.length() >= e.ThresholdNS {
			blocks := e.blocksOf(&last)
			b := blocks[len(blocks)-1]
			b.Ongoing = true
			ended, j.Ongoing = blocks[:len(blocks)-1], &b
		}
	}
	j.Blocks = append(e.blocks(parts), ended...)
	return j
}

// blocks returns those of the parts that are long enough.
func (e *Evidence) blocks(parts []period) (out []model.Block) {
	for i := range parts {
		if parts[i].length() >= e.ThresholdNS {
			out = append(out, e.blocksOf(&parts[i])...)
		}
	}
	return out
}

func lengths(parts []period) (out []int64) {
	for _, part := range parts {
		out = append(out, part.length())
	}
	return out
}

// elsewhere reports whether all that was seen of a period lies outside the loop.
func elsewhere(pieces []piece) bool {
	return len(pieces) > 0 && !slices.ContainsFunc(pieces, func(x piece) bool { return !x.outside || x.atRest })
}

// illegible reports whether a frame could not be read, which may have been the loop's.
func illegible(frames []model.Frame) bool {
	return slices.ContainsFunc(frames, func(f model.Frame) bool { return f.Function == model.Unreadable })
}
