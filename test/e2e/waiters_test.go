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

// TestWaiters: whose events had to wait for a block to end, in both ways to attach.
func TestWaiters(t *testing.T) {
	for _, loop := range []string{"asyncio", "uvloop", "gevent"} {
		t.Run(loop, func(t *testing.T) {
			python := onHost(t, loop)
			p := newStage(t).run(t, python, truth.Waiting, loop, t.TempDir())
			require.NoError(t, p.ready())
			w := watch(t, "--pid", itoa(p.pid()), "--duration", "1h")
			time.Sleep(settling)
			require.NoError(t, p.stdin.Close())
			log := logOf(t, p, func(e truth.Waiters) bool { return e.Event == "done" })
			rep := w.stop(t)
			require.Len(t, log, 11)
			blocks := judge.BlocksOf(rep, p.pid())
			for _, e := range log {
				d := blockAt(t, blocks, e.Kind, e.StartNS, e.EndNS).Delayed
				if e.By == nil || !assert.NotNil(t, d, e.Kind) {
					continue
				}
				got, events := map[string]int64{}, int64(0)
				for _, b := range d.By {
					got[b.Target] += b.Events
				}
				for target, n := range e.By {
					if target != model.TargetTimer {
						events += n
					}
				}
				assert.Equal(t, e.By, got, e.Kind)
				assert.Equal(t, events, d.Events, "%s: events", e.Kind)
				assert.True(t, slices.IsSortedFunc(d.By, func(x, y model.DelayedBy) int { return int(y.Events - x.Events) }), e.Kind)
			}
		})
	}
}
