// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/truth"
)

// TestJudge sees to it that a wrong report is called wrong.
func TestJudge(t *testing.T) {
	const ms, threshold = int64(time.Millisecond), 20 * time.Millisecond
	entry := truth.Entry{
		StartNS: 1000 * ms, EndNS: 1030 * ms, Kind: "sleeping", Function: "f", File: "/a.py", Lines: []int{7},
		Causes: []model.Cause{model.CauseSleep},
	}
	short := entry
	short.StartNS, short.EndNS = 2000*ms, 2010*ms
	log := []truth.Entry{entry, short}
	good := model.Block{
		StartNS: 1000*ms - ms/10, DurationNS: 30*ms + ms/5, Cause: model.CauseSleep, Shape: model.ShapeSingle,
		Culprit: &model.Frame{Function: "f", File: "/a.py", Line: 7},
	}
	with := func(change func(*model.Block)) model.Block {
		b := good
		change(&b)
		return b
	}
	for _, test := range []struct {
		name                              string
		blocks                            []model.Block
		found, right, cause, alarms, more int
	}{
		{"perfect", []model.Block{good}, 1, 1, 1, 0, 0},
		{"nothing", nil, 0, 0, 0, 0, 1},
		{"elsewhere", []model.Block{with(func(b *model.Block) { b.StartNS += 500 * ms })}, 0, 0, 0, 1, 2},
		{"twice", []model.Block{good, good}, 1, 1, 1, 1, 1},
		{"next line", []model.Block{with(func(b *model.Block) { b.Culprit = &model.Frame{Function: "f", File: "/a.py", Line: 8} })}, 1, 0, 1, 0, 1},
		{"no culprit", []model.Block{with(func(b *model.Block) { b.Culprit = nil })}, 1, 0, 1, 0, 1},
		{"excuse not backed by the kernel", []model.Block{with(func(b *model.Block) { b.Culprit, b.Cause = nil, model.CauseRunqueue })}, 1, 0, 0, 0, 2},
		{"many for single", []model.Block{with(func(b *model.Block) { b.Shape = model.ShapeMany })}, 1, 1, 0, 0, 1},
		{"the short one, too", []model.Block{good, with(func(b *model.Block) { b.StartNS, b.DurationNS = 2000*ms, 21*ms })}, 1, 1, 1, 1, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := Blocks(threshold, log, test.blocks, nil)
			assert.Equal(t, 1, v.Expected)
			assert.Equal(t, test.found, v.Found, "found")
			assert.Equal(t, test.right, v.Right, "right")
			assert.Equal(t, test.cause, v.Cause, "cause")
			assert.Equal(t, test.alarms, v.FalseAlarms, "false alarms")
			assert.Len(t, v.Complaints, test.more, v.Summary())
		})
	}
}

// Of many callbacks each in which the machine stops is a block of its own.
func TestManyCallbacksInSeveralBlocks(t *testing.T) {
	const ms, threshold = int64(time.Millisecond), 5 * time.Millisecond
	entry := truth.Entry{
		StartNS: 1000 * ms, EndNS: 1038 * ms, Kind: "many_small", Function: "f", File: "/a.py", Lines: []int{7},
		Causes: []model.Cause{model.CauseCPU}, Shape: model.ShapeMany,
	}
	culprit := &model.Frame{Function: "f", File: "/a.py", Line: 7}
	blocks := []model.Block{
		{StartNS: 1000 * ms, DurationNS: 17 * ms, Cause: model.CauseCPU, Shape: model.ShapeSingle, Culprit: culprit, Period: 9},
		{StartNS: 1017 * ms, DurationNS: 18 * ms, Cause: model.CauseCPU, Shape: model.ShapeSingle, Culprit: culprit, Period: 9},
	}
	v := Blocks(threshold, []truth.Entry{entry}, blocks, nil)
	assert.Equal(t, 1, v.Found)
	assert.Equal(t, 1, v.Cause)
	assert.Equal(t, 1, v.Right)
	assert.Empty(t, v.Complaints, "both are parts of it")

	entry.Shape = ""
	v = Blocks(threshold, []truth.Entry{entry}, blocks, nil)
	assert.Zero(t, v.Found, "one call is one block")
	assert.Equal(t, 2, v.FalseAlarms)

	entry.Shape = model.ShapeMany
	v = Blocks(threshold, []truth.Entry{entry}, blocks[:1], nil)
	assert.Zero(t, v.Found, "most of it is missing")
}

// The code of a module is freed when its import ends: then the line that imports is as much as can be known.
func TestFreedCode(t *testing.T) {
	entry := truth.Entry{
		EndNS: 3e8, Kind: "importing", Function: "<module>", File: "/tmp/slow.py", Lines: []int{4}, Causes: []model.Cause{model.CauseImport},
	}
	freed := model.Block{
		DurationNS: 3e8, Cause: model.CauseImport, Shape: model.ShapeSingle, Leaf: &model.Frame{Function: model.Unreadable},
		Culprit: &model.Frame{Function: "importing", File: "/srv/app.py", Line: 9, App: true},
	}
	v := Blocks(20*time.Millisecond, []truth.Entry{entry}, []model.Block{freed}, nil)
	assert.Equal(t, 1, v.Right)
	assert.Equal(t, 1, v.Freed)
	assert.Empty(t, v.Complaints)
	freed.Leaf = &model.Frame{Function: "<module>", File: "/tmp/slow.py", Line: 4}
	v = Blocks(20*time.Millisecond, []truth.Entry{entry}, []model.Block{freed}, nil)
	assert.Zero(t, v.Right, "the module could be read")
	assert.Zero(t, v.Freed)
}

