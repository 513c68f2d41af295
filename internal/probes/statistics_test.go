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
