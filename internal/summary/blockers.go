// SPDX-License-Identifier: Apache-2.0

package summary

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Blockers groups blocks, so many groups at most. It is not safe for concurrent use.
type Blockers struct {
	limit  int
	groups map[model.BlockerKey]*model.Blocker
}

// NewBlockers returns an empty grouping of at most limit blockers.
func NewBlockers(limit int) *Blockers {
	return &Blockers{limit: limit, groups: make(map[model.BlockerKey]*model.Blocker)}
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
	b.Culprit, b.Detail, b.Stack = block.Culprit, block.Detail, []model.Frame{}
	if len(block.Stacks) > 0 {
		b.Stack = block.Stacks[0].Frames
	}
	return b, true
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
