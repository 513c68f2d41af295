// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// passing is a verdict on half an hour without a fault.
func passing() verdict {
	var samples []sample
	begun := time.Unix(0, 0)
	for i := range 180 {
		s := sample{at: begun.Add(time.Duration(i) * sampleEvery), resident: 30 << 20}
		if i%6 == 3 {
			s.resident = 50 << 20 // what is told after an overflow
		}
		samples = append(samples, s)
	}
	quiet := sample{descriptors: 77, probes: 23, entries: map[string]int64{"threads": 2}, kept: map[string]int64{"goroutines": 5}}
	return verdict{
		length: 30 * time.Minute, samples: samples, before: quiet, after: quiet, told: 1800, lost: 10, missed: 10,
		done: map[string]int64{overflows: 3}, reasons: map[string]int64{"records_lost_ring_full": 5},
	}
}

func TestPasses(t *testing.T) {
	v := passing()
	var out bytes.Buffer
	assert.NoError(t, v.print(&out))
	assert.Contains(t, out.String(), "Passed.")
}

// TestComplaints: each fault is seen.
func TestComplaints(t *testing.T) {
	for name, spoil := range map[string]func(*verdict){
		"descriptors":           func(v *verdict) { v.after.descriptors++ },
		"probes attached":       func(v *verdict) { v.after.probes++ },
		"map threads":           func(v *verdict) { v.after.entries = map[string]int64{"threads": 3} },
		"kept goroutines":       func(v *verdict) { v.after.kept = map[string]int64{"goroutines": 6} },
		"of the dead":           func(v *verdict) { v.before.dead, v.after.dead = 1, 1 },
		"grows by 2.0 MiB":      func(v *verdict) { v.grow(2 << 20) },
		"no block":              func(v *verdict) { v.told = 0 },
		"11 blocks are missing": func(v *verdict) { v.missed++ },
		"planted":               func(v *verdict) { v.planted = "it is not told" },
		"did not overflow":      func(v *verdict) { v.reasons = nil },
		"stops never":           func(v *verdict) { v.never = []string{"stops"} },
	} {
		v := passing()
		v.before.entries, v.before.kept = maps.Clone(v.before.entries), maps.Clone(v.before.kept)
		spoil(&v)
		said := v.complaints()
		if assert.NotEmpty(t, said, name) {
			assert.Contains(t, said[0], name)
		}
		var out bytes.Buffer
		assert.ErrorIs(t, v.print(&out), errFailed, name)
	}
}

// grow has the resident size grow by so much an hour.
func (v *verdict) grow(bytes float64) {
	for i := range v.samples {
		v.samples[i].resident += int64(bytes * v.samples[i].at.Sub(v.samples[0].at).Hours())
	}
}

// TestShortRun: of few samples it is said whether they can be told from those of a size that does not grow.
func TestShortRun(t *testing.T) {
	v := passing()
	v.length, v.samples = 5*time.Minute, v.samples[:30]
	v.grow(100 << 20)
	assert.NotEmpty(t, v.complaints(), "that much is seen")

	v.length, v.samples = 2*time.Minute, v.samples[:12]
	assert.Empty(t, v.complaints(), "two points make no line")
}
