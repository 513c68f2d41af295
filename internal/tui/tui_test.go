// SPDX-License-Identifier: Apache-2.0

package tui

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/live"
	"github.com/loopwatch/loopwatch/internal/model"
)

var update = flag.Bool("update", false, "write the screens in testdata anew")

// start is when the observations of these tests began.
var start = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

func frame(function, file string, line int) model.Frame {
	return model.Frame{Function: function, File: file, Line: line, App: strings.HasPrefix(file, "/srv")}
}

// figures makes a loop's figures, the same in all windows.
func figures(rate float64, busy, blocked float64, blocks int64, top time.Duration, worst *model.Blocker) (out [live.Windows]live.Figures) {
	for w := range out {
		seen := 10 * time.Second
		out[w] = live.Figures{
			Observed: seen, Counted: seen, Iterations: int64(rate * seen.Seconds()), Active: time.Duration(busy * float64(seen)),
			P50: top / 1000, P99: top / 2, Max: top, Lag: top / 4, Blocks: blocks, Blocked: time.Duration(blocked * float64(seen)), Worst: worst,
			Histogram: []live.Bin{{From: 0, Count: 3}, {From: 10 * time.Microsecond, Count: 2000}, {From: 20 * time.Microsecond, Count: 900}, {From: 50 * time.Microsecond}, {From: 100 * time.Millisecond, Count: blocks}},
		}
	}
	return out
}

func aBlocker(cause model.Cause, culprit model.Frame, count, total int64) *model.Blocker {
	b := &model.Blocker{Cause: cause, Count: count, TotalNS: total, MaxNS: total / count, Culprit: &culprit, Advice: "Do something else."}
	b.Stack = []model.Frame{frame("SocketIO.readinto", "/usr/lib/python3.11/socket.py", 706), culprit, frame("<module>", "/srv/shop/app.py", 99)}
	return b
}

// incident is a view with a bit of everything.
func incident() *live.View {
	price := aBlocker(model.CauseNet, frame("fetch_price", "/srv/shop/pricing/remote/client.py", 35), 12, 2_310_000_000)
	dumps := aBlocker(model.CauseCPU, frame("OrderSerializer.to_representation", "/srv/shop/orders/serializers.py", 1203), 3, 900_000_000)
	stopped := &model.Blocker{Cause: model.CauseRunqueue, Count: 1, TotalNS: 120_000_000, MaxNS: 120_000_000}
	going := model.Block{PID: 4711, TID: 4711, DurationNS: 3_210_000_000, Ongoing: true, Cause: model.CauseNet, Culprit: price.Culprit,
		Stacks: []model.Stack{{NS: 3_210_000_000, Cause: model.CauseNet, Frames: price.Stack}},
		Detail: model.Detail{Syscall: "recvfrom", Target: "tcp 10.0.0.5:443"}}
	s := &live.View{
		At: start.Add(time.Hour), Started: start, Counting: start, Every: time.Second, Threshold: 100 * time.Millisecond, Processes: 5, Attach: "fentry",
		Lost: model.Lost{Reasons: map[string]int64{}},
		Loops: []live.Loop{
			{Loop: model.Loop{PID: 4711, TID: 4711, Command: "/usr/bin/python3 /srv/shop/app.py --port 80", Python: "3.11.2", Loop: "asyncio", Unit: "shop.service"},
				State: live.Blocked, For: 3210 * time.Millisecond, Block: &going, Figures: figures(120, .6, .55, 13, 3210*time.Millisecond, price),
				Blockers: []model.Blocker{*price, *dumps}},
			{Loop: model.Loop{PID: 4712, TID: 4712, Command: "uvicorn shop:api", Python: "3.13.1", Loop: "uvloop", Container: strings.Repeat("0123456789abcdef", 4)},
				State: live.Active, For: 3 * time.Millisecond, Figures: figures(15300, .31, .09, 3, 302*time.Millisecond, dumps), Blockers: []model.Blocker{*dumps}},
			{Loop: model.Loop{PID: 4713, TID: 4719, Command: "python3 -m celery worker", Python: "3.9.2", Loop: "gevent"},
				State: live.Idle, For: 400 * time.Millisecond, Figures: figures(9.4, .02, .012, 1, 120*time.Millisecond, stopped)},
			{Loop: model.Loop{PID: 4720, TID: 4720, Command: "python3 quiet.py", Python: "3.14.0", Loop: "trio"},
				State: live.Idle, For: 90 * time.Second, Figures: figures(0, 0, 0, 0, 0, nil)},
			{Loop: model.Loop{PID: 4730, TID: 4730, Command: "gunicorn: worker [shop]", Python: "3.12.3", Loop: "asyncio"},
				State: live.Ended, For: 2 * time.Second, Figures: figures(42, .5, .4, 4, time.Second, price)},
		},
	}
	return s
}

