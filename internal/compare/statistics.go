// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/loopwatch/loopwatch/internal/model"
)

// estimate is a figure that is more than 0, how sure it is, and by how many degrees of freedom that is known.
type estimate struct {
	value    float64
	variance float64 // of the logarithm
	freedom  float64 // 0 where nothing is known
}

// difference returns the logarithm of after over before, its standard error, and its degrees of freedom after Welch and
// Satterthwaite.
func difference(before, after estimate) (log, deviation, freedom float64) {
	if before.freedom <= 0 || after.freedom <= 0 || before.value <= 0 || after.value <= 0 {
		return 0, math.Inf(1), 0
	}
	sum := before.variance + after.variance
	freedom = sum * sum / (before.variance*before.variance/before.freedom + after.variance*after.variance/after.freedom)
	return math.Log(after.value / before.value), math.Sqrt(sum), freedom
}

// ratio holds two estimates against one another.
func ratio(before, after estimate, significant float64) model.Ratio {
	r := model.Ratio{P: 1}
	if before.value > 0 {
		r.Ratio = after.value / before.value
	}
	log, deviation, freedom := difference(before, after)
	if freedom > 0 {
		t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}
		r.P = min(2*t.CDF(-math.Abs(log)/deviation), 1)
	}
	r.Significant = r.P < significant && math.Abs(log) >= math.Log(smallest)
	return r
}

// sure reports whether a change of ruledOut can be ruled out.
func sure(before, after estimate) bool {
	log, deviation, freedom := difference(before, after)
	if freedom <= 0 {
		return false
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}
	return math.Abs(log)+t.Quantile(1-margin/2)*deviation < math.Log(ruledOut)
}

// variance returns the variance of the sum of the values of all batches, from how they differ.
func variance(values []float64) float64 {
	mean, squares := 0.0, 0.0
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	n := float64(len(values))
	return n * squares / (n - 1)
}
