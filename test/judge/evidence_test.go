// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/truth"
)

// TestEvidence sees to it that wrong evidence is called wrong.
func TestEvidence(t *testing.T) {
	const ms = int64(time.Millisecond)
	waits := truth.Entry{
		StartNS: 1000 * ms, EndNS: 1200 * ms, Kind: "recv", Function: "f", File: "/a.py", Lines: []int{7},
		Causes: []model.Cause{model.CauseNet}, Target: `^tcp 127\.0\.0\.1:80$`,
	}
	held := truth.Entry{
		StartNS: 2000 * ms, EndNS: 2200 * ms, Kind: "gil", Causes: []model.Cause{model.CauseGIL}, Nobody: true,
		Holder: &truth.Holder{TID: 5, Thread: "hoarder", Functions: []string{"hold"}},
	}
	good := func() []model.Block {
		return []model.Block{
			{
				StartNS: 1000 * ms, DurationNS: 200 * ms, Cause: model.CauseNet, Culprit: &model.Frame{Function: "f", File: "/a.py", Line: 7},
				Detail: model.Detail{Target: "tcp 127.0.0.1:80"},
			},
			{
				StartNS: 2000 * ms, DurationNS: 200 * ms, Cause: model.CauseGIL,
				Detail: model.Detail{Holder: &model.Holder{TID: 5, Thread: "hoarder", Frames: []model.Frame{
					{Function: "search"}, {Function: "hold", App: true}, {Function: "run", App: true},
				}}},
			},
		}
	}
	one, two := Tally{1, 1}, Tally{2, 2}
	for _, test := range []struct {
		name                           string
		change                         func(b []model.Block)
		cause, culprit, target, holder Tally
		unknown, blamed, queued        int
	}{
		{"right", func([]model.Block) {}, two, one, one, one, 0, 0, 0},
		{"another peer", func(b []model.Block) { b[0].Detail.Target = "tcp 127.0.0.1:8080" }, two, one, Tally{0, 1}, one, 0, 0, 0},
		{"no holder", func(b []model.Block) { b[1].Detail.Holder = nil }, two, one, one, Tally{0, 1}, 0, 0, 0},
		{"another thread", func(b []model.Block) { b[1].Detail.Holder.TID = 6 }, two, one, one, Tally{0, 1}, 0, 0, 0},
		{"the holder's caller", func(b []model.Block) { b[1].Detail.Holder.Frames = b[1].Detail.Holder.Frames[2:] }, two, one, one, Tally{0, 1}, 0, 0, 0},
		{"a line for the GIL", func(b []model.Block) { b[1].Culprit = &model.Frame{} }, two, one, one, one, 0, 1, 0},
		{"another cause for the GIL, and a line", func(b []model.Block) { b[1].Cause, b[1].Culprit = model.CauseCPU, &model.Frame{} }, Tally{1, 2}, one, one, one, 0, 1, 0},
		{"unknown", func(b []model.Block) { b[0].Cause = model.CauseUnknown }, Tally{1, 2}, Tally{}, one, one, 1, 0, 0},
		{"next line", func(b []model.Block) { b[0].Culprit.Line = 8 }, two, Tally{0, 1}, one, one, 0, 0, 0},
		{"many for single", func(b []model.Block) { b[0].Shape = model.ShapeMany }, Tally{1, 2}, one, one, one, 0, 0, 0},
		{"an excuse the kernel does not back", func(b []model.Block) {
			b[0].Cause, b[0].Culprit, b[0].BreakdownNS = model.CauseRunqueue, nil, map[model.Cause]int64{model.CauseRunqueue: 150 * ms}
		}, Tally{1, 2}, Tally{}, one, one, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			blocks := good()
			test.change(blocks)
			e := Hold(100*time.Millisecond, []truth.Entry{waits, held}, &model.Report{Blocks: blocks}, 0)
			assert.Equal(t, 2, e.Expected)
			assert.Equal(t, 2, e.Found)
			assert.Equal(t, test.cause, e.Cause, "cause")
			assert.Equal(t, test.culprit, e.Culprit, "culprit")
			assert.Equal(t, test.target, e.Target, "target")
			assert.Equal(t, test.holder, e.Holder, "holder")
			assert.Equal(t, test.unknown, e.Unknown, "unknown")
			assert.Equal(t, test.blamed, e.Blamed, "blamed")
			assert.Equal(t, test.queued, e.Queued, "queued")
		})
	}
}
