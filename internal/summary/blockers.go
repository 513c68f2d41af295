// SPDX-License-Identifier: Apache-2.0

package summary

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Blockers groups blocks, so many groups at most, with so many frames in the stacks of all. It is not safe for concurrent use.
type Blockers struct {
	limit  int
	room   int // frames there is room for
	groups map[model.BlockerKey]*model.Blocker
}

// fewFrames are kept of a stack, the innermost, where there is no room for all.
const fewFrames = 16

// NewBlockers returns an empty grouping of at most limit blockers, whose stacks have so many frames together, and some more each
// where that is not enough.
func NewBlockers(limit, frames int) *Blockers {
	return &Blockers{limit: limit, room: frames, groups: make(map[model.BlockerKey]*model.Blocker)}
}

// Add enters a block and returns its blocker, or nil where there are too many already. heaviest
// tells that the block is the longest of its blocker so far: it speaks for the group. The loops of
// a blocker are the caller's to keep.
func (g *Blockers) Add(block *model.Block) (b *model.Blocker, heaviest bool) {
	key := block.Key()
	b = g.groups[key]
	if b == nil {
		if len(g.groups) >= g.limit {
			return nil, false
		}
		b = &model.Blocker{Cause: block.Cause}
		g.groups[key] = b
	}
	b.Count++
	b.TotalNS += block.DurationNS
	b.AtLeast = b.AtLeast || block.LowerBound()
	if b.Stack != nil && block.DurationNS <= b.MaxNS {
		return b, false
	}
	b.MaxNS = max(b.MaxNS, block.DurationNS)
	b.Culprit, b.Detail = block.Culprit, block.Detail
	g.keep(b, block)
	return b, true
}

// keep has a blocker show the stack of a block.
func (g *Blockers) keep(b *model.Blocker, block *model.Block) {
	g.room += len(b.Stack)
	b.Stack = []model.Frame{}
	if len(block.Stacks) > 0 {
		b.Stack = block.Stacks[0].Frames
	}
	if len(b.Stack) > max(g.room, fewFrames) {
		b.Stack = slices.Clone(b.Stack[:fewFrames]) // a copy, or all of it would stay
	}
	g.room -= len(b.Stack)
}

// Of returns the blocker that a block belongs to, nil where it has none yet.
func (g *Blockers) Of(block *model.Block) *model.Blocker { return g.groups[block.Key()] }

// Len returns how many blockers there are.
func (g *Blockers) Len() int { return len(g.groups) }

// All returns the blockers, largest total first.
func (g *Blockers) All() []*model.Blocker {
	all := make([]*model.Blocker, 0, len(g.groups))
	for _, b := range g.groups {
		all = append(all, b)
	}
	slices.SortFunc(all, func(x, y *model.Blocker) int { return compareBlockers(*x, *y) })
	return all
}
