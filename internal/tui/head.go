// SPDX-License-Identifier: Apache-2.0

package tui

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// headHeight is how many lines head takes. Where the answer may need two, there are always two: or
// the table would jump.
func (m *monitor) headHeight() int {
	switch {
	case m.page == pageHelp || m.page == pageUnseen:
		return 2
	case m.width < 120:
		return 3
	}
	return 2
}

// head is the answer, and under which conditions it holds.
func (m *monitor) head() []string {
	var text string
	var bad bool
	switch m.page {
	case pageHelp:
		return []string{bold.Render("loopwatch top: keys and columns"), ""}
	case pageUnseen:
		return []string{bold.Render("What loopwatch does not see"), ""}
	case pageLoop:
		text, bad = m.loopAnswer()
	default:
		text, bad = answer(m.shown, m.window)
	}
	style := bold
	if bad {
		style = alarm
	}
	lines := wrap(text, m.width, m.headHeight()-1)
	for i := range lines {
		lines[i] = style.Render(lines[i])
	}
	return append(lines, m.conditions())
}

// wrap breaks text at spaces into exactly n lines; the last is cut where there is too much.
func wrap(text string, width, n int) []string {
	lines := wrapAll(text, width)
	if len(lines) > n {
		lines = append(lines[:n-1], safetext.Cut(strings.Join(lines[n-1:], " "), width))
	}
	for len(lines) < n {
		lines = append(lines, "")
	}
	return lines
}

// wrapAll breaks text at spaces. A word longer than a line is cut.
func wrapAll(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		longer := strings.TrimPrefix(line+" "+word, " ")
		if line != "" && safetext.Width(longer) > width {
			lines = append(lines, line)
			longer = word
		}
		line = safetext.Cut(longer, width)
	}
	return append(lines, line)
}

// conditions is the line under the answer.
func (m *monitor) conditions() string {
	s := m.shown
	parts := []string{plural(len(s.Loops), "loop")}
	if m.filter != "" && m.page == pageTable {
		parts[0] = fmt.Sprintf("%d of %s with %q", len(m.rows), plural(len(s.Loops), "loop"), safetext.Cut(safetext.Line(m.filter), 20))
	}
	threshold := "blocks ≥ " + compact(s.Threshold)
	if m.threshold != s.Threshold {
		threshold += " (soon " + compact(m.threshold) + ")"
	} else if !s.Counting.Equal(s.Started) {
		threshold += " since " + s.Counting.Format(time.TimeOnly)
	}
	parts = append(parts, threshold, windowName(m.window, s))
	if m.page == pageTable {
		direction := ""
		if m.reverse {
			direction = ", reversed"
		}
		parts = append(parts, "sorted by "+orders[m.sort].name+direction)
	}
	var flags []string
	if m.paused {
		flags = append(flags, reversed.Render(" PAUSED "))
	}
	if lost := s.Lost.Events + s.Lost.Stacks; lost > 0 {
		flags = append(flags, warning.Render(fmt.Sprintf("%d lost (u)", lost)))
	}
	if n, _ := words.Unwatched(s.Unsupported); n > 0 {
		flags = append(flags, warning.Render(fmt.Sprintf("%d not watched (u)", n)))
	}
	tail := ""
	for _, f := range flags {
		tail += " " + f
	}
	room := m.width - lipgloss.Width(tail)
	text := strings.Join(parts, " · ")
	for len(parts) > 1 && safetext.Width(text) > room { // the header marks the order, too
		parts = parts[:len(parts)-1]
		text = strings.Join(parts, " · ")
	}
	return faint.Render(safetext.Cut(text, room)) + tail
}
