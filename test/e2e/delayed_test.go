// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// TestDelayed: who had to wait for a block to end, and, where fentry sees them come, since when.
func TestDelayed(t *testing.T) {
	p := newStage(t).run(t, newest(t), truth.Delaying)
	require.NoError(t, p.ready())
	w := watch(t, "--pid", itoa(p.pid()), "--duration", "1h")
	time.Sleep(settling)
	require.NoError(t, p.stdin.Close())
	log := logOf(t, p, func(e truth.Delayed) bool { return e.Event == "done" })
	rep := w.stop(t)
	require.Len(t, log, 5)
	blocks := judge.BlocksOf(rep, p.pid())
	for _, e := range log {
		b := blockAt(t, blocks, e.Kind, e.StartNS, e.EndNS)
		if !assert.NotNil(t, b.Delayed, e.Kind) {
			continue
		}
		assert.Equal(t, e.Events, b.Delayed.Events, "%s: events", e.Kind)
		if e.FirstNS == nil || rep.Host.Attach != "fentry" {
			assert.Zero(t, b.Delayed.MaxNS, "%s: nobody can know", e.Kind)
			continue
		}
		// The program looks at the clock before it sends and after: it may lose the CPU in between.
		most, least := b.StartNS+b.DurationNS-e.FirstNS[0], b.StartNS+b.DurationNS-e.FirstNS[1]
		t.Logf("%s: waited %v to %v by the program's clock, %v by the report", e.Kind, time.Duration(least), time.Duration(most), time.Duration(b.Delayed.MaxNS))
		assert.LessOrEqual(t, b.Delayed.MaxNS, most, e.Kind)
		assert.GreaterOrEqual(t, b.Delayed.MaxNS, least, e.Kind)
	}
}

// blockAt returns the block that takes at least half of the time from start to end.
func blockAt(t *testing.T, blocks []model.Block, kind string, start, end int64) model.Block {
	t.Helper()
	n := slices.IndexFunc(blocks, func(b model.Block) bool {
		return 2*judge.Overlap(b.StartNS, b.StartNS+b.DurationNS, start, end) >= end-start
	})
	require.GreaterOrEqual(t, n, 0, "%s: not found", kind)
	return blocks[n]
}
