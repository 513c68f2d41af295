// SPDX-License-Identifier: Apache-2.0

package priority

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// taker is a process on a clock of its own that takes a share of one CPU.
type taker struct {
	budget
	now  time.Time
	used time.Duration
}

// take runs for a time at a share of one CPU and returns the part of it that it did with priority.
func (k *taker) take(share float64, during time.Duration) float64 {
	if k.now.IsZero() {
		k.now = time.Unix(1_000_000, 0)
		k.spend(k.now, 0)
	}
	var preferred, all int
	for end := k.now.Add(during); k.now.Before(end); all++ {
		if !k.low {
			preferred++
		}
		k.now = k.now.Add(every)
		k.used += time.Duration(share * float64(every))
		k.spend(k.now, k.used)
	}
	return float64(preferred) / float64(all)
}

// TestBudgetOfAnObservation: who watches, and starts as a start is, is never without priority.
func TestBudgetOfAnObservation(t *testing.T) {
	var k taker
	assert.Equal(t, 1.0, k.take(1.5, 1500*time.Millisecond), "the start, on two CPUs")
	assert.Equal(t, 1.0, k.take(0.03, time.Minute))
	assert.Equal(t, 1.0, k.take(0.2, time.Hour), "a storm of blocks")
	assert.Equal(t, 1.0, k.take(1, 500*time.Millisecond), "the report")
}

// TestBudgetIsKept: whatever a process takes, what it takes with priority stays within the budget.
func TestBudgetIsKept(t *testing.T) {
	for _, cpus := range []float64{0.3, 0.5, 1, 2, 16} {
		var k taker
		k.take(cpus, started)
		all := k.take(cpus, time.Minute) * cpus
		assert.Less(t, all, share+0.05*cpus, "%v CPUs", cpus) // one tick of each spell is too long
		assert.True(t, k.take(cpus, 10*time.Second) < 1)
	}
}

// TestBudgetReturns: with less taken it has the priority again, and not at once.
func TestBudgetReturns(t *testing.T) {
	var k taker
	k.take(1, time.Minute)
	for !k.low {
		k.take(1, every)
	}
	assert.Zero(t, k.take(0.05, time.Second), "not at once")
	k.take(0.05, 4*time.Second)
	assert.Equal(t, 1.0, k.take(0.05, time.Minute))
}

// TestBudgetOfTheStart is forfeited: who has started cheaply is not to take it all later.
func TestBudgetOfTheStart(t *testing.T) {
	var k taker
	k.take(0.01, started+every)
	assert.Less(t, k.take(1, 2*time.Second), 0.5)
	k = taker{}
	assert.Equal(t, 1.0, k.take(1, 2900*time.Millisecond), "the start")
}

// TestBudgetClockJump: a machine that stood still for an hour has not saved up an hour's share.
func TestBudgetClockJump(t *testing.T) {
	var k taker
	k.take(0.1, time.Minute)
	k.now = k.now.Add(time.Hour)
	assert.Less(t, k.take(2, 2*time.Second), 0.5)
}

// TestWatchdog: it sets what changes at once, what has come since now and then, and ends with its context.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type call struct {
			low   bool
			since time.Duration
		}
		var calls []call
		begin := time.Now()
		idle := settling * every
		w := &watchdog{
			// Nothing at first, then two CPUs.
			used: func() time.Duration { return 2 * max(time.Since(begin)-idle, 0) },
			set:  func(low bool, since time.Duration) { calls = append(calls, call{low, since}) },
		}
		ctx, cancel := context.WithTimeout(t.Context(), idle+2*time.Second+every/2)
		defer cancel()
		w.run(ctx)
		require.GreaterOrEqual(t, len(calls), 4)
		assert.Equal(t, call{false, idle}, calls[0], "now and then")
		low := slices.IndexFunc(calls, func(c call) bool { return c.low })
		require.Positive(t, low)
		var before, after time.Duration
		for i, c := range calls {
			if i <= low {
				before += c.since
			} else {
				after += c.since
			}
		}
		// The share earns nothing until only the usual credit is left.
		assert.InDelta(t, idle+(starting-credit)/2+credit*4/7, before, float64(every), "at once")
		assert.Equal(t, idle+2*time.Second+every/2, before+after, "all time is told")
		assert.True(t, calls[len(calls)-1].low)
	})
}
