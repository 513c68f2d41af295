// SPDX-License-Identifier: Apache-2.0

package slots

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSlots(t *testing.T) {
	s := New(2)
	a, ok := s.Take(1)
	assert.True(t, ok)
	b, ok := s.Take(2)
	assert.True(t, ok)
	assert.NotEqual(t, a, b)
	_, ok = s.Take(3)
	assert.False(t, ok, "full")
	s.Give(a)
	c, ok := s.Take(4)
	assert.True(t, ok)
	assert.Equal(t, a, c)
}

// TestLastSlotsAreForOthers: a process with many leaves a quarter to those that have none.
func TestLastSlotsAreForOthers(t *testing.T) {
	s := New(8)
	var taken []uint32
	for {
		slot, ok := s.Take(1)
		if !ok {
			break
		}
		taken = append(taken, slot)
	}
	assert.Len(t, taken, 6)
	_, ok := s.Take(2)
	assert.True(t, ok)
	_, ok = s.Take(2)
	assert.False(t, ok)
	for _, slot := range taken {
		s.Give(slot)
	}
	_, ok = s.Take(2)
	assert.True(t, ok)
}
