// SPDX-License-Identifier: Apache-2.0

package parallel

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestForDoesEachOnce(t *testing.T) {
	for _, n := range []int{0, 1, 1000} {
		done := make([]atomic.Int32, n)
		For(t.Context(), n, func(i int) { done[i].Add(1) })
		for i := range done {
			assert.EqualValues(t, 1, done[i].Load(), i)
		}
	}
}

func TestForEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var done atomic.Int32
	const n = 1_000_000
	For(ctx, n, func(int) { done.Add(1); cancel() })
	assert.Positive(t, done.Load())
	assert.Less(t, done.Load(), int32(n))
}

// A panic reaches the caller, who can recover from it, and the others are done.
func TestForPanicsAsItsCallerCanSee(t *testing.T) {
	var done atomic.Int32
	assert.Panics(t, func() {
		For(t.Context(), 100, func(i int) {
			if done.Add(1); i == 50 {
				panic("fallen over")
			}
		})
	})
	assert.EqualValues(t, 100, done.Load())
}
