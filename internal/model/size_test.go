// SPDX-License-Identifier: Apache-2.0

package model

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestSize: deep stacks and long names count, in whatever stack they are.
func TestSize(t *testing.T) {
	stacks := func(n int, f Frame) *Block {
		b := &Block{}
		for range 3 {
			s := Stack{}
			for range n {
				s.Frames = append(s.Frames, f)
			}
			b.Stacks = append(b.Stacks, s)
		}
		return b
	}
	short, long := Frame{Function: "f", File: "app.py"}, Frame{Function: strings.Repeat("f", 4096)}
	assert.Less(t, stacks(10, short).Size(), 4<<10)
	assert.Greater(t, stacks(4096, short).Size(), 3*4096*40)
	assert.Greater(t, stacks(10, long).Size(), 3*10*4096)
	holder := &Block{Detail: Detail{Holder: &Holder{Frames: stacks(100, long).Stacks[0].Frames}}}
	assert.Greater(t, holder.Size(), 100*4096)
}
