// SPDX-License-Identifier: Apache-2.0

package words

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/model"
)

func TestTook(t *testing.T) {
	const ms = 1_000_000
	for _, test := range []struct {
		b          model.Block
		took, note string
	}{
		{model.Block{DurationNS: 180 * ms}, "180 ms", ""},
		{model.Block{DurationNS: 180 * ms, PeriodNS: 351 * ms}, "180 ms of 351 ms", "one of several in 351 ms"},
		{model.Block{DurationNS: 180 * ms, PeriodNS: 351 * ms, Ongoing: true}, "≥ 180 ms of 351 ms", "one of several in ≥ 351 ms"},
	} {
		assert.Equal(t, test.took, Took(&test.b))
		assert.Equal(t, test.note, OfPeriod(&test.b))
		assert.Equal(t, max(test.b.DurationNS, test.b.PeriodNS), test.b.WholeNS())
	}
}
