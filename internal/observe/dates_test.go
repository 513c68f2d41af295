// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// TestBlocksAreDatedByTheClockAsItIsSet sets the wall clock between two blocks, and suspends the machine before a third.
func TestBlocksAreDatedByTheClockAsItIsSet(t *testing.T) {
	const second = int64(time.Second)
	begin := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	var ahead time.Duration // of the wall clock, since the beginning
	wall := func(at int64) time.Time { return begin.Add(time.Duration(at) + ahead) }
	builder := summary.NewBuilder(summary.Limits{})
	var sightings []Sighting
	report := dated(wall, builder.Add)
	watch := sighted(wall, func(tid int) model.Loop { return model.Loop{TID: tid} }, func(s Sighting) { sightings = append(sightings, s) })
	for i, step := range []time.Duration{0, -time.Hour, 9 * time.Hour} {
		ahead += step
		b := model.Block{PID: 7, TID: 7, StartNS: int64(i+1) * second, DurationNS: second / 2, Cause: model.CauseSleep}
		report(b)
		watch(b)
	}
	want := []string{"2026-02-03T04:05:07Z", "2026-02-03T03:05:08Z", "2026-02-03T12:05:09Z"}
	rep := builder.Report(summary.Meta{StartedAt: begin, EndedNS: 4 * second}, nil)
	var out bytes.Buffer
	require.NoError(t, json.NewEncoder(&out).Encode(rep.Blocks))
	for i, at := range want {
		assert.Equal(t, at, rep.Blocks[i].StartedAt)
		assert.Equal(t, at, sightings[i].StartedAt)
		assert.Equal(t, at, sightings[i].Start.Format(time.RFC3339Nano))
		assert.Equal(t, int64(i+1)*second, rep.Blocks[i].StartNS, "no step of that clock moves it")
		assert.Contains(t, out.String(), `"started_at":"`+at+`"`)
	}
}
