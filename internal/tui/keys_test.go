// SPDX-License-Identifier: Apache-2.0

package tui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSelectionStaysWithItsLoop(t *testing.T) {
	m := screens(many(500), 80, 24)
	require.Equal(t, 1490, m.rows[0].PID, "equal ones stand by process id")
	press(m, "down", "down", "down")
	chosen := m.rows[m.at()].ID()
	assert.Equal(t, 1493, chosen.PID)

	after := many(500)
	after.Loops[3].Figures = figures(10, .1, .9, 1, time.Second, nil) // another one comes to the top
	m.update(viewMsg{after})
	assert.Equal(t, 1003, m.rows[0].PID)
	assert.Equal(t, chosen, m.rows[m.at()].ID())
	press(m, "home")
	assert.Equal(t, 0, m.at())
	m.update(viewMsg{many(500)})
	assert.Equal(t, 0, m.at(), "the top stays the top")

	press(m, "end")
	assert.Equal(t, 499, m.at())
	assert.Contains(t, checked(t, m), "work009.py")
	press(m, "pgup", "pgup", "down")
	at := m.at()
	gone := many(500)
	for i := range gone.Loops {
		if gone.Loops[i].ID() == m.rows[at].ID() {
			gone.Loops = append(gone.Loops[:i], gone.Loops[i+1:]...)
			break
		}
	}
	m.update(viewMsg{gone})
	assert.InDelta(t, at, m.at(), 1, "its neighbour takes the place of a loop that is gone")
	checked(t, m)
}

// Every row of the screen is walked through, and the selected one is always to be seen.
func TestScrolling(t *testing.T) {
	m := screens(many(500), 80, 24)
	for range 499 {
		press(m, "down")
		require.Contains(t, checked(t, m), ">"+name(m.rows[m.at()]))
	}
	for range 600 {
		press(m, "up")
	}
	assert.Equal(t, 0, m.at())
	m.update(tea.WindowSizeMsg{Width: 100, Height: 10})
	press(m, "end")
	assert.Contains(t, checked(t, m), ">"+name(m.rows[499]))
}

func TestSortIsStable(t *testing.T) {
	s := many(200)
	m := screens(s, 80, 24)
	for n := range 2 * len(orders) {
		if n%2 == 1 {
			press(m, "r")
		}
		before := fmt.Sprint(ids(m))
		for i := range s.Loops { // the same loops, delivered in another order
			j := (i * 7919) % len(s.Loops)
			s.Loops[i], s.Loops[j] = s.Loops[j], s.Loops[i]
		}
		m.update(viewMsg{s})
		require.Equal(t, before, fmt.Sprint(ids(m)), orders[m.sort].name)
		if n%2 == 1 {
			press(m, "s")
		}
	}
	press(m, "S", "s")
}

func ids(m *monitor) (out []int) {
	for _, l := range m.rows {
		out = append(out, l.PID)
	}
	return out
}

func TestSorts(t *testing.T) {
	m := screens(incident(), 80, 24)
	first := map[string]int{"blocked": 4711, "in block": 4711, "blocks": 4711, "max": 4711, "p99": 4711, "lag": 4711, "busy": 4711, "it/s": 4712, "name": 4711}
	last := map[string]int{"blocked": 4720, "name": 4712, "it/s": 4720}
	for range orders {
		by := orders[m.sort].name
		assert.Equal(t, first[by], m.rows[0].PID, by)
		if pid := last[by]; pid != 0 {
			assert.Equal(t, pid, m.rows[len(m.rows)-1].PID, by)
			press(m, "r")
			assert.Equal(t, pid, m.rows[0].PID, by)
		}
		press(m, "s")
	}
	assert.Zero(t, m.sort, "the keys go round")
}

