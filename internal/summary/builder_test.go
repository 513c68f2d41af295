// SPDX-License-Identifier: Apache-2.0

package summary

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
)

// ms makes the tests read like the reports.
const ms = int64(time.Millisecond)

func sleepBlock(pid, tid int, start, duration int64, function string) model.Block {
	f := model.Frame{Function: function, File: "/srv/app.py", Line: 42, App: true}
	return model.Block{
		PID: pid, TID: tid, StartNS: start, DurationNS: duration, Cause: model.CauseSleep,
		BreakdownNS: map[model.Cause]int64{model.CauseSleep: duration},
		Culprit:     &f, Leaf: &f,
		Stacks: []model.Stack{{NS: duration, Cause: model.CauseSleep, Frames: []model.Frame{f}}},
	}
}

func TestAssembleGroupsAndCounts(t *testing.T) {
	a, b := sleepBlock(1, 1, 500, 200*ms, "slow"), sleepBlock(2, 3, 100, 300*ms, "slow")
	c := sleepBlock(1, 1, 900, 400*ms, "other")
	cpu := sleepBlock(1, 1, 1000, 50*ms, "slow")
	cpu.Cause, cpu.Ongoing = model.CauseCPU, true
	queued := model.Block{PID: 2, TID: 3, StartNS: 2000, DurationNS: 10 * ms, Cause: model.CauseRunqueue}
	r := Assemble(Meta{StartedAt: time.Unix(0, 0).UTC()},
		[]model.Loop{{PID: 1, TID: 1, ActiveNS: 650, IdleNS: 350, Blocks: 99}, {PID: 2, TID: 3}, {PID: 9, TID: 9}},
		[]model.Block{a, b, c, cpu, queued})

	require.Len(t, r.Blockers, 4)
	slow := r.Blockers[0]
	assert.Equal(t, "slow", slow.Culprit.Function)
	assert.Equal(t, model.CauseSleep, slow.Cause)
	assert.EqualValues(t, 2, slow.Count)
	assert.Equal(t, 500*ms, slow.TotalNS)
	assert.Equal(t, 300*ms, slow.MaxNS)
	assert.Equal(t, []model.LoopID{{PID: 1, TID: 1}, {PID: 2, TID: 3}}, slow.Loops)
	assert.Equal(t, "other", r.Blockers[1].Culprit.Function)
	assert.Equal(t, model.CauseCPU, r.Blockers[2].Cause, "another cause is another blocker")
	assert.Nil(t, r.Blockers[3].Culprit)
	assert.NotNil(t, r.Blockers[3].Stack, "lists are never null")

	assert.Equal(t, []int64{100, 500, 900, 1000, 2000}, startsOf(r.Blocks))
	assert.NotNil(t, r.Blocks[4].Stacks)
	assert.NotNil(t, r.Blocks[4].BreakdownNS)

	require.Len(t, r.Loops, 3)
	assert.Equal(t, model.Loop{PID: 1, TID: 1, ActiveNS: 650, IdleNS: 350, Utilization: 0.65,
		Blocks: 3, BlockedNS: 650 * ms, InBlockNS: 50 * ms}, r.Loops[0])
	assert.EqualValues(t, 310*ms, r.Loops[1].BlockedNS)
	assert.Zero(t, r.Loops[2].Blocks)

	r = Assemble(Meta{}, nil, []model.Block{a})
	require.Len(t, r.Loops, 1, "a block without its loop's statistics still counts")
	assert.Equal(t, model.Loop{PID: 1, TID: 1, Loop: "unknown", Blocks: 1, BlockedNS: 200 * ms}, r.Loops[0])
}

