// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	culprit = model.Frame{Function: "Handler.get", File: "/srv/app/handlers.py", Line: 42, App: true}
	backend = model.Frame{Function: "fetch_prices", File: "/srv/app/backend.py", Line: 17, App: true}
)

const lib = "/usr/lib/python3/dist-packages/"

// example is a report with some of everything.
func example() *model.Report {
	root := []model.Frame{
		{Function: "RequestHandler._handle_request", File: lib + "aiohttp/web_protocol.py", Line: 433},
		{Function: "RequestHandler.start", File: lib + "aiohttp/web_protocol.py", Line: 504},
		{Function: "Handle._run", File: "/usr/lib/python3.11/asyncio/events.py", Line: 80},
		{Function: "BaseEventLoop._run_once", File: "/usr/lib/python3.11/asyncio/base_events.py", Line: 1922},
		{Function: "<module>", File: "/srv/app/main.py", Line: 9, App: true},
	}
	sleepStack := append([]model.Frame{culprit}, root...)
	netStack := append([]model.Frame{
		{Function: "SocketIO.readinto", File: "/usr/lib/python3.11/socket.py", Line: 706},
		{Function: "HTTPResponse.begin", File: "/usr/lib/python3.11/http/client.py", Line: 318},
		{Function: "HTTPConnectionPool.urlopen", File: lib + "urllib3/connectionpool.py", Line: 700},
		{Function: "Session.send", File: lib + "requests/sessions.py", Line: 701},
		{Function: "get", File: lib + "requests/api.py", Line: 73},
		backend,
	}, root...)
	fd := 7
	var blocks []model.Block
	for i := range 9 {
		d := 300*ms + int64(i)*ms
		blocks = append(blocks, model.Block{PID: 1234, TID: 1234, StartNS: int64(i+1) * 1000 * ms, DurationNS: d,
			Cause: model.CauseSleep, BreakdownNS: map[model.Cause]int64{model.CauseSleep: d}, Culprit: &culprit, Leaf: &culprit, Task: fmt.Sprintf("Task-%d", 10*i),
			Stacks: []model.Stack{{NS: d, Cause: model.CauseSleep, Frames: sleepStack}}, Detail: model.Detail{Syscall: "clock_nanosleep"}})
	}
	blocks = append(blocks,
		model.Block{PID: 1234, TID: 1240, StartNS: 2500 * ms, DurationNS: 1812 * ms, Cause: model.CauseNet, Culprit: &backend, Task: "refresh of all prices of the catalogue",
			Leaf: &netStack[0], Stacks: []model.Stack{{NS: 1812 * ms, Cause: model.CauseNet, Frames: netStack}},
			BreakdownNS: map[model.Cause]int64{model.CauseNet: 1500 * ms, model.CauseCPU: 302 * ms, model.CauseRunqueue: 10 * ms}, Delayed: &model.Delayed{Events: 31, MaxNS: 1700 * ms},
			Detail: model.Detail{Syscall: "recvfrom", FD: &fd, Target: "tcp 127.0.0.1:8081", GIL: model.GILReleased}},
		model.Block{PID: 77, TID: 77, StartNS: 9000 * ms, DurationNS: 120 * ms, Cause: model.CauseRunqueue,
			Stacks: []model.Stack{{NS: 120 * ms, Cause: model.CauseRunqueue, Frames: sleepStack}}},
		model.Block{PID: 500, TID: 500, DurationNS: 312 * ms, AtLeast: true, Cause: model.CauseFile, Culprit: &model.Frame{Function: "load", File: "/srv/app/load.py", Line: 5, App: true},
			Stacks: []model.Stack{{NS: 312 * ms, Cause: model.CauseFile, Frames: []model.Frame{{Function: "load", File: "/srv/app/load.py", Line: 5, App: true}}}}, Detail: model.Detail{Syscall: "read", Target: "/srv/data.csv"}},
		model.Block{PID: 77, TID: 77, StartNS: 9500 * ms, DurationNS: 500 * ms, Ongoing: true, Cause: model.CauseGIL,
			Detail: model.Detail{Holder: &model.Holder{TID: 99, Thread: "worker", Frames: []model.Frame{{Function: "crunch", File: "/srv/app/work.py", Line: 3, App: true}}}}})
	return Assemble(Meta{
		StartedAt: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), EndedNS: 10_000 * ms, ThresholdNS: 100 * ms, Processes: 4,
		Host:        model.Host{Hostname: "web1", Kernel: "6.1.0-18-amd64", Arch: "amd64", Attach: "fentry"},
		Lost:        model.Lost{Events: 2, Stacks: 1, Reasons: map[string]int64{"records_lost_ring_full": 2, "code_objects_unreadable": 1}},
		Unsupported: []model.Unsupported{{PID: 4321, Command: "/opt/old/bin/python3.7 /srv/legacy.py", Reason: "CPython 3.7 is older than 3.8"}},
	}, []model.Loop{
		{PID: 1234, TID: 1234, Command: "/usr/bin/python3 -X dev /usr/bin/uvicorn app:app --workers 4", Python: "3.11.2", Loop: "asyncio",
			Unit: "web.service", Iterations: 12345, IdleNS: 7000 * ms, ActiveNS: 3000 * ms, IterationNS: model.Percentiles{P50: 41_000, P90: 90_000, P99: 301 * ms, Max: 308 * ms}},
		{PID: 1234, TID: 1240, Command: "/usr/bin/python3 -X dev /usr/bin/uvicorn app:app --workers 4", Python: "3.11.2", Loop: "uvloop",
			Iterations: 12, IdleNS: 8100 * ms, ActiveNS: 1900 * ms, IterationNS: model.Percentiles{P50: 41_000, P90: 90_000, P99: 1812 * ms, Max: 1812 * ms}},
		{PID: 77, TID: 77, Command: "python3 -m crunch", Python: "3.13.5", Loop: "trio", Iterations: 3, IdleNS: 9500 * ms, ActiveNS: 500 * ms},
		{PID: 500, TID: 500, Command: "gunicorn: worker [shop]", Python: "3.9.2", Loop: "tornado", Iterations: 99_000_000, IdleNS: 9999 * ms, ActiveNS: ms},
	}, blocks)
}

