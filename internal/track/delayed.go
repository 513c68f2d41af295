// SPDX-License-Identifier: Apache-2.0

package track

import (
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// readyBlock is a block that is reported as soon as it is known how many events waited for it to end.
// That comes with the loop's next wait, or not at all: then it is reported without.
type readyBlock struct {
	block  model.Block
	period uint64
	last   bool // it ended with its period
	thread *thread
	due    time.Time
	// oldestNS is how long the first event waited for it to end, 0 not known.
	oldestNS int64
}

// delayedPatience is how long a block waits for that. The wait follows the block at once, if
// the loop gets a CPU.
const delayedPatience = 50 * time.Millisecond

func (c *Tracker) makeReady(t *thread, r readyBlock) {
	c.flush(t)
	r.thread, r.due = t, time.Now().Add(delayedPatience)
	t.ready = &r
	c.waiting = append(c.waiting, t.ready)
}

// ReportDue reports the blocks that have waited long enough, and returns when to call it again at the
// latest: the zero time where none waits.
func (c *Tracker) ReportDue(now time.Time) (next time.Time) {
	for len(c.waiting) > 0 {
		r := c.waiting[0]
		if r.thread.ready == r {
			if now.Before(r.due) {
				return r.due
			}
			c.flush(r.thread)
		}
		c.waiting = c.waiting[1:]
	}
	return time.Time{}
}

func (c *Tracker) onDelayed(e *wire.Delayed) {
	t := c.threads[e.TID]
	if t == nil || t.ready == nil || t.ready.period != e.Period {
		return
	}
	if t.ready.last {
		t.ready.block.Delayed = &model.Delayed{Events: e.Events}
		if e.Events > 0 { // else the block itself took what came
			t.ready.block.Delayed.MaxNS = t.ready.oldestNS
		}
	}
	c.flush(t)
}

// flush reports the block that is ready, if there is one.
func (c *Tracker) flush(t *thread) {
	if r := t.ready; r != nil {
		t.ready = nil
		c.emit(r.block)
	}
}