func TestFilter(t *testing.T) {
	m := screens(incident(), 80, 24)
	for text, n := range map[string]int{"SHOP": 3, "uvloop": 1, "fetch_price": 2, "runqueue": 1, "4713": 1, "0123456789ab": 1, "3.14": 1, "nothing": 0} {
		press(m, "/", "ctrl+u")
		for _, r := range text {
			press(m, string(r))
		}
		assert.Len(t, m.rows, n, text)
		press(m, "enter")
		assert.Len(t, m.rows, n, text)
	}
	press(m, "/", "backspace", "q", "?") // keys are text while it is being typed
	assert.Equal(t, pageTable, m.page)
	assert.Contains(t, checked(t, m), "q?")
	press(m, "esc")
	assert.Len(t, m.rows, 5)
	m.typing = true
	m.update(tea.PasteMsg{Content: "a\x1b[31m\nb" + strings.Repeat("x", 1000)})
	assert.LessOrEqual(t, len(m.filter), maxFilter)
	assert.NotContains(t, m.filter, "\x1b")
}

func TestPause(t *testing.T) {
	m := screens(incident(), 80, 24)
	press(m, "p")
	m.update(viewMsg{many(3)})
	assert.Len(t, m.rows, 5, "what is shown stays")
	assert.Contains(t, checked(t, m), "PAUSED")
	press(m, "enter", "esc", "s") // and can be looked at
	assert.Len(t, m.rows, 5)
	press(m, "p")
	assert.Len(t, m.rows, 3)
	assert.NotContains(t, checked(t, m), "PAUSED")
}

func TestThresholdKeys(t *testing.T) {
	var asked []time.Duration
	s := incident()
	s.Threshold = 30 * time.Millisecond // not one of the list
	m := newMonitor(s, func(d time.Duration) { asked = append(asked, d) })
	m.update(tea.WindowSizeMsg{Width: 120, Height: 24})
	press(m, "-")
	assert.Equal(t, []time.Duration{20 * time.Millisecond}, asked)
	assert.Contains(t, checked(t, m), "≥ 30 ms (soon 20 ms)", "it is not in force yet")
	after := incident()
	after.Threshold, after.Counting = 20*time.Millisecond, start.Add(90*time.Second)
	m.update(viewMsg{after})
	assert.Contains(t, checked(t, m), "≥ 20 ms since 03:01:30")
	press(m, "+", "+")
	assert.Equal(t, []time.Duration{20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond}, asked)
	for range 20 {
		press(m, "-")
	}
	assert.Equal(t, thresholds[0], asked[len(asked)-1])
	n := len(asked)
	press(m, "-")
	assert.Len(t, asked, n, "there is no lower one")
	for range 20 {
		press(m, "+")
	}
	assert.Equal(t, thresholds[len(thresholds)-1], asked[len(asked)-1])
}

func TestPages(t *testing.T) {
	m := screens(incident(), 80, 24)
	press(m, "down", "enter")
	assert.Equal(t, pageLoop, m.page)
	assert.Contains(t, checked(t, m), "gunicorn")
	press(m, "?")
	assert.Contains(t, checked(t, m), "keys and columns")
	press(m, "u")
	assert.Contains(t, checked(t, m), "does not see")
	press(m, "esc")
	assert.Equal(t, pageLoop, m.page)
	m.update(viewMsg{many(3)})
	assert.Contains(t, checked(t, m), "has ended")
	press(m, "esc")
	assert.Equal(t, pageTable, m.page)
	checked(t, m)
	press(m, "?", "?")
	assert.Equal(t, pageTable, m.page)
	for _, k := range []string{"q", "ctrl+c"} {
		cmd := press(m, k)
		require.NotNil(t, cmd)
		assert.IsType(t, tea.QuitMsg{}, cmd())
	}
	press(m, "/")
	assert.IsType(t, tea.QuitMsg{}, press(m, "ctrl+c")())
	assert.IsType(t, tea.QuitMsg{}, m.update(endMsg{})())
	m.typing = false
	assert.IsType(t, tea.SuspendMsg{}, press(m, "ctrl+z")())
}

// hostile are names that would hurt a terminal or a table.
var hostile = []string{
	"\x1b[2J\x1b]0;owned\x07", "a\nb\rc\td", "\u202eevil\u2066", strings.Repeat("A", 1<<20), "日本語のとても長い名前です日本語のとても長い名前です",
	"e\u0301\u0301\u0301\u0301\u0301\u0301\u0301", "\xff\xfe\x00", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦", "\u200b\ufeff", "", " ", "<script>", "\x9b31m",
}
