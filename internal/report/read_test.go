// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/json"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
	"github.com/loopwatch/loopwatch/internal/report/text"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// inEveryFormat returns a report in every format, to a file and to a narrow terminal.
func inEveryFormat(t require.TestingT, r *model.Report) map[string]string {
	out := map[string]string{}
	for _, name := range Names() {
		f, _ := Named(name)
		options := []text.Options{{}}
		if name == "text" {
			options = append(options, text.Options{Verbose: true}, text.Options{Width: 80, Color: true})
		}
		for _, o := range options {
			var b bytes.Buffer
			require.NoError(t, f.Write(&b, r, Options{Text: o}), name)
			out[fmt.Sprint(name, o)] = b.String()
		}
	}
	return out
}

// A report that was read from its JSON is the same in every format as the one that was written.
func TestReadReportIsWrittenTheSame(t *testing.T) {
	reports := []*model.Report{reporttest.Example(), reporttest.Everything(), reporttest.EveryCause(), reporttest.Many(3000),
		summary.Assemble(summary.Meta{}, nil, nil)}
	for seed := range uint64(50) {
		r := reporttest.Random(seed)
		for i := range r.Blocks {
			for n := range r.Blocks[i].Stacks {
				s := &r.Blocks[i].Stacks[n]
				s.NS = max(s.NS, 0) // less than nothing is refused
			}
		}
		reports = append(reports, r)
	}
	for _, r := range reports {
		var b bytes.Buffer
		require.NoError(t, json.Write(&b, r))
		back, unknown, err := json.Read(bytes.NewReader(b.Bytes()))
		require.NoError(t, err)
		require.Empty(t, unknown)
		require.Equal(t, inEveryFormat(t, r), inEveryFormat(t, back))
	}
}

// FuzzRead reads files that are no reports, or have been one. What is read can be written in every format, and as JSON it is read
// again as it was.
func FuzzRead(f *testing.F) {
	for _, r := range []*model.Report{reporttest.Example(), reporttest.Random(3)} {
		var b bytes.Buffer
		require.NoError(f, json.Write(&b, r))
		f.Add(b.Bytes())
	}
	f.Add([]byte(`{"schema":"loopwatch.report/v1","started_at":"2026-02-03T04:05:06Z","started_ns":0,"ended_ns":1,"threshold_ns":1,"loops":[],` +
		`"blockers":[{}],"blocks":[{"stacks":[{}]}],"lost":{}}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, _, err := json.Read(bytes.NewReader(file))
		if err != nil {
			require.Nil(t, r)
			require.NotContains(t, err.Error(), "\n")
			return
		}
		all := inEveryFormat(t, r)
		var b bytes.Buffer
		require.NoError(t, json.Write(&b, r))
		back, unknown, err := json.Read(&b)
		require.NoError(t, err)
		require.Empty(t, unknown)
		require.Equal(t, all, inEveryFormat(t, back))
	})
}