// hostile puts s wherever a watched process could.
func hostile(s string) *model.Report {
	r := example()
	f := model.Frame{Function: s, File: s, Line: 1, App: true}
	blocks := []model.Block{{PID: 1, TID: 2, DurationNS: 1, Task: s, Culprit: &f, Leaf: &f, Stacks: []model.Stack{{NS: 1, Cause: model.CauseCPU, Frames: []model.Frame{f, f, f}}},
		Detail: model.Detail{Syscall: s, Target: s, Native: s, Holder: &model.Holder{Thread: s, Frames: []model.Frame{f}}}}}
	return Assemble(Meta{EndedNS: 1, Host: model.Host{Hostname: s, Kernel: s, Arch: s, Attach: s}, Unsupported: []model.Unsupported{{PID: 1, Command: s, Reason: s}}, Lost: r.Lost},
		[]model.Loop{{PID: 1, TID: 2, Command: s, Python: s, Loop: s, Container: s, Unit: s}}, blocks)
}

func TestTextGolden(t *testing.T) {
	nothing := example()
	meta := Meta{EndedNS: 10_000 * ms, ThresholdNS: 2000 * ms, Host: model.Host{Arch: "amd64"}}
	nothing = Assemble(meta, nothing.Loops, nil)
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
		options TextOptions
	}{
		"refused":      {Assemble(refused, nil, nil), TextOptions{Width: 80}},
		"guarded":      {Assemble(guarded, nil, nil), TextOptions{Width: 80}},
		"file":         {example(), TextOptions{}},
		"80-columns":   {example(), TextOptions{Width: 80}},
		"200-columns":  {example(), TextOptions{Width: 200, Color: true}},
		"verbose":      {example(), TextOptions{Width: 100, Verbose: true}},
		"no-blocks":    {nothing, TextOptions{Width: 100}},
		"no-loops":     {Assemble(idle, nil, nil), TextOptions{Width: 100}},
		"no-python":    {Assemble(meta, nil, nil), TextOptions{Width: 100}},
		"unsupported":  {Assemble(unsupported, nil, nil), TextOptions{Width: 100}},
		"hostile":      {hostile("a\x1b[31m\n\u202eb\xff" + strings.Repeat("関", 100)), TextOptions{Width: 100}},
		"empty-report": {&model.Report{}, TextOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			require.NoError(t, WriteText(&got, c.report, c.options))
			file := filepath.Join("testdata", name+".txt")
			if *update {
				require.NoError(t, os.WriteFile(file, got.Bytes(), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), got.String(), "go test ./internal/report -update writes it anew")
		})
	}
}

