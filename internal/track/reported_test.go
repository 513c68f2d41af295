// SPDX-License-Identifier: Apache-2.0

package track

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A block is reported once while it goes on, and so is the next one of the same period.
func TestReported(t *testing.T) {
	last := reported{period: 4, startNS: 1000 * ms}
	assert.True(t, last.is(4, 1000*ms, 100*time.Millisecond))
	assert.True(t, last.is(4, 1020*ms, 100*time.Millisecond), "its beginning has become clearer")
	assert.False(t, last.is(4, 1150*ms, 100*time.Millisecond), "the next one")
	assert.False(t, last.is(5, 1000*ms, 100*time.Millisecond), "another period")
}
