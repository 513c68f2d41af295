// SPDX-License-Identifier: Apache-2.0

package track

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// telling is a tracker that notes what it tells.
func telling() (*Tracker, *[]model.Block) {
	var told []model.Block
	c := &Tracker{threads: make(map[int]*thread), opts: Options{Emit: func(b model.Block) { told = append(told, b) }}}
	return c, &told
}

// A block waits for the events that waited for it, but not for long.
func TestReadyBlocksWaitAShortTime(t *testing.T) {
	c, told := telling()
	a, b := &thread{tid: 1}, &thread{tid: 2}
	c.threads[1], c.threads[2] = a, b
	begun := time.Now()
	c.makeReady(a, readyBlock{block: model.Block{TID: 1}, period: 7, last: true})
	c.makeReady(b, readyBlock{block: model.Block{TID: 2}, period: 9, last: true})
	next := c.Tell(begun)
	assert.Empty(t, *told)
	assert.False(t, next.Before(begun.Add(delayedPatience)))

	c.onDelayed(&wire.Delayed{TID: 1, Period: 7, Events: 3})
	c.onDelayed(&wire.Delayed{TID: 2, Period: 8, Events: 5}) // of another period
	assert.Len(t, *told, 1)
	assert.Equal(t, &model.Delayed{Events: 3}, (*told)[0].Delayed)

	assert.Zero(t, c.Tell(b.ready.due))
	assert.Len(t, *told, 2)
	assert.Equal(t, 2, (*told)[1].TID)
	assert.Nil(t, (*told)[1].Delayed, "not known")
	assert.Empty(t, c.waiting)
}

// The next block of a loop does not overtake the one before, and each is told once.
func TestReadyBlocksKeepTheirOrder(t *testing.T) {
	c, told := telling()
	a := &thread{tid: 1}
	for period := range uint64(3) {
		c.makeReady(a, readyBlock{block: model.Block{StartNS: int64(period)}, period: period})
	}
	assert.Len(t, *told, 2)
	assert.Zero(t, c.Tell(time.Now().Add(time.Hour)))
	for i, b := range *told {
		assert.EqualValues(t, i, b.StartNS)
	}
	assert.Len(t, *told, 3)
}
