// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSlope(t *testing.T) {
	got, deviation := slope([]float64{0, 1, 2, 3}, []float64{5, 7, 9, 11})
	assert.InDelta(t, 2, got, 1e-9)
	assert.InDelta(t, 0, deviation, 1e-9)

	got, deviation = slope([]float64{0, 1, 2, 3}, []float64{1, -1, -1, 1})
	assert.InDelta(t, 0, got, 1e-9)
	assert.InDelta(t, math.Sqrt(4./2/5), deviation, 1e-9)

	_, deviation = slope([]float64{0, 1}, []float64{0, 1})
	assert.True(t, math.IsInf(deviation, 1), "two points say nothing of how well a line fits")
}
