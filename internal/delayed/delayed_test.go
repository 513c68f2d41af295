// SPDX-License-Identifier: Apache-2.0

package delayed

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

func noting() (*Blocks, *[]model.Block) {
	var out []model.Block
	return New(func(b model.Block) { out = append(out, b) }), &out
}

// A block waits for the events that waited for it, but not for long.
func TestBlocksWaitAShortTime(t *testing.T) {
	q, out := noting()
	begun := time.Now()
	q.Add(1, Block{Block: model.Block{TID: 1}, Number: 7, Last: true, OldestNS: 5})
	q.Add(2, Block{Block: model.Block{TID: 2}, Number: 9, Last: true})
	next := q.Due(begun)
	assert.Empty(t, *out)
	assert.False(t, next.Before(begun.Add(patience)))

	q.Waited(&wire.Delayed{TID: 1, Period: 7, Events: 3})
	q.Waited(&wire.Delayed{TID: 2, Period: 8, Events: 5}) // of another period
	assert.Len(t, *out, 1)
	assert.Equal(t, &model.Delayed{Events: 3, MaxNS: 5}, (*out)[0].Delayed)

	assert.Zero(t, q.Due(time.Now().Add(patience)))
	assert.Len(t, *out, 2)
	assert.Equal(t, 2, (*out)[1].TID)
	assert.Nil(t, (*out)[1].Delayed, "not known")
	assert.Empty(t, q.queue)
	assert.Empty(t, q.held)
}

// The next block of a loop does not overtake the one before, and each goes out once.
func TestBlocksKeepTheirOrder(t *testing.T) {
	q, out := noting()
	for n := range uint64(3) {
		q.Add(1, Block{Block: model.Block{StartNS: int64(n)}, Number: n})
	}
	assert.Len(t, *out, 2)
	assert.Zero(t, q.Due(time.Now().Add(time.Hour)))
	for i, b := range *out {
		assert.EqualValues(t, i, b.StartNS)
	}
	assert.Len(t, *out, 3)
}

// Of several blocks in one period the last one alone delayed what waited.
func TestOnlyTheLastBlockDelays(t *testing.T) {
	q, out := noting()
	q.Add(1, Block{Block: model.Block{StartNS: 1}, Number: 7})
	q.Waited(&wire.Delayed{TID: 1, Period: 7, Events: 3})
	assert.Len(t, *out, 1)
	assert.Nil(t, (*out)[0].Delayed)
}
