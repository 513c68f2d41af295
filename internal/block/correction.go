// SPDX-License-Identifier: Apache-2.0

package block

// Correction is what the loop's statistics have wrong about a period: the kernel cannot know that the loop rested in it,
// or that the loop had ended.
type Correction struct {
	Removed, Added []int64 // lengths of active periods
	RestNS         int64   // was active, but is time at rest
}

// Corrections are those of one loop, in sum. The zero value has none.
type Corrections struct{ sum Correction }

// maxCorrections bounds the memory of one loop's corrections; later ones correct sums only.
const maxCorrections = 4096

// Enter adds what a judgement corrects.
func (f *Corrections) Enter(c Correction) {
	f.sum.RestNS += c.RestNS
	if len(c.Removed) > 0 && len(f.sum.Removed) >= maxCorrections {
		return
	}
	f.sum.Removed = append(f.sum.Removed, c.Removed...)
	f.sum.Added = append(f.sum.Added, c.Added...)
}

// Statistics are a loop's, of the lengths of its active periods.
type Statistics interface {
	Remove(ns int64)
	Add(ns int64)
}

// Apply corrects statistics, and returns what is to be added to the loop's time at rest.
func (f *Corrections) Apply(s Statistics) (restNS int64) {
	for _, ns := range f.sum.Removed {
		s.Remove(ns)
	}
	for _, ns := range f.sum.Added {
		s.Add(ns)
	}
	return f.sum.RestNS
}
