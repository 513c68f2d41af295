// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Each counter of the kernel side has a reason of its own that reports print.
func TestEveryCounterHasAReason(t *testing.T) {
	seen := map[string]bool{}
	for i, c := range counters {
		assert.Regexp(t, "^[a-z_]{8,}$", c.reason, "counter %d", i)
		assert.False(t, seen[c.reason], c.reason)
		seen[c.reason] = true
	}
}

func TestLosses(t *testing.T) {
	assert.True(t, LosesEvents("records_lost_ring_full"))
	assert.False(t, LosesStacks("records_lost_ring_full"))
	assert.True(t, LosesStacks("frames_unreadable"))
	for _, reason := range []string{"holders_unreadable", "returns_to_cpu_worked_out", "processes_unreadable", ""} {
		assert.False(t, LosesEvents(reason) || LosesStacks(reason), reason)
	}
}
