// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// silence has a program's memory stop answering.
func silence(t *testing.T, p *program) {
	t.Helper()
	_, err := p.stdin.Write([]byte("\n"))
	require.NoError(t, err)
	e, err := p.next()
	require.NoError(t, err)
	require.Equal(t, "silent", e.Event)
	watched, err := process.Open(p.pid())
	require.NoError(t, err)
	asleep := 0
	require.Eventually(t, func() bool {
		call, err := watched.Syscall(p.pid())
		if asleep++; err != nil || call.Running {
			asleep = 0
		}
		return asleep > 20 // in a page fault, or in the call that took the page away: others may be reading it
	}, patience, time.Millisecond)
}

// TestSilentMemory: processes whose memory does not answer hold nothing up. They are listed, and blocks of others are found
// as ever: with processes that are silent before the start, and that become so in the middle.
func TestSilentMemory(t *testing.T) {
	python := onHost(t, "asyncio")
	stage := newStage(t)
	var before, meanwhile []*program
	for _, memory := range []string{"heap", "code"} {
		for _, to := range []*[]*program{&before, &meanwhile} {
			p := stage.run(t, python, truth.Silent, memory)
			require.NoError(t, p.ready())
			*to = append(*to, p)
		}
	}
	for _, p := range before {
		silence(t, p)
	}
	p := sleeper(t, python, seconds(usualThreshold()))
	w := watch(t, "--threshold", usualThreshold().String(), "--duration", "1h")
	for _, p := range meanwhile {
		silence(t, p)
	}
	log, err := p.play()
	require.NoError(t, err)
	rep := w.stop(t)
	v := judge.Blocks(usualThreshold(), log, judge.BlocksOf(rep, p.pid()), p.waits)
	assert.Equal(t, 1, v.Right, v.Summary())
	assert.Empty(t, v.Complaints)
	listedSilent(t, before, rep.Unsupported)
	assert.Positive(t, rep.Lost.Reasons["reads_of_memory_given_up"])

	var d model.Dump
	require.NoError(t, json.Unmarshal([]byte(do(t, 0, "dump", "--format", "json").stdout), &d))
	listedSilent(t, slices.Concat(before, meanwhile), d.Unsupported)
}

func listedSilent(t *testing.T, programs []*program, listed []model.Unsupported) {
	t.Helper()
	for _, p := range programs {
		n := slices.IndexFunc(listed, func(u model.Unsupported) bool { return u.PID == p.pid() })
		if assert.GreaterOrEqual(t, n, 0, "%d is not listed", p.pid()) {
			assert.Equal(t, python.SilentReason, listed[n].Reason)
		}
	}
}