// Where finding a module took as long as running it, the line that imports may be named.
func TestSlowImport(t *testing.T) {
	entry := truth.Entry{
		StartNS: 4e8, EndNS: 7e8, Kind: "importing", Function: "<module>", File: "/tmp/slow.py", Lines: []int{4}, Causes: []model.Cause{model.CauseImport},
	}
	slow := model.Block{
		StartNS: 1e8, DurationNS: 6e8, Cause: model.CauseImport, Shape: model.ShapeSingle, Leaf: &model.Frame{Function: "find_spec"},
		Culprit: &model.Frame{Function: "importing", File: "/srv/app.py", Line: 9, App: true},
	}
	v := Blocks(20*time.Millisecond, []truth.Entry{entry}, []model.Block{slow}, nil)
	assert.Equal(t, 1, v.Right)
	assert.Empty(t, v.Complaints)
	slow.StartNS, slow.DurationNS = 2e8, 5e8
	v = Blocks(20*time.Millisecond, []truth.Entry{entry}, []model.Block{slow}, nil)
	assert.Zero(t, v.Right, "the module took longer")
}

// A thread without a CPU waits for the GIL, too: for threads that have none either.
func TestStarved(t *testing.T) {
	const ms = int64(time.Millisecond)
	entry := truth.Entry{EndNS: 30 * ms, Kind: "f", Function: "f", File: "/a.py", Lines: []int{7}, Causes: []model.Cause{model.CauseLock}, RunDelayNS: 11 * ms}
	block := model.Block{DurationNS: 30 * ms, Cause: model.CauseGIL, Shape: model.ShapeSingle, BreakdownNS: map[model.Cause]int64{model.CauseGIL: 13 * ms, model.CauseRunqueue: 11 * ms}}
	v := Blocks(20*time.Millisecond, []truth.Entry{entry}, []model.Block{block}, nil)
	assert.Equal(t, 1, v.Queued)
	assert.Empty(t, v.Complaints)
	entry.RunDelayNS = 5 * ms
	v = Blocks(20*time.Millisecond, []truth.Entry{entry}, []model.Block{block}, nil)
	assert.Zero(t, v.Queued, "the kernel does not agree")
	entry.RunDelayNS, block.BreakdownNS[model.CauseRunqueue] = 11*ms, 4*ms
	v = Blocks(20*time.Millisecond, []truth.Entry{entry}, []model.Block{block}, nil)
	assert.Zero(t, v.Queued, "it waited for a CPU too briefly")
}

// Of several blocks in one period the witness knows the period only.
func TestWitnessOfSeveralBlocks(t *testing.T) {
	const ms = int64(time.Millisecond)
	log := []truth.Entry{{StartNS: 1, EndNS: 2}}
	blocks := []model.Block{
		{TID: 7, StartNS: 100 * ms, DurationNS: 30 * ms, Period: 9},
		{TID: 7, StartNS: 130 * ms, DurationNS: 40 * ms, Period: 9},
	}
	v := Blocks(20*time.Millisecond, log, blocks, Seen{{7, 100 * ms, 170 * ms}})
	assert.Zero(t, v.FalseAlarms)
	assert.Len(t, v.Unplanned, 2)
	v = Blocks(20*time.Millisecond, log, blocks, Seen{{7, 100 * ms, 180 * ms}})
	assert.Equal(t, 2, v.FalseAlarms)
}

// What of a block lies in the wait the witness may not know; the rest of it has to be there.
func TestWitnessOfLateBlocks(t *testing.T) {
	const ms = int64(time.Millisecond)
	log := []truth.Entry{{StartNS: 1, EndNS: 2}}
	block := model.Block{TID: 7, StartNS: 100 * ms, DurationNS: 30 * ms, InWait: true}
	v := Blocks(20*time.Millisecond, log, []model.Block{block}, Seen{{7, 110 * ms, 130 * ms}})
	assert.Equal(t, 1, v.LateUnseen)
	assert.Zero(t, v.FalseAlarms)
	v = Blocks(20*time.Millisecond, log, []model.Block{block}, Seen{{7, 20 * ms, 2000 * ms}, {7, 110 * ms, 130 * ms}})
	assert.Equal(t, 1, v.LateUnseen, "periods of other waits lie around it")
	for _, seen := range []Seen{{{7, 110 * ms, 140 * ms}}, {{7, 90 * ms, 130 * ms}}, nil} {
		v = Blocks(20*time.Millisecond, log, []model.Block{block}, seen)
		assert.Equal(t, 1, v.FalseAlarms, "%v", seen)
	}
	block.InWait = false
	v = Blocks(20*time.Millisecond, log, []model.Block{block}, Seen{{7, 110 * ms, 130 * ms}})
	assert.Equal(t, 1, v.FalseAlarms)
}
