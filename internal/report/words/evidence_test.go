// SPDX-License-Identifier: Apache-2.0

package words

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/model"
)

func TestEvidenceOfACall(t *testing.T) {
	d := model.Detail{Called: "time.sleep", Scheduled: &model.Frame{Function: "start", File: "/srv/\x1b[31mapp.py", Line: 12, App: true}, Syscall: "clock_nanosleep"}
	got := Evidence(d)
	assert.Contains(t, got, "the loop itself called time.sleep, scheduled by start ")
	assert.Contains(t, got, "app.py:12, in clock_nanosleep")
	assert.NotContains(t, got, "\x1b")
	d.Called = ""
	assert.Contains(t, Evidence(d), "scheduled by start ")
}
