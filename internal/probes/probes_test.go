// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestDefaultRatePutsTicksIntoABlock(t *testing.T) {
	for _, ms := range []int{1, 5, 20, 100, 1000} {
		rate := DefaultRate(time.Duration(ms) * time.Millisecond)
		assert.GreaterOrEqual(t, rate*ms, 2*1000*19/20, "threshold %d ms", ms)
		assert.LessOrEqual(t, rate, MaxRate)
	}
}