// The name of every cause has room in the text and in a line of the stream.
func TestEveryCauseIsShown(t *testing.T) {
	for _, c := range model.Causes() {
		b := model.Block{PID: 1, TID: 1, DurationNS: 200 * ms, Cause: c, BreakdownNS: map[model.Cause]int64{c: 200 * ms}}
		var text, stream bytes.Buffer
		require.NoError(t, WriteText(&text, Assemble(Meta{EndedNS: 1000 * ms}, nil, []model.Block{b}), TextOptions{Width: 80}))
		assert.Contains(t, text.String(), "(no line to blame)  "+string(c)+", ", "as a blocker")
		assert.Regexp(t, `200 ms +`+string(c)+` +\?`, text.String(), "as a block")
		require.NoError(t, NewStream(&stream, TextOptions{Width: 80}).Write(&b, model.Loop{PID: 1, TID: 1}, time.Time{}, time.Time{}))
		assert.Contains(t, stream.String(), "  "+safetext.Pad(string(c), causeColumn)+"  ?")
	}
}

var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

func TestTextFitsItsWidth(t *testing.T) {
	for _, r := range []*model.Report{example(), hostile(strings.Repeat("関x", 3000))} {
		for _, width := range []int{80, 100, 132, 250} {
			var b bytes.Buffer
			require.NoError(t, WriteText(&b, r, TextOptions{Width: width}))
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
	require.NoError(t, WriteText(&plain, example(), TextOptions{Width: 120}))
	require.NoError(t, WriteText(&coloured, example(), TextOptions{Width: 120, Color: true}))
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
		var text, machine bytes.Buffer
		if err := WriteText(&text, r, TextOptions{Width: width, Verbose: verbose}); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(text.String(), "\n") {
			if safetext.Line(line) != line {
				t.Fatalf("unsafe line %q", line)
			}
		}
		if err := WriteJSON(&machine, r); err != nil {
			t.Fatal(err)
		}
		var back model.Report
		if err := json.Unmarshal(machine.Bytes(), &back); err != nil {
			t.Fatalf("no JSON: %v", err)
		}
	})
}

func TestJSONKeepsThePromises(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteJSON(&b, example()))
	var doc map[string]any
	require.NoError(t, json.Unmarshal(b.Bytes(), &doc))
	assert.Equal(t, model.SchemaReport, doc["schema"])
	assert.Equal(t, "2026-02-03T04:05:06Z", doc["started_at"])
	assertNoNullLists(t, "", doc)
	assert.Contains(t, b.String(), "<module>", "no HTML escapes")

	var back model.Report
	require.NoError(t, json.Unmarshal(b.Bytes(), &back))
	assert.Equal(t, example(), &back)

	b.Reset()
	require.NoError(t, WriteJSON(&b, Assemble(Meta{}, nil, nil)))
	require.NoError(t, json.Unmarshal(b.Bytes(), &doc))
	for _, list := range []string{"loops", "blockers", "blocks", "unsupported"} {
		assert.Equal(t, []any{}, doc[list], list)
	}
}

// assertNoNullLists allows null only where the contract does.
func assertNoNullLists(t *testing.T, at string, v any) {
	switch v := v.(type) {
	case nil:
		assert.Regexp(t, `\.(culprit|leaf)$`, at)
	case map[string]any:
		for k, e := range v {
			assertNoNullLists(t, at+"."+k, e)
		}
	case []any:
		for _, e := range v {
			assertNoNullLists(t, at, e)
		}
	}
}

func TestJSONIsThatOfTheWholeModel(t *testing.T) {
	for _, r := range []*model.Report{example(), hostile("\n  \"blocks\": []"), Assemble(Meta{}, nil, nil)} {
		var got, want bytes.Buffer
		require.NoError(t, WriteJSON(&got, r))
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		require.NoError(t, e.Encode(r))
		assert.Equal(t, want.String(), got.String())
	}
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
		assert.ErrorIs(t, WriteText(&failingWriter{room}, example(), TextOptions{}), errFull, room)
		assert.ErrorIs(t, WriteJSON(&failingWriter{room}, example()), errFull, room)
	}
}
