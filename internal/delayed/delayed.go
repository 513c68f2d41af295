// SPDX-License-Identifier: Apache-2.0

// Package delayed holds a block back until it is known whose events waited for it to end. In go blocks that have ended, and what
// the kernel says of the wait behind each; out come the blocks with that. It comes with the loop's next wait, or not at all: then a
// block goes out without it.
package delayed

import (
	"time"

	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// Block is a block that has ended.
type Block struct {
	model.Block
	Number   uint64 // of its active period
	Last     bool   // it ended with its period
	OldestNS int64  // how long the first event waited for it to end, 0 not known
	Loop     eventloop.Kind
}

// Blocks are those held back, one of each loop at most. They go out in the order in which they end, loop by loop.
type Blocks struct {
	emit  func(model.Block)
	held  map[int]*held // by thread id
	queue []*held       // by when they are due; those gone out already, too
}

type held struct {
	Block
	tid int
	due time.Time
}

// New returns Blocks that go out to emit.
func New(emit func(model.Block)) *Blocks { return &Blocks{emit: emit, held: make(map[int]*held)} }

// patience is how long a block is held back. The wait follows the block at once, if the loop gets a CPU.
const patience = 50 * time.Millisecond

// Add holds a block of a thread back. One that is held back of it already goes out.
func (q *Blocks) Add(tid int, b Block) {
	q.Flush(tid)
	h := &held{b, tid, time.Now().Add(patience)}
	q.held[tid] = h
	q.queue = append(q.queue, h)
}

// Due lets those go that were held back long enough, and returns when to call it again at the latest: the zero time where none is
// held back.
func (q *Blocks) Due(now time.Time) (next time.Time) {
	for len(q.queue) > 0 {
		h := q.queue[0]
		if q.held[h.tid] == h {
			if now.Before(h.due) {
				return h.due
			}
			q.Flush(h.tid)
		}
		q.queue = q.queue[1:]
	}
	return time.Time{}
}

// Waited takes what the kernel says of the wait behind a block.
func (q *Blocks) Waited(e *wire.Delayed) {
	h := q.held[e.TID]
	if h == nil || h.Number != e.Period {
		return
	}
	if h.Last {
		h.Delayed = &model.Delayed{Events: e.Events, By: by(e, h.Loop)}
		if e.Events > 0 { // else the block itself took what came
			h.Delayed.MaxNS = h.OldestNS
		}
	}
	q.Flush(e.TID)
}

// Flush lets the block of a thread go that is held back, if there is one.
func (q *Blocks) Flush(tid int) {
	if h := q.held[tid]; h != nil {
		delete(q.held, tid)
		q.emit(h.Block.Block)
	}
}
