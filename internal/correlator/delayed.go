// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/report"
)

// readyBlock is a block that is told as soon as it is known how many events waited for it to end.
// That comes with the loop's next wait, or not at all: then it is told without, after the second
// look at all loops at the latest.
type readyBlock struct {
	block  report.Block
	period uint64
	last   bool // it ended with its period
	polled bool // it was there at a look at all loops
}

func (c *Correlator) onDelayed(e *probes.Delayed) {
	t := c.threads[e.TID]
	if t == nil || t.ready == nil || t.ready.period != e.Period {
		return
	}
	if t.ready.last {
		t.ready.block.Delayed = &report.Delayed{Events: e.Events}
	}
	c.flush(t)
}

// flush tells of the block that is ready, if there is one.
func (c *Correlator) flush(t *thread) {
	if r := t.ready; r != nil {
		t.ready = nil
		c.emit(r.block)
	}
}
