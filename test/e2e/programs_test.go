package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/testpython"
)

// TestLogs holds the truth programs' logs against themselves: without loopwatch, on every
// interpreter and loop. A suite whose truth is wrong proves nothing.
func TestLogs(t *testing.T) {
	const threshold = 20 * time.Millisecond
	all := perform(t, newStage(t), testpython.All(t), "--threshold", "0.02", "--over", "1", "--under", "1")
	demandCoverage(t, all)
	for _, p := range all {
		kinds := map[string]int{}
		var last int64
		over := 0
		for _, e := range p.log {
			what := p.name() + ": " + e.Kind
			kinds[e.Kind]++
			require.Greater(t, e.StartNS, last, "%s: blocks do not overlap", what)
			last = e.EndNS
			require.Positive(t, e.DurationNS(), what)
			require.NotEmpty(t, e.Causes, what)
			require.NotEmpty(t, e.Lines, what)
			require.NotEmpty(t, e.Function, what)
			require.True(t, strings.HasPrefix(e.File, "/") || strings.HasPrefix(e.File, "<"), "%s: file %s", what, e.File)
			if e.Kind == "in_map" { // its function is a local one
				assert.Equal(t, p.python.Minor >= 11, strings.Contains(e.Function, "<locals>"), "%s: qualified name %s", what, e.Function)
			}
			if float64(e.WantedNS) > mustFind*float64(threshold) && float64(e.DurationNS()) > mustFind*float64(threshold) {
				over++
			}
		}
		for kind, times := range kinds {
			if kind != "many_small" {
				assert.Equal(t, 2, times, "%s: %s once over and once under the threshold", p.name(), kind)
			}
		}
		assert.GreaterOrEqual(t, over, len(kinds)*9/10, "%s: what is to be long is long", p.name())
		if p.loop != "asyncio-thread" {
			assert.Equal(t, p.pid, p.log[0].TID, p.name())
		}
	}
}
