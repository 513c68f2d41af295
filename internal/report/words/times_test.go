// SPDX-License-Identifier: Apache-2.0

package words

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/model"
)

func TestStartOf(t *testing.T) {
	r := &model.Report{StartedAt: "2026-02-03T04:05:06+01:00", StartedNS: 5e9}
	b := &model.Block{StartNS: 65e8}
	assert.Equal(t, "04:05:07.500", StartOf(r, b))
	b.StartedAt = "2026-02-03T05:05:07.25+01:00"
	assert.Equal(t, "05:05:07.250", StartOf(r, b), "the clock was set meanwhile")
	b.StartedAt = "\x1b[31m"
	assert.Equal(t, "04:05:07.500", StartOf(r, b))
	r.StartedAt = ""
	assert.Empty(t, StartOf(r, b))
}
