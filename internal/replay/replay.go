// SPDX-License-Identifier: Apache-2.0

// Package replay judges recordings again. In goes what "loopwatch report --record" has written; out comes the report on it,
// by the rules of this version. It reads nothing else, and bounds what it keeps: a recording may come from anybody.
package replay

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"

	"github.com/loopwatch/loopwatch/internal/advice"
	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/recording"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// ErrForeign says that a recording is of another architecture: the numbers of its syscalls mean others here.
var ErrForeign = errors.New("recorded on another architecture")

// Bounds of what is kept of a recording. They are beyond what loopwatch records.
const (
	maxLoops   = 20_000
	maxRows    = 100_000   // processes that were not watched
	maxPending = 20_000    // blocks that no note was read of yet
	maxFrames  = 4 << 20   // in the stacks of all blockers together
	maxNames   = 256 << 20 // bytes of different names
)

// Replayed is a recording that was judged again.
type Replayed struct {
	Report *model.Report
	// Complete says that the recording has what its report says beside the blocks: the statistics of loops, what was lost,
	// what was not watched. One that broke off has none of that.
	Complete bool
}

// Report judges every period of a recording.
func Report(from io.Reader) (Replayed, error) {
	r, err := recording.NewReader(from)
	if err != nil {
		return Replayed{}, err
	}
	defer r.Close()
	if arch := r.Header.Host.Arch; arch != runtime.GOARCH {
		return Replayed{}, fmt.Errorf("%w (%.20q)", ErrForeign, arch)
	}
	p := newPlayer()
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return p.report(r.Header), nil
		}
		if err == nil {
			err = p.take(e)
		}
		if err != nil {
			return Replayed{}, fmt.Errorf("line %d: %w", p.lines+2, err)
		}
		p.lines++
	}
}

// key names a block of a recording.
type key struct {
	tid   int
	start int64
}

// player gathers what a recording says.
type player struct {
	lines       int
	builder     *summary.Builder
	pending     map[key]*model.Block // judged, and not yet reported when it was recorded
	order       []key                // of pending; those reported already, too
	waiting     int                  // frames of pending
	seen        map[model.LoopID]model.Loop
	loops       []model.Loop
	unsupported []model.Unsupported
	end         *recording.End
	stacks      map[model.BlockerKey]int // frames of its longest stack
	frames      int                      // sum of stacks
	names       map[string]string
	bytes       int // of names
}

func newPlayer() *player {
	return &player{builder: summary.NewBuilder(summary.Limits{}), pending: map[key]*model.Block{}, seen: map[model.LoopID]model.Loop{},
		stacks: map[model.BlockerKey]int{}, names: map[string]string{}}
}

func (p *player) take(e recording.Entry) error {
	if p.end != nil {
		return errors.New("something follows the end")
	}
	if n := e.Note; n != nil {
		return p.note(n)
	}
	id := model.LoopID{PID: e.Evidence.PID, TID: e.Evidence.TID}
	if p.seen[id] = (model.Loop{PID: id.PID, TID: id.TID, Loop: string(e.Evidence.Loop.Kind)}); len(p.seen) > maxLoops {
		return fmt.Errorf("more than %d loops", maxLoops)
	}
	j := block.Judge(e.Evidence)
	if j.Ongoing != nil {
		j.Blocks = append(j.Blocks, *j.Ongoing)
	}
	for i := range j.Blocks {
		if err := p.judged(&j.Blocks[i]); err != nil {
			return err
		}
	}
	return nil
}

// judged keeps a block until its note comes.
func (p *player) judged(b *model.Block) error {
	summary.Normalise(b, len(b.Stacks)) // the builder counts the stacks that are too many
	if err := p.bound(b); err != nil {
		return err
	}
	k := key{b.TID, b.StartNS}
	p.settle(k)
	p.pending[k], p.order = b, append(p.order, k)
	p.waiting += frames(b)
	for len(p.order) > maxPending || p.waiting > maxFrames {
		p.flush(1)
	}
	return nil
}

// flush reports the first blocks of those that no note has come of.
func (p *player) flush(n int) {
	for _, k := range p.order[:n] {
		p.settle(k)
	}
	p.order = p.order[n:]
}

// settle reports a block, if it is pending.
func (p *player) settle(k key) {
	if b := p.pending[k]; b != nil {
		p.builder.Add(*b)
		delete(p.pending, k)
		p.waiting -= frames(b)
	}
}

func frames(b *model.Block) (n int) {
	for i := range b.Stacks {
		n += len(b.Stacks[i].Frames)
	}
	return n
}

// bound has the names of a block share their memory with equal ones, and refuses what is too much.
func (p *player) bound(b *model.Block) error {
	for i := range b.Stacks {
		for n := range b.Stacks[i].Frames {
			f := &b.Stacks[i].Frames[n]
			f.Function, f.File = p.name(f.Function), p.name(f.File)
		}
	}
	for _, f := range []*model.Frame{b.Culprit, b.Leaf} {
		if f != nil {
			f.Function, f.File = p.name(f.Function), p.name(f.File)
		}
	}
	if len(b.Stacks) > 0 {
		if now, before := len(b.Stacks[0].Frames), p.stacks[b.Key()]; now > before {
			p.stacks[b.Key()], p.frames = now, p.frames+now-before
		}
	}
	if p.bytes > maxNames || p.frames > maxFrames {
		return errors.New("more names or frames than a recording has")
	}
	return nil
}

func (p *player) name(s string) string {
	if known, ok := p.names[s]; ok {
		return known
	}
	p.names[s] = s
	p.bytes += len(s) + 64
	return s
}

func (p *player) note(n *recording.Note) error {
	switch {
	case n.Block != nil:
		k := key{n.Block.TID, n.Block.StartNS}
		if b := p.pending[k]; b != nil {
			b.StartedAt, b.Delayed = n.Block.StartedAt, n.Block.Delayed
			p.settle(k)
		}
	case n.Loop != nil:
		if p.loops = append(p.loops, *n.Loop); len(p.loops) > maxLoops {
			return fmt.Errorf("more than %d loops", maxLoops)
		}
	case n.Unsupported != nil:
		if p.unsupported = append(p.unsupported, *n.Unsupported); len(p.unsupported) > maxRows {
			return fmt.Errorf("more than %d processes that were not watched", maxRows)
		}
	case n.End != nil:
		p.end = n.End
	}
	return nil
}

func (p *player) report(h recording.Header) Replayed {
	p.flush(len(p.order))
	meta := summary.Meta{StartedAt: h.StartedAt, StartedNS: h.StartedNS, ThresholdNS: h.ThresholdNS, Host: h.Host}
	loops := p.loops
	if p.end != nil {
		meta.EndedNS, meta.Processes, meta.Lost, meta.Unsupported = p.end.EndedNS, p.end.Processes, p.end.Lost, p.unsupported
	} else {
		loops = slices.Collect(maps.Values(p.seen))
	}
	rep := p.builder.Report(meta, loops)
	advice.Fill(rep)
	return Replayed{rep, p.end != nil}
}
