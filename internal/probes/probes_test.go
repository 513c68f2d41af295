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

func TestRecordsTakeTheirSizeInTheRing(t *testing.T) {
	for n, size := range map[int]uint64{0: 8, 1: 16, 8: 16, 9: 24, 24: 32} {
		assert.Equal(t, size, recordSize(n), "a record of %d bytes", n)
	}
}
