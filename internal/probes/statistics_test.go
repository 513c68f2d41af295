// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestQuantile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var b Statistics
	all := make([]int64, 20_000)
	for i := range all {
		all[i] = int64(math.Exp(r.Float64()*12) * 10_000)
		b.Add(all[i])
	}
	slices.Sort(all)
	got := b.Periods()
	for q, ns := range map[float64]int64{.5: got.P50, .9: got.P90, .99: got.P99} {
		assert.InEpsilon(t, all[int(q*float64(len(all)))-1], ns, 0.05)
	}
	assert.Equal(t, all[len(all)-1], got.Max)
	assert.EqualValues(t, len(all), b.Iterations)
	for _, ns := range all {
		b.Remove(ns)
	}
	assert.Zero(t, b.Periods().P50)
	assert.Zero(t, b.ActiveNS)
}
