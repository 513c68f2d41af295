// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The histogram promises 5 % from 10 us to 100 s.
func TestBucketsAreFineEnough(t *testing.T) {
	for ns := int64(10_000); ns < 100_000_000_000; ns += max(ns/1000, 1) {
		middle := BucketMiddle(bucketOf(ns))
		require.InEpsilon(t, ns, middle, 0.05, "%d ns", ns)
	}
}

func TestBucketsAreInOrder(t *testing.T) {
	last := 0
	for ns := int64(1); ns < math.MaxInt64/2; ns += ns/64 + 1 {
		b := bucketOf(ns)
		require.GreaterOrEqual(t, b, last)
		require.LessOrEqual(t, b, last+1, "%d ns", ns)
		last = b
	}
	assert.Equal(t, len(Histogram{})-1, last)
}

func TestQuantile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var b Books
	all := make([]int64, 20_000)
	for i := range all {
		all[i] = int64(math.Exp(r.Float64()*12) * 10_000)
		b.Add(all[i])
	}
	slices.Sort(all)
	for _, q := range []float64{.5, .9, .99} {
		assert.InEpsilon(t, all[int(q*float64(len(all)))-1], b.Quantile(q), 0.05)
	}
	assert.LessOrEqual(t, b.Quantile(1), b.MaxNS)
	assert.EqualValues(t, len(all), b.Iterations)
	for _, ns := range all {
		b.Remove(ns)
	}
	assert.Zero(t, b.Quantile(.5))
	assert.Zero(t, b.ActiveNS)
}
