// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/summary"
)

func written(t testing.TB, write func(io.Writer, *model.Report) error, r *model.Report) []byte {
	var b bytes.Buffer
	require.NoError(t, write(&b, r))
	return b.Bytes()
}

var foldedLine = regexp.MustCompile(`^([^;\n]+)((?:;[^;\n]+)*) ([0-9]+)$`)

// readFolded returns the stacks as flamegraph.pl would see them, and their sum.
func readFolded(t testing.TB, data []byte) (map[string]int64, int64) {
	stacks, sum := map[string]int64{}, int64(0)
	if len(data) == 0 {
		return stacks, 0
	}
	require.True(t, bytes.HasSuffix(data, []byte("\n")))
	for line := range strings.SplitSeq(strings.TrimSuffix(string(data), "\n"), "\n") {
		m := foldedLine.FindStringSubmatch(line)
		require.NotNil(t, m, "%q", line)
		require.False(t, strings.HasPrefix(line, "#"), "a comment: %q", line)
		stack := m[1] + m[2]
		require.NotRegexp(t, `\s[0-9]+(\.[0-9]*)?$`, stack, "reads as two counts")
		require.NotContains(t, stacks, stack, "each stack once")
		require.Equal(t, safetext.Line(line), line)
		ns, err := strconv.ParseInt(m[3], 10, 64)
		require.NoError(t, err)
		require.Positive(t, ns)
		stacks[stack] = ns
		sum += ns
	}
	return stacks, sum
}

// readSpeedscope checks what the schema asks of a file and returns the sum of all weights.
func readSpeedscope(t testing.TB, data []byte) (speedscopeFile, int64) {
	var f speedscopeFile
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&f))
	require.Equal(t, "https://www.speedscope.app/file-format-schema.json", f.Schema)
	require.NotEmpty(t, f.Profiles)
	require.Less(t, f.Active, len(f.Profiles))
	require.NotNil(t, f.Shared.Frames)
	for _, frame := range f.Shared.Frames {
		require.NotEmpty(t, frame.Name)
		require.Equal(t, safetext.Line(frame.Name), frame.Name)
		require.Equal(t, safetext.Line(frame.File), frame.File)
		require.GreaterOrEqual(t, frame.Line, 0)
	}
	var sum int64
	for _, p := range f.Profiles {
		require.Equal(t, "sampled", p.Type)
		require.Equal(t, "nanoseconds", p.Unit)
		require.NotEmpty(t, p.Name)
		require.Equal(t, safetext.Line(p.Name), p.Name)
		require.NotNil(t, p.Samples)
		require.Len(t, p.Weights, len(p.Samples))
		var own int64
		for i, stack := range p.Samples {
			require.NotEmpty(t, stack)
			require.Positive(t, p.Weights[i])
			own += p.Weights[i]
			for _, frame := range stack {
				require.Less(t, frame, len(f.Shared.Frames))
				require.GreaterOrEqual(t, frame, 0)
			}
		}
		require.Equal(t, p.End-p.Start, own)
		sum += own
	}
	return f, sum
}

// readPprof returns the profile and its totals.
func readPprof(t testing.TB, data []byte) (p *profile.Profile, blocks, ns int64) {
	p, err := profile.ParseData(data)
	require.NoError(t, err)
	require.NoError(t, p.CheckValid())
	require.Equal(t, "blocked", p.SampleType[1].Type)
	require.Equal(t, "nanoseconds", p.SampleType[1].Unit)
	for _, s := range p.Sample {
		require.NotEmpty(t, s.Location)
		for _, label := range []string{"cause", "process", "loop"} {
			require.Len(t, s.Label[label], 1, label)
			require.Equal(t, safetext.Line(s.Label[label][0]), s.Label[label][0])
		}
		blocks += s.Value[0]
		ns += s.Value[1]
	}
	for _, f := range p.Function {
		require.NotEmpty(t, f.Name)
		require.Equal(t, safetext.Line(f.Name), f.Name)
		require.Equal(t, safetext.Line(f.Filename), f.Filename)
	}
	return p, blocks, ns
}

func checkTotals(t testing.TB, r *model.Report) {
	want := reporttest.BlockedNS(r)
	var sum, first int64
	for _, s := range Samples(r) {
		require.Positive(t, s.NS)
		require.NotEmpty(t, s.Frames)
		sum += s.NS
		if s.Count > 0 {
			first++
		}
	}
	require.Equal(t, want, sum, "samples")
	_, sum = readFolded(t, written(t, WriteFolded, r))
	require.Equal(t, want, sum, "folded")
	_, sum = readSpeedscope(t, written(t, WriteSpeedscope, r))
	require.Equal(t, want, sum, "speedscope")
	_, blocks, sum := readPprof(t, written(t, WritePprof, r))
	require.Equal(t, want, sum, "pprof")
	require.Equal(t, first, blocks)
}

func TestTotalsAreThoseOfTheBlocks(t *testing.T) {
	checkTotals(t, summary.Assemble(summary.Meta{}, nil, nil))
	var all int64
	for seed := range uint64(300) {
		r := reporttest.Random(seed)
		all += reporttest.BlockedNS(r)
		checkTotals(t, r)
	}
	assert.Positive(t, all)
}

func TestHostileNamesAreInert(t *testing.T) {
	for _, s := range reporttest.HostileNames {
		r := reporttest.Hostile(s)
		checkTotals(t, r)
		for _, write := range []func(io.Writer, *model.Report) error{WriteFolded, WriteSpeedscope, WritePprof} {
			assert.Less(t, len(written(t, write, r)), 20<<10, "bounded: %.20q", s)
		}
	}
}

func FuzzTotals(f *testing.F) {
	for _, s := range reporttest.HostileNames {
		if len(s) < 100 {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) { checkTotals(t, reporttest.Hostile(s)) })
}