// screens is a monitor in a terminal of the given size.
func screens(s *live.View, width, height int) *monitor {
	m := newMonitor(s, func(time.Duration) {})
	m.update(tea.WindowSizeMsg{Width: width, Height: height})
	return m
}

// press hands keys to a monitor: names as String returns them, anything else is typed.
func press(m *monitor, names ...string) (last tea.Cmd) {
	special := map[string]tea.KeyPressMsg{
		"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown},
		"pgdown": {Code: tea.KeyPgDown}, "pgup": {Code: tea.KeyPgUp}, "home": {Code: tea.KeyHome}, "end": {Code: tea.KeyEnd},
		"backspace": {Code: tea.KeyBackspace}, "ctrl+c": {Code: 'c', Mod: tea.ModCtrl}, "ctrl+z": {Code: 'z', Mod: tea.ModCtrl},
		"ctrl+u": {Code: 'u', Mod: tea.ModCtrl},
	}
	for _, name := range names {
		k, ok := special[name]
		if !ok {
			k = tea.KeyPressMsg{Code: []rune(name)[0], Text: name}
		}
		last = m.update(k)
		_ = m.screen()
	}
	return last
}

// checked draws the screen and holds it against what is true of every screen.
func checked(t testing.TB, m *monitor) string {
	t.Helper()
	text := m.screen()
	lines := strings.Split(text, "\n")
	require.LessOrEqual(t, len(lines), m.height)
	for _, line := range lines {
		require.LessOrEqual(t, ansi.StringWidth(line), m.width, "%q", line)
		for _, r := range ansi.Strip(line) {
			require.GreaterOrEqual(t, r, ' ', "%q", line)
		}
	}
	return ansi.Strip(text)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	var b strings.Builder
	for _, line := range strings.Split(got, "\n") {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	file := filepath.Join("testdata", name+".txt")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), b.String())
}

