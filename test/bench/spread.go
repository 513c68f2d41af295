// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"
)

// quantile returns the value below which the share q of all lies, between neighbours in
// proportion; NaN of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

func median(values []float64) float64 { return quantile(values, .5) }

// spread returns the cells of a table that say how values scatter: median, quartiles, extremes.
func spread(format string, values []float64) []string {
	f := func(q float64) string { return fmt.Sprintf(format, quantile(values, q)) }
	return []string{f(.5), f(.25) + " to " + f(.75), f(0) + " to " + f(1)}
}

// spreadTitles are the titles above spread, the first for the median.
func spreadTitles(title string) []string { return []string{title, "quartiles", "extremes"} }