func frame(function string, line int, app bool) model.Frame {
	return model.Frame{Function: function, File: "/srv/app.py", Line: line, App: app}
}

// example has a loop in the main thread with two blocks, one partly without a CPU, and a loop
// in another thread that waited for the GIL.
func example() *model.Report {
	slow, main := frame("slow", 9, true), frame("<module>", 1, true)
	stack := []model.Frame{slow, main}
	return summary.Assemble(summary.Meta{StartedAt: time.Unix(1e9, 0).UTC(), EndedNS: 1000, ThresholdNS: 100, Host: model.Host{Hostname: "web1"}},
		[]model.Loop{{PID: 1, TID: 1, Command: "python3 app.py", Loop: "asyncio"}, {PID: 1, TID: 5, Command: "python3 app.py", Loop: "uvloop"},
			{PID: 9, TID: 9, Command: "idle", Loop: "trio"}},
		[]model.Block{
			{PID: 1, TID: 1, StartNS: 1, DurationNS: 200, Cause: model.CauseSleep, Culprit: &slow,
				BreakdownNS: map[model.Cause]int64{model.CauseSleep: 150, model.CauseRunqueue: 40, model.CauseCPU: 10},
				Stacks:      []model.Stack{{NS: 150, Cause: model.CauseSleep, Frames: stack}}},
			{PID: 1, TID: 1, StartNS: 500, DurationNS: 100, Cause: model.CauseSleep, Culprit: &slow,
				BreakdownNS: map[model.Cause]int64{model.CauseSleep: 100},
				Stacks:      []model.Stack{{NS: 100, Cause: model.CauseSleep, Frames: stack}}},
			{PID: 1, TID: 5, StartNS: 600, DurationNS: 400, Cause: model.CauseGIL,
				BreakdownNS: map[model.Cause]int64{model.CauseGIL: 400},
				Stacks:      []model.Stack{{NS: 400, Cause: model.CauseGIL, Frames: stack}}},
		})
}

// Time of a cause that blames no line has a frame that says so.
func TestEveryCauseIsShown(t *testing.T) {
	shown := map[model.Cause][]Frame{}
	for _, s := range Samples(reporttest.EveryCause()) {
		shown[model.Cause(s.Kind)] = s.Frames
	}
	for _, c := range model.Causes() {
		want := NoStack
		if name := c.PseudoFrame(); name != "" {
			want = name
		}
		assert.Equal(t, []Frame{{Function: want}}, shown[c], c)
	}
	p := Pprof(reporttest.EveryCause())
	for _, c := range model.Causes() {
		assert.True(t, slices.ContainsFunc(p.Sample, func(s *profile.Sample) bool { return s.Label["cause"][0] == string(c) }), c)
	}
}

func TestFolded(t *testing.T) {
	assert.Equal(t, ""+
		"app.py[1];asyncio;<module> (/srv/app.py:1);slow (/srv/app.py:9) 250\n"+
		"app.py[1];asyncio;[no stack] 10\n"+
		"app.py[1];asyncio;[waiting for a CPU] 40\n"+
		"app.py[1];uvloop thread 5;<module> (/srv/app.py:1);slow (/srv/app.py:9);[waiting for the GIL] 400\n",
		string(written(t, WriteFolded, example())))
	assert.Empty(t, written(t, WriteFolded, summary.Assemble(summary.Meta{}, nil, nil)))
}

func TestSpeedscope(t *testing.T) {
	f, _ := readSpeedscope(t, written(t, WriteSpeedscope, example()))
	require.Len(t, f.Profiles, 2, "one for each loop that was blocked")
	assert.Equal(t, "app.py[1] uvloop thread 5", f.Profiles[0].Name, "the most blocked first")
	assert.Equal(t, "app.py[1] asyncio", f.Profiles[1].Name)
	assert.Equal(t, []int64{150, 10, 40, 100}, f.Profiles[1].Weights)
	var names []string
	for _, i := range f.Profiles[0].Samples[0] {
		names = append(names, f.Shared.Frames[i].Name)
	}
	assert.Equal(t, []string{"<module>", "slow", "[waiting for the GIL]"}, names, "outermost first")
	assert.Equal(t, "blocked time of event loops on web1, 2001-09-09T01:46:40Z", f.Name)
}

func TestPprof(t *testing.T) {
	p, blocks, _ := readPprof(t, written(t, WritePprof, example()))
	assert.EqualValues(t, 3, blocks)
	assert.Equal(t, "blocked", p.DefaultSampleType)
	assert.Equal(t, int64(1e18), p.TimeNanos)
	assert.EqualValues(t, 1000, p.DurationNanos)
	require.Len(t, p.Sample, 4)
	top := p.Sample[0]
	assert.Equal(t, map[string][]string{"cause": {"gil"}, "process": {"app.py[1]"}, "loop": {"uvloop thread 5"}}, top.Label)
	assert.Equal(t, "[waiting for the GIL]", top.Location[0].Line[0].Function.Name, "innermost first")
	assert.Equal(t, "slow", top.Location[1].Line[0].Function.Name)
	assert.Equal(t, "/srv/app.py", top.Location[1].Line[0].Function.Filename)
	assert.EqualValues(t, 9, top.Location[1].Line[0].Line)
	assert.Equal(t, []int64{2, 250}, p.Sample[1].Value)
}

type fullWriter struct{ left int }

func (w *fullWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestWritersReportFailure(t *testing.T) {
	for _, write := range []func(io.Writer, *model.Report) error{WriteFolded, WriteSpeedscope, WritePprof} {
		for _, room := range []int{0, 100} {
			assert.ErrorIs(t, write(&fullWriter{room}, example()), io.ErrShortWrite)
		}
	}
}