func TestBuilderKeepsTheLongestAndExactTotals(t *testing.T) {
	b := NewBuilder(Limits{Blocks: 10, Stacks: 2, Blockers: 5})
	r := rand.New(rand.NewPCG(1, 2))
	var durations []int64
	var total int64
	for i := range 1000 {
		d := 1 + r.Int64N(1e9)
		durations = append(durations, d)
		total += d
		block := sleepBlock(1, 1, int64(i), d, fmt.Sprintf("f%d", i%7))
		block.Stacks = append(block.Stacks, model.Stack{NS: d + 1}, model.Stack{NS: 1})
		b.Add(block)
	}
	rep := b.Report(Meta{Lost: model.Lost{Events: 3, Reasons: map[string]int64{"ring_full": 3}}}, []model.Loop{{PID: 1, TID: 1}})

	slices.Sort(durations)
	kept := make([]int64, 0, 10)
	for _, block := range rep.Blocks {
		kept = append(kept, block.DurationNS)
		require.Len(t, block.Stacks, 2)
		assert.Equal(t, block.DurationNS+1, block.Stacks[0].NS, "heaviest first")
	}
	slices.Sort(kept)
	assert.Equal(t, durations[990:], kept)
	assert.EqualValues(t, 1000, rep.Loops[0].Blocks)
	assert.Equal(t, total, rep.Loops[0].BlockedNS)
	require.Len(t, rep.Blockers, 5)
	var counted int64
	for _, blocker := range rep.Blockers {
		counted += blocker.Count
	}
	assert.EqualValues(t, 1000, counted+rep.Lost.Reasons[ReasonBlockersOverLimit])
	assert.EqualValues(t, 990, rep.Lost.Reasons[ReasonBlocksOverLimit])
	assert.EqualValues(t, 1000, rep.Lost.Reasons[ReasonStacksOverLimit])
	assert.EqualValues(t, 3, rep.Lost.Reasons["ring_full"])
}

func TestBuilderBoundsFrames(t *testing.T) {
	b := NewBuilder(Limits{Frames: 100})
	for i := range 20 {
		block := sleepBlock(1, 1, int64(i), int64(i+1), "f")
		block.Stacks[0].Frames = slices.Repeat(block.Stacks[0].Frames, 30)
		b.Add(block)
	}
	r := b.Report(Meta{}, nil)
	assert.Equal(t, []int64{17, 18, 19}, startsOf(r.Blocks))
}

// TestBuilderBoundsMemory: blocks of deep stacks and long names, each of a blocker of its own, take no more memory than there is
// room for.
func TestBuilderBoundsMemory(t *testing.T) {
	b := NewBuilder(Limits{Frames: 1000, Bytes: 1 << 20})
	for i := range 200 {
		name := strings.Repeat(fmt.Sprint(i), maxString/4)
		block := sleepBlock(1, 1, int64(i), int64(i+1), name)
		block.Stacks[0].Frames = slices.Repeat(block.Stacks[0].Frames, 100)
		b.Add(block)
	}
	r := b.Report(Meta{}, nil)
	require.NotEmpty(t, r.Blocks)
	size, frames := 0, 0
	for i := range r.Blocks {
		size += r.Blocks[i].Size()
	}
	for _, blocker := range r.Blockers {
		assert.NotEmpty(t, blocker.Stack)
		frames += len(blocker.Stack)
	}
	assert.LessOrEqual(t, size, 1<<20)
	assert.Len(t, r.Blockers, 200)
	assert.LessOrEqual(t, frames, 1000+200*fewFrames)
}

func TestAssembleBoundsForeignStrings(t *testing.T) {
	shared := []model.Frame{{Function: strings.Repeat("é", 100_000), File: "a\xffb"}}
	block := model.Block{PID: 1, TID: 1, DurationNS: 1, Culprit: &shared[0], Stacks: []model.Stack{{NS: 1, Frames: shared}}}
	r := Assemble(Meta{}, []model.Loop{{Command: strings.Repeat("x", 1<<20)}}, []model.Block{block})
	for _, f := range []model.Frame{*r.Blocks[0].Culprit, r.Blocks[0].Stacks[0].Frames[0], r.Blockers[0].Stack[0]} {
		assert.LessOrEqual(t, len(f.Function), maxString)
		assert.Equal(t, "a\ufffdb", f.File)
	}
	assert.LessOrEqual(t, len(r.Loops[0].Command), maxString)
	assert.Equal(t, "a\xffb", shared[0].File, "frames others share are not changed")
}

func startsOf(blocks []model.Block) []int64 {
	starts := make([]int64, len(blocks))
	for i, b := range blocks {
		starts[i] = b.StartNS
	}
	return starts
}
