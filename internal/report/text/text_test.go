// SPDX-License-Identifier: Apache-2.0

package text

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/summary"
)

var update = flag.Bool("update", false, "write the golden files anew")

const ms = int64(time.Millisecond)

// hostile puts s wherever a watched process could.
func hostile(s string) *model.Report {
	r := reporttest.Example()
	f := model.Frame{Function: s, File: s, Line: 1, App: true}
	blocks := []model.Block{{PID: 1, TID: 2, DurationNS: 1, Task: s, Culprit: &f, Leaf: &f, Stacks: []model.Stack{{NS: 1, Cause: model.CauseCPU, Frames: []model.Frame{f, f, f}}},
		Detail: model.Detail{Syscall: s, Target: s, Native: s, Holder: &model.Holder{Thread: s, Frames: []model.Frame{f}}}}}
	return summary.Assemble(summary.Meta{EndedNS: 1, Host: model.Host{Hostname: s, Kernel: s, Arch: s, Attach: s}, Unsupported: []model.Unsupported{{PID: 1, Command: s, Reason: s}}, Lost: r.Lost},
		[]model.Loop{{PID: 1, TID: 2, Command: s, Python: s, Loop: s, Container: s, Unit: s}}, blocks)
}

func TestTextGolden(t *testing.T) {
	nothing := reporttest.Example()
	meta := summary.Meta{EndedNS: 10_000 * ms, ThresholdNS: 2000 * ms, Host: model.Host{Arch: "amd64"}}
	nothing = summary.Assemble(meta, nothing.Loops, nil)
	idle := meta
	idle.Processes = 2
	unsupported := meta
	unsupported.Unsupported = []model.Unsupported{{PID: 4321, Command: "python3.7", Reason: "CPython 3.7 is older than 3.8"}}
	refused := meta
	for pid := range 7 {
		refused.Unsupported = append(refused.Unsupported, model.Unsupported{PID: 100 + pid, Command: "python3 app.py", Reason: "unreadable: CAP_SYS_PTRACE is missing; run loopwatch as root"})
	}
	refused.Unsupported = append(refused.Unsupported, model.Unsupported{PID: 1, Command: "/sbin/init", Reason: "unreadable: CAP_SYS_PTRACE is missing; run loopwatch as root", Maybe: true},
		model.Unsupported{PID: 4321, Command: "python3.7", Reason: "CPython 3.7 is older than 3.8"})
	guarded := meta
	guarded.Unsupported = []model.Unsupported{{PID: 1, Command: "/sbin/init", Reason: "unreadable even for root; something guards it", Maybe: true}}
	for name, c := range map[string]struct {
		report  *model.Report
		options Options
	}{
		"refused":      {summary.Assemble(refused, nil, nil), Options{Width: 80}},
		"guarded":      {summary.Assemble(guarded, nil, nil), Options{Width: 80}},
		"file":         {reporttest.Example(), Options{}},
		"80-columns":   {reporttest.Example(), Options{Width: 80}},
		"200-columns":  {reporttest.Example(), Options{Width: 200, Color: true}},
		"verbose":      {reporttest.Example(), Options{Width: 100, Verbose: true}},
		"no-blocks":    {nothing, Options{Width: 100}},
		"no-loops":     {summary.Assemble(idle, nil, nil), Options{Width: 100}},
		"no-python":    {summary.Assemble(meta, nil, nil), Options{Width: 100}},
		"unsupported":  {summary.Assemble(unsupported, nil, nil), Options{Width: 100}},
		"hostile":      {hostile("a\x1b[31m\n\u202eb\xff" + strings.Repeat("関", 100)), Options{Width: 100}},
		"empty-report": {&model.Report{}, Options{}},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			require.NoError(t, Write(&got, c.report, c.options))
			file := filepath.Join("testdata", name+".txt")
			if *update {
				require.NoError(t, os.WriteFile(file, got.Bytes(), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), got.String(), "go test ./internal/report/text -update writes it anew")
		})
	}
}

// The name of every cause has room in the text and in a line of the stream.
func TestEveryCauseIsShown(t *testing.T) {
	r := reporttest.EveryCause()
	var text bytes.Buffer
	require.NoError(t, Write(&text, r, Options{Width: 80, Verbose: true}))
	for i := range r.Blocks {
		b := &r.Blocks[i]
		assert.Contains(t, text.String(), words.CulpritName(b.Culprit)+"  "+string(b.Cause)+", ", "as a blocker")
		assert.Regexp(t, words.HumanDuration(b.DurationNS)+` +`+string(b.Cause)+` +app`, text.String(), "as a block")
		var stream bytes.Buffer
		require.NoError(t, NewStream(&stream, Options{Width: 80}).Write(b, r.Loops[0], time.Time{}, time.Time{}))
		assert.Contains(t, stream.String(), "  "+safetext.Pad(string(b.Cause), causeColumn)+"  app.py")
	}
}

var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

func TestTextFitsItsWidth(t *testing.T) {
	for _, r := range []*model.Report{reporttest.Example(), hostile(strings.Repeat("関x", 3000))} {
		for _, width := range []int{80, 100, 132, 250} {
			var b bytes.Buffer
			require.NoError(t, Write(&b, r, Options{Width: width}))
			for i, line := range strings.Split(b.String(), "\n") {
				if i == 0 || strings.Contains(line, ". ") || strings.Contains(line, "]: ") {
					continue // headlines and reasons are sentences: the terminal wraps them
				}
				assert.LessOrEqual(t, safetext.Width(line), width, "%d columns: %q", width, line)
			}
		}
	}
}

func TestTextColoursOnlyWhenAllowed(t *testing.T) {
	var plain, coloured bytes.Buffer
	require.NoError(t, Write(&plain, reporttest.Example(), Options{Width: 120}))
	require.NoError(t, Write(&coloured, reporttest.Example(), Options{Width: 120, Color: true}))
	assert.NotContains(t, plain.String(), "\x1b")
	assert.Contains(t, coloured.String(), "\x1b[")
	assert.Equal(t, plain.String(), sgr.ReplaceAllString(coloured.String(), ""), "colours change no text")
}

// FuzzText lets a watched process choose every string and looks for anything a terminal would obey.
func FuzzText(f *testing.F) {
	f.Add("Handler.get", 80, true)
	f.Add("\x1b]0;x\a\u202e\u2066\r\n\xff", 0, false)
	f.Fuzz(func(t *testing.T, s string, width int, verbose bool) {
		width = min(max(width, 0), 300)
		r := hostile(s)
		var text bytes.Buffer
		if err := Write(&text, r, Options{Width: width, Verbose: verbose}); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(text.String(), "\n") {
			if safetext.Line(line) != line {
				t.Fatalf("unsafe line %q", line)
			}
		}
	})
}

type failingWriter struct{ left int }

var errFull = errors.New("full")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWritersReportFailure(t *testing.T) {
	for _, room := range []int{0, 100, 700, 1500} {
		assert.ErrorIs(t, Write(&failingWriter{room}, reporttest.Example(), Options{}), errFull, room)
	}
}