func TestScreens(t *testing.T) {
	quiet := incident()
	for i := range quiet.Loops {
		l := &quiet.Loops[i]
		l.State, l.Block, l.Blockers = live.Idle, nil, nil
		l.Figures = figures(float64(i), .01, 0, 0, time.Duration(i)*time.Millisecond, nil)
	}
	bound := incident()
	bound.Loops[0].Block.AtLeast = true
	none := &live.View{At: start.Add(time.Second), Started: start, Counting: start, Every: time.Second, Threshold: 100 * time.Millisecond}
	unsupported := &live.View{At: start, Started: start, Counting: start, Every: time.Second, Threshold: 100 * time.Millisecond,
		Unsupported: []model.Unsupported{{PID: 9, Command: "python2 old.py", Reason: "CPython 2.7 is not supported"}},
		Lost:        model.Lost{Events: 3, Stacks: 1, Reasons: map[string]int64{"records_lost_ring_full": 3, "stacks_lost_ring_full": 1}}}
	for _, c := range []struct {
		name          string
		view          *live.View
		width, height int
		keys          []string
	}{
		{"table-80x24", incident(), 80, 24, nil},
		{"table-120x40", incident(), 120, 40, nil},
		{"table-220x60", incident(), 220, 60, nil},
		{"table-60x10", incident(), 60, 10, nil},
		{"small-59x24", incident(), 59, 24, nil},
		{"small-12x5", incident(), 12, 5, nil},
		{"quiet-80x24", quiet, 80, 24, nil},
		{"none-80x24", none, 80, 24, nil},
		{"unsupported-80x24", unsupported, 80, 24, nil},
		{"unseen-80x24", unsupported, 80, 24, []string{"u"}},
		{"help-80x24", incident(), 80, 24, []string{"?"}},
		{"help-200x50", incident(), 200, 50, []string{"?"}},
		{"loop-80x24", incident(), 80, 24, []string{"enter"}},
		{"loop-200x50", incident(), 200, 50, []string{"enter"}},
		{"at-least-80x24", bound, 80, 24, nil},
		{"at-least-loop-80x24", bound, 80, 24, []string{"enter"}},
		{"loop-80x24-scrolled", incident(), 80, 24, []string{"enter", "pgdown"}},
		{"filter-80x24", incident(), 80, 24, []string{"/", "s", "h", "o", "p"}},
		{"filter-none-80x24", incident(), 80, 24, []string{"/", "x", "y", "z", "enter"}},
		{"paused-80x24", incident(), 80, 24, []string{"p", "+", "s", "r", "w"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := screens(c.view, c.width, c.height)
			press(m, c.keys...)
			golden(t, c.name, checked(t, m))
		})
	}
}

// Any size shows something, and nothing sticks out.
func TestEverySize(t *testing.T) {
	for width := 1; width < 260; width += 1 + width/12 {
		for _, height := range []int{1, 3, 9, 10, 13, 24, 60} {
			for _, k := range []string{"", "enter", "?", "u", "/"} {
				m := screens(incident(), width, height)
				if k != "" {
					press(m, k)
				}
				checked(t, m)
			}
		}
	}
}

// many is a view of n loops, the later ones blocked more.
func many(n int) *live.View {
	s := incident()
	s.Loops = nil
	for i := range n {
		s.Loops = append(s.Loops, live.Loop{
			Loop:    model.Loop{PID: 1000 + i, TID: 1000 + i, Command: fmt.Sprintf("python3 work%03d.py", i), Python: "3.12.1", Loop: "asyncio"},
			Figures: figures(10, .1, float64(i/10)/1000, 1, time.Second, nil),
		})
	}
	return s
}

// The name of every cause has room in the table, in the answer and on the page of its loop.
func TestEveryCauseIsShown(t *testing.T) {
	for _, c := range model.Causes() {
		s := incident()
		l := &s.Loops[0]
		l.Block.Cause, l.Block.Culprit = c, nil
		worst := model.Blocker{Cause: c, Count: 1, TotalNS: 200_000_000, MaxNS: 200_000_000}
		l.Blockers = []model.Blocker{worst}
		for w := range l.Figures {
			l.Figures[w].Worst = &worst
		}
		m := screens(s, 120, 40)
		table := checked(t, m)
		assert.Contains(t, table, "now: "+string(c)+".", "the answer")
		assert.Regexp(t, `app\.py\[4711\].*  `+string(c), table, "WORST BLOCKER")
		press(m, "enter")
		assert.Contains(t, checked(t, m), "(no line to blame)  "+string(c)+", ", "the page of the loop")
	}
}

