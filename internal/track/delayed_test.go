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
func reporting() (*Tracker, *[]model.Block) {
	var reported []model.Block
	c := &Tracker{threads: make(map[int]*thread), opts: Options{Emit: func(b model.Block) { reported = append(reported, b) }}}
	return c, &reported
}

// A block waits for the events that waited for it, but not for long.
func TestReadyBlocksWaitAShortTime(t *testing.T) {
	c, reported := reporting()
	a, b := &thread{tid: 1}, &thread{tid: 2}
	c.threads[1], c.threads[2] = a, b
	begun := time.Now()
	c.makeReady(a, readyBlock{block: model.Block{TID: 1}, period: 7, last: true})
	c.makeReady(b, readyBlock{block: model.Block{TID: 2}, period: 9, last: true})
	next := c.ReportDue(begun)
	assert.Empty(t, *reported)
	assert.False(t, next.Before(begun.Add(delayedPatience)))

	c.onDelayed(&wire.Delayed{TID: 1, Period: 7, Events: 3})
	c.onDelayed(&wire.Delayed{TID: 2, Period: 8, Events: 5}) // of another period
	assert.Len(t, *reported, 1)
	assert.Equal(t, &model.Delayed{Events: 3}, (*reported)[0].Delayed)

	assert.Zero(t, c.ReportDue(b.ready.due))
	assert.Len(t, *reported, 2)
	assert.Equal(t, 2, (*reported)[1].TID)
	assert.Nil(t, (*reported)[1].Delayed, "not known")
	assert.Empty(t, c.waiting)
}

// The next block of a loop does not overtake the one before, and each is reported once.
func TestReadyBlocksKeepTheirOrder(t *testing.T) {
	c, reported := reporting()
	a := &thread{tid: 1}
	for period := range uint64(3) {
		c.makeReady(a, readyBlock{block: model.Block{StartNS: int64(period)}, period: period})
	}
	assert.Len(t, *reported, 2)
	assert.Zero(t, c.ReportDue(time.Now().Add(time.Hour)))
	for i, b := range *reported {
		assert.EqualValues(t, i, b.StartNS)
	}
	assert.Len(t, *reported, 3)
}
