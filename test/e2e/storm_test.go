// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/truth"
)

// storm is a running truth.Storm.
type storm struct{ *program }

// stormReport is what one of its processes says: [begin, end] of its blocks.
type stormReport struct {
	PID    int
	Blocks [][2]int64
}

// newStorm starts processes that will block their loops.
func newStorm(t *testing.T, processes int, rate float64, length time.Duration, times int) storm {
	t.Helper()
	p := newStage(t).run(t, newest(t), truth.Storm, itoa(processes), ftoa(rate), ftoa(length.Seconds()), itoa(times))
	line, err := p.line()
	require.NoError(t, err)
	require.Equal(t, "ready", string(line))
	return storm{p}
}

func (s storm) flags() []string { return []string{"--pid", itoa(s.pid()), "--children"} }

// play lets it go and returns what the processes did.
func (s storm) play(t *testing.T) []stormReport {
	t.Helper()
	require.NoError(t, s.stdin.Close())
	return s.reports(t)
}

// reports waits for the end of one that was let go.
func (s storm) reports(t *testing.T) []stormReport {
	t.Helper()
	var all []stormReport
	for s.lines.Scan() {
		var r stormReport
		require.NoError(t, json.Unmarshal(s.lines.Bytes(), &r))
		all = append(all, r)
	}
	require.NoError(t, s.lines.Err())
	require.NotEmpty(t, all, s.stderr.String())
	return all
}

func countBlocks(reports []stormReport) (n int) {
	for _, r := range reports {
		n += len(r.Blocks)
	}
	return n
}

// missed counts the blocks that lie in none of those printed.
func missed(reports []stormReport, printed []model.Block) (n int) {
	const slack = int64(time.Millisecond)
	byPID := map[int][]model.Block{}
	for i := 0; i < len(printed); i++ {
		b := printed[i]
		for ; b.Period != 0 && i+1 < len(printed) && printed[i+1].PID == b.PID && printed[i+1].Period == b.Period; i++ {
			b.DurationNS += printed[i+1].DurationNS // where the machine stood still in two callbacks: they adjoin
		}
		if !b.Ongoing {
			byPID[b.PID] = append(byPID[b.PID], b)
		}
	}
	for _, r := range reports {
		for _, own := range r.Blocks {
			if !slices.ContainsFunc(byPID[r.PID], func(b model.Block) bool {
				return b.StartNS <= own[0]+slack && b.StartNS+b.DurationNS >= own[1]-slack
			}) {
				n++
			}
		}
	}
	return n
}
