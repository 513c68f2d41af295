// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSlots(t *testing.T) {
	s := NewSlots(2)
	a, ok := s.Take()
	assert.True(t, ok)
	b, ok := s.Take()
	assert.True(t, ok)
	assert.NotEqual(t, a, b)
	_, ok = s.Take()
	assert.False(t, ok, "full")
	s.Give(a)
	c, ok := s.Take()
	assert.True(t, ok)
	assert.Equal(t, a, c)
}