func TestHostileNames(t *testing.T) {
	for _, s := range hostile {
		view := incident()
		for i := range view.Loops {
			l := &view.Loops[i]
			l.Command, l.Python, l.Loop.Loop, l.Container, l.Unit = s, s, s, s, s
			f := model.Frame{Function: s, File: s, Line: 1, App: true}
			b := &model.Blocker{Cause: model.Cause(s), Count: 1, TotalNS: 1, MaxNS: 1, Culprit: &f, Stack: []model.Frame{f, f}, Advice: s,
				Detail: model.Detail{Syscall: s, Target: s, Native: s, Holder: &model.Holder{Thread: s, Frames: []model.Frame{f}}}}
			for w := range l.Figures {
				l.Figures[w].Worst = b
			}
			l.Blockers = []model.Blocker{*b}
			if l.Block != nil {
				l.Block = &model.Block{Cause: model.Cause(s), Culprit: &f, Detail: b.Detail, Stacks: []model.Stack{{Frames: b.Stack}}}
			}
		}
		view.Unsupported = []model.Unsupported{{PID: 1, Command: s, Reason: s}}
		view.Lost.Reasons = map[string]int64{s: 1}
		for _, size := range []int{60, 80, 121, 220} {
			m := screens(view, size, 40)
			columns := ""
			for _, keys := range [][]string{nil, {"enter"}, {"pgdown"}, {"u"}, {"esc", "esc", "/", "x"}} {
				press(m, keys...)
				text := checked(t, m)
				assert.NotContains(t, text, "\u202e")
				assert.NotContains(t, text, "\u009b")
				if keys == nil {
					columns = text
				}
			}
			// Numbers stand under their titles whatever the names.
			lines := strings.Split(columns, "\n")
			for i, line := range lines {
				if strings.HasPrefix(line, " LOOP") {
					end := strings.Index(line, "BLOCKED") + len("BLOCKED")
					row := ansi.Cut(lines[i+1], end-7, end)
					assert.Equal(t, "  55.0%", row, "%q", lines[i+1])
				}
			}
		}
		var out bytes.Buffer
		require.NoError(t, writePlain(&out, view, 0))
		for _, line := range strings.Split(out.String(), "\n") {
			assert.LessOrEqual(t, ansi.StringWidth(line), plainWidth+200)
			assert.NotContains(t, line, "\x1b")
		}
	}
}

// The styles use no colour but the terminal's own sixteen, and never a background.
func TestStylesSuitEveryPalette(t *testing.T) {
	m := screens(incident(), 120, 40)
	text := m.screen()
	assert.Contains(t, text, "\x1b[1;31m", "what is blocked stands out")
	assert.NotContains(t, text, "38;")
	assert.NotContains(t, text, "48;")
}

func TestPlain(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, writePlain(&out, incident(), 3))
	golden(t, "plain", out.String())
	out.Reset()
	s := incident()
	s.Loops = nil
	s.Processes = 0
	require.NoError(t, writePlain(&out, s, 3))
	assert.Equal(t, "2026-03-01T04:00:00Z  No Python process here yet. Waiting for one.\n\n", out.String())
}

func TestCompact(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ns", 999: "999 ns", 12_345_678: "12.3 ms", 999_900_000: "1 s", 59_400_000_000: "59.4 s", 59_999_999_999: "1m00s",
		3599 * time.Second: "59m59s", 3599*time.Second + 600*time.Millisecond: "1h00m", 25 * time.Hour: "1d01h", 4000 * 24 * time.Hour: "4000d00h", -5: "0 ns",
	} {
		assert.Equal(t, want, compact(d))
	}
	for d := time.Duration(1); d < 1000*24*time.Hour; d += d/7 + 1 {
		require.LessOrEqual(t, ansi.StringWidth(compact(d)), 7, "%d", d)
	}
	for v := 0.0; v < 1e9; v = v*1.1 + .01 {
		require.LessOrEqual(t, len(rate(v)), 6, "%f", v)
	}
}

func BenchmarkScreen(b *testing.B) {
	s := many(500)
	m := screens(s, 200, 50)
	for b.Loop() {
		m.update(viewMsg{s})
		_ = m.screen()
	}
}
