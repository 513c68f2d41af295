// SPDX-License-Identifier: Apache-2.0

package histogram

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The histogram promises 5 % from 10 us to 100 s.
func TestBucketsAreFineEnough(t *testing.T) {
	for ns := int64(10_000); ns < 100_000_000_000; ns += max(ns/1000, 1) {
		middle := Middle(BucketOf(ns))
		require.InEpsilon(t, ns, middle, 0.05, "%d ns", ns)
	}
}

func TestBucketsAreInOrder(t *testing.T) {
	last := 0
	for ns := int64(1); ns < math.MaxInt64/2; ns += ns/64 + 1 {
		b := BucketOf(ns)
		require.GreaterOrEqual(t, b, last)
		require.LessOrEqual(t, b, last+1, "%d ns", ns)
		last = b
	}
	assert.Equal(t, len(Histogram{})-1, last)
}
