// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/truth"
)

func example() Program {
	const ms = int64(time.Millisecond)
	return Program{
		Python: "cpython-3.11.2", Version: "3.11.2", Program: truth.Causing, Loop: "uvloop", PID: 5, ThresholdNS: 100 * ms,
		Log: []truth.Entry{
			{TID: 5, StartNS: 1000 * ms, EndNS: 1200 * ms, Kind: "recv", Function: "f", File: "/a.py", Lines: []int{7},
				Causes: []model.Cause{model.CauseNet}, Target: "^tcp <1>&$", PreparedNS: [2]int64{1, 2}},
			{Event: "done", StartNS: 3000 * ms, EndNS: 3000 * ms, WrittenNS: 3000 * ms},
		},
		Unplanned: []Span{{5, 2000 * ms, 2150 * ms}},
	}
}

// A recorded program is judged as it was when it ran: the block that the kernel backed then is none to complain of, and
// every other is.
func TestProgram(t *testing.T) {
	const ms = int64(time.Millisecond)
	p := example()
	block := model.Block{PID: 5, TID: 5, StartNS: 1000 * ms, DurationNS: 200 * ms, Cause: model.CauseNet,
		Culprit: &model.Frame{Function: "f", File: "/a.py", Line: 7}, Detail: model.Detail{Target: "tcp <1>&"}}
	backed := model.Block{PID: 5, TID: 5, StartNS: 2000*ms + ms/4, DurationNS: 150 * ms}
	other := model.Block{PID: 6, TID: 6, StartNS: 1000 * ms, DurationNS: 200 * ms}
	with := func(change func(*model.Block)) model.Block {
		b := block
		change(&b)
		return b
	}
	for _, test := range []struct {
		name                       string
		blocks                     []model.Block
		missed, alarms, complaints int
	}{
		{"right", []model.Block{block, backed, other}, 0, 0, 0},
		{"missed", []model.Block{backed}, 1, 0, 1},
		{"longer than the kernel saw", []model.Block{block, {PID: 5, TID: 5, StartNS: 2000 * ms, DurationNS: 160 * ms}}, 0, 1, 1},
		{"of another thread", []model.Block{block, {PID: 5, TID: 6, StartNS: 2000 * ms, DurationNS: 150 * ms}}, 0, 1, 1},
		{"another peer", []model.Block{with(func(b *model.Block) { b.Detail.Target = "tcp 2" })}, 0, 0, 1},
		{"another cause", []model.Block{with(func(b *model.Block) { b.Cause = model.CauseFile })}, 0, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := p.Judge(&model.Report{Blocks: test.blocks}, Seen(p.Unplanned))
			assert.Equal(t, 1, out.Expected)
			assert.Equal(t, test.missed, out.Missed, "missed")
			assert.Equal(t, test.alarms, out.FalseAlarms, "false alarms")
			assert.Len(t, out.Complaints, test.complaints)
		})
	}
	p.Program = truth.Blocking
	assert.Empty(t, p.Judge(&model.Report{Blocks: []model.Block{with(func(b *model.Block) { b.Detail.Target = "tcp 2" })}}, nil).Complaints,
		"the log of that program knows no peers")
}

func TestProgramsComeBack(t *testing.T) {
	var file bytes.Buffer
	want := []Program{example(), example()}
	require.NoError(t, WritePrograms(&file, want))
	assert.Equal(t, 2, strings.Count(file.String(), "\n"), "a line each")
	got, err := ReadPrograms(&file)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	for _, text := range []string{"", "{}\n", "x\n", `{"lop":"uvloop"}`, `{"loop":"uvloop","threshold_ns":1,"log":[]}`, `{"loop":"none","threshold_ns":1,"log":[{}]}`} {
		_, err := ReadPrograms(strings.NewReader(text))
		assert.Error(t, err, text)
	}
}
