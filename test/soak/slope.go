// SPDX-License-Identifier: Apache-2.0

package main

import "math"

// slope fits a line to points by least squares, and returns its slope with the standard error of that: 0 and infinity where
// there are too few points.
func slope(x, y []float64) (slope, deviation float64) {
	n := float64(len(x))
	if n < 3 {
		return 0, math.Inf(1)
	}
	var sumX, sumY float64
	for i := range x {
		sumX, sumY = sumX+x[i], sumY+y[i]
	}
	meanX, meanY := sumX/n, sumY/n
	var xx, xy float64
	for i := range x {
		xx += (x[i] - meanX) * (x[i] - meanX)
		xy += (x[i] - meanX) * (y[i] - meanY)
	}
	if xx == 0 {
		return 0, math.Inf(1)
	}
	slope = xy / xx
	var rest float64
	for i := range x {
		r := y[i] - meanY - slope*(x[i]-meanX)
		rest += r * r
	}
	return slope, math.Sqrt(rest / (n - 2) / xx)
}
