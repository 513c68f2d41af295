// SPDX-License-Identifier: Apache-2.0

// Package histogram counts lengths of time. In go counts by bucket, as the kernel side keeps them; out come the bounds of
// a bucket and quantiles. Lengths are nanoseconds.
package histogram

import (
	"math"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/model"
)

// Histogram counts lengths, in buckets no wider than a sixteenth of an octave. A
// difference of two may hold less than none.
type Histogram [abi.HistBuckets]int64

// BucketOf returns the bucket of a length of ns nanoseconds, as bucket() does of bpf/loop/histogram.h.
func BucketOf(ns int64) int {
	switch {
	case ns < 1<<abi.HistMinShift:
		return 0
	case ns >= 1<<abi.HistMaxShift:
		return len(Histogram{}) - 1
	}
	shift := abi.HistMinShift
	for ns>>(shift+1) > 0 {
		shift++
	}
	return 1 + abi.HistParts*(shift-abi.HistMinShift) + int(ns>>(shift-abi.HistPartsShift)&(abi.HistParts-1))
}

// Middle returns the middle of bucket i in nanoseconds.
func Middle(i int) int64 {
	if i == 0 {
		return 1 << (abi.HistMinShift - 1)
	}
	return From(i) + int64(1)<<(abi.HistMinShift+(i-1)/abi.HistParts)/(2*abi.HistParts)
}

// From returns the shortest length that bucket i counts, in nanoseconds.
func From(i int) int64 {
	if i == 0 {
		return 0
	}
	octave, part := (i-1)/abi.HistParts, (i-1)%abi.HistParts
	low := int64(1) << (abi.HistMinShift + octave)
	return low + low/abi.HistParts*int64(part)
}

// Quantile returns the length below which the share q (0 to 1) of all lies,
// within 3.1 % above 8.192 us; 0 where there was none.
func (h *Histogram) Quantile(q float64) int64 {
	var total int64
	first := len(h)
	for i, n := range h {
		if n > 0 {
			total += n
			first = min(first, i)
		}
	}
	if total == 0 {
		return 0
	}
	rank := max(int64(math.Ceil(q*float64(total))), 1)
	var sum int64
	for i := first; i < len(h); i++ {
		if sum += max(h[i], 0); sum >= rank {
			return Middle(i)
		}
	}
	return Middle(len(h) - 1)
}

// Percentiles sums the lengths up, of which the longest is longest nanoseconds.
func (h *Histogram) Percentiles(longest int64) model.Percentiles {
	at := func(q float64) int64 { return min(h.Quantile(q), longest) }
	return model.Percentiles{P50: at(.5), P90: at(.9), P99: at(.99), Max: longest}
}

// Counts reports whether h counts anything.
func (h *Histogram) Counts() bool {
	for _, n := range h {
		if n > 0 {
			return true
		}
	}
	return false
}
