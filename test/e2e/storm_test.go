// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
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

// missed describes the blocks that lie in none of those printed.
func missed(reports []stormReport, printed []model.Block) (out []string) {
	const slack = int64(time.Millisecond)
	byPID := map[int][][2]int64{}
	for _, p := range stretches(printed) {
		byPID[p.pid] = append(byPID[p.pid], p.span)
	}
	for _, r := range reports {
		for _, own := range r.Blocks {
			if slices.ContainsFunc(byPID[r.PID], func(s [2]int64) bool { return s[0] <= own[0]+slack && s[1] >= own[1]-slack }) {
				continue
			}
			said := fmt.Sprintf("process %d, %d to %d, beside", r.PID, own[0], own[1])
			for _, b := range printed {
				if end := b.StartNS + b.DurationNS; b.PID == r.PID && b.StartNS < own[1]+10*slack && end > own[0]-10*slack {
					said += fmt.Sprintf(" [%d to %d, period %d, ongoing %v, %s]", b.StartNS, end, b.Period, b.Ongoing, b.Cause)
				}
			}
			out = append(out, said)
		}
	}
	return out
}

// stretch is a block of one process, or several of one active period.
type stretch struct {
	pid  int
	span [2]int64
}

// stretches returns the blocks that have ended. Where the machine stood still in two callbacks of one period, these are blocks
// of their own, and others may be printed between them: they make one stretch.
func stretches(printed []model.Block) (out []stretch) {
	type period struct {
		pid    int
		number uint64
	}
	at := map[period]int{}
	for _, b := range printed {
		if b.Ongoing {
			continue
		}
		span := [2]int64{b.StartNS, b.StartNS + b.DurationNS}
		i, there := at[period{b.PID, b.Period}]
		if b.Period == 0 || !there {
			at[period{b.PID, b.Period}] = len(out)
			out = append(out, stretch{b.PID, span})
			continue
		}
		out[i].span = [2]int64{min(out[i].span[0], span[0]), max(out[i].span[1], span[1])}
	}
	return out
}
