// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// machine has clocks that a test sets.
type machine struct {
	monotonic int64
	wall      time.Time
	lost      int64 // of CPU time, before the next readings
}

func (m *machine) wallAt(at int64) time.Time {
	return wallAt(at, func() int64 { return m.monotonic }, func() time.Time {
		m.monotonic += m.lost
		m.wall = m.wall.Add(time.Duration(m.lost))
		m.lost = max(m.lost-400*int64(time.Millisecond), 0)
		return m.wall
	})
}

// TestWallIsTakenAnew sets the wall clock, and suspends the machine, between two questions.
func TestWallIsTakenAnew(t *testing.T) {
	begin := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	m := &machine{monotonic: 1000 * int64(time.Second), wall: begin}
	assert.Equal(t, begin.Add(-2*time.Second), m.wallAt(998*int64(time.Second)))
	m.wall = m.wall.Add(-time.Hour) // set back
	assert.Equal(t, begin.Add(-time.Hour), m.wallAt(1000*int64(time.Second)))
	m.wall = m.wall.Add(8 * time.Hour) // suspended: CLOCK_MONOTONIC stands still
	assert.Equal(t, begin.Add(7*time.Hour+time.Second), m.wallAt(1001*int64(time.Second)))
	m.lost = int64(time.Second)
	assert.Equal(t, begin.Add(7*time.Hour), m.wallAt(1000*int64(time.Second)), "the readings are taken together")
}

func TestWallIsNow(t *testing.T) {
	before := time.Now().Round(0)
	at := Wall(Monotonic())
	assert.False(t, at.Before(before.Add(-time.Duration(atOnce))))
	assert.False(t, at.After(time.Now().Round(0).Add(time.Duration(atOnce))))
}
