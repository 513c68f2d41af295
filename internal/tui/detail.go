// SPDX-License-Identifier: Apache-2.0

package tui

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/live"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/text"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// opened returns the loop whose page is shown, nil where it is gone.
func (m *monitor) opened() *live.Loop {
	for i := range m.shown.Loops {
		if l := &m.shown.Loops[i]; l.ID() == m.selected {
			return l
		}
	}
	return nil
}

// loopAnswer says what the loop on the page does now.
func (m *monitor) loopAnswer() (text string, bad bool) {
	l := m.opened()
	if l == nil {
		return "This loop has ended. Esc goes back to the table.", false
	}
	switch l.State {
	case live.Blocked:
		return fmt.Sprintf("%s is blocked, for %s now: %s.", name(l), blockedTime(l), blame(l.Block.Cause, l.Block.Culprit, ", ")), true
	case live.Ended:
		return fmt.Sprintf("%s has ended, %s ago.", name(l), compact(l.For)), false
	case live.Idle:
		text = fmt.Sprintf("%s waits for events, for %s now.", name(l), compact(l.For))
	default:
		text = fmt.Sprintf("%s is active, for %s now.", name(l), compact(l.For))
	}
	if f := &l.Figures[m.window]; f.Blocks > 0 {
		text += fmt.Sprintf(" It was blocked %s of %s.", words.Percent(f.BlockedShare()), windowName(m.window, m.shown))
	}
	return text, false
}

// loopText is all there is to say of one loop.
func (m *monitor) loopText() string {
	l := m.opened()
	if l == nil {
		return ""
	}
	var b strings.Builder
	kind := []string{orDash(safetext.Line(l.Loop.Loop)), "CPython " + orDash(safetext.Line(l.Python))}
	if l.Container != "" {
		kind = append(kind, "container "+safetext.Line(l.Container))
	}
	if l.Unit != "" {
		kind = append(kind, "unit "+safetext.Line(l.Unit))
	}
	fmt.Fprintf(&b, "%s\n%s\n", safetext.Middle(strings.Join(kind, ", "), m.width), safetext.Middle(safetext.Line(l.Command), m.width))
	options := text.Options{Width: m.width, Color: true}
	if l.Block != nil {
		section(&b, "Now")
		_ = text.WriteStack(&b, l.Block, options)
	}

	section(&b, "Figures")
	m.figures(&b, l)
	if f := &l.Figures[m.window]; words.IsLate(&model.Loop{LateNS: int64(f.Late), IdleNS: int64(f.Observed)}) {
		fmt.Fprintf(&b, "  It came out of its wait late, by %s in all of %s.\n", compact(f.Late), windowName(m.window, m.shown))
	}
	section(&b, "Active periods of "+windowName(m.window, m.shown))
	histogram(&b, l.Figures[m.window].Histogram, m.width)
	since := ""
	if !m.shown.Counting.Equal(m.shown.Started) {
		since = ", since " + m.shown.Counting.Format(time.TimeOnly)
	}
	if len(l.Blockers) == 0 {
		section(&b, "Blockers")
		fmt.Fprintf(&b, "  None so far%s: no active period of %s or more has ended.\n", since, compact(m.shown.Threshold))
		return b.String()
	}
	section(&b, "Blockers, worst first"+since)
	for i := range l.Blockers {
		_ = text.WriteBlocker(&b, i+1, &l.Blockers[i], options)
	}
	if l.Ungrouped > 0 {
		fmt.Fprintf(&b, "  … and %s of other blockers\n", words.Plural(l.Ungrouped, "block"))
	}
	return b.String()
}

func section(b *strings.Builder, title string) { fmt.Fprintf(b, "\n%s\n", bold.Render(title)) }

// figures prints the statistics by window.
func (m *monitor) figures(b *strings.Builder, l *live.Loop) {
	titles := fmt.Sprintf("  %-16s %6s %6s %7s %7s %7s %6s %7s", "", "IT/S", "BUSY", "P50", "P99", "MAX", "BLOCKS", "BLOCKED")
	if hasLag(l) {
		titles += fmt.Sprintf(" %7s", titleLag)
	}
	fmt.Fprintln(b, faint.Render(titles))
	for w := range live.Windows {
		f := &l.Figures[w]
		mark := " "
		if w == m.window {
			mark = ">"
		}
		lag := ""
		if hasLag(l) {
			lag = " " + left(orNone(f.Lag), 7)
		}
		fmt.Fprintf(b, "%s %s %s %s %s %s %s %s %s%s\n", mark, safetext.Pad(windowName(w, m.shown), 16), left(rate(f.Rate()), 6),
			left(words.Percent(f.Utilization()), 6), left(orNone(f.P50), 7), left(orNone(f.P99), 7), left(orNone(f.Max), 7),
			left(number(f.Blocks), 6), left(percentOrDash(f), 7), lag)
	}
}

// left fills s with spaces on its left: a µ has two bytes and one column.
func left(s string, width int) string {
	return strings.Repeat(" ", max(width-safetext.Width(s), 0)) + s
}

// histogram draws bins as bars, a line each.
func histogram(b *strings.Builder, bins []live.Bin, width int) {
	if len(bins) == 0 {
		b.WriteString("  None has ended.\n")
		return
	}
	var most int64
	for _, bin := range bins {
		most = max(most, bin.Count)
	}
	room := min(max(width-24, 10), 60)
	for _, bin := range bins {
		label := "      <  10 µs"
		if bin.From > 0 {
			label = "from " + left(compact(bin.From), 8)
		}
		fmt.Fprintf(b, "  %s %s %s\n", safetext.Pad(label, 13), safetext.Pad(bar(bin.Count, most, room), room), strconv.FormatInt(bin.Count, 10))
	}
}

// bar draws n of most in eighths of a column; what is there is never drawn as nothing.
func bar(n, most int64, room int) string {
	if n <= 0 || most <= 0 {
		return ""
	}
	eighths := max(int(float64(n)/float64(most)*float64(room)*8+.5), 1)
	s := strings.Repeat("█", eighths/8)
	if part := eighths % 8; part > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[part-1])
	}
	return s
}

// helpText says what the keys do and what the columns mean.
func (m *monitor) helpText() string {
	var b strings.Builder
	for _, k := range []struct{ key, does string }{
		{"q Ctrl-C", "quit"},
		{"↑ ↓ PgUp PgDn", "move; Home and End, too: Home lets the selection stay with whatever is first"},
		{"Enter, Esc", "look into one loop, and back"},
		{"s S, r", "sort by the next or the previous column; reverse the order"},
		{"/", "show only loops with this text in any of their names; Esc shows all"},
		{"p", "pause the screen; loopwatch goes on watching"},
		{"+ -", "threshold: how long an active period has to be to count as a block; counting begins anew"},
		{"w", "window of the figures: last interval, 10 s, 1 minute, all the time"},
		{"u", "what is lost or not watched, and why"},
		{"?", "this help"},
	} {
		m.explain(&b, k.key, k.does)
	}
	b.WriteByte('\n')
	for _, c := range []struct{ title, means string }{
		{"LOOP", "the program and its process id; the thread, too, where it is not the main one"},
		{"WHERE", "its container, or the systemd unit"},
		{"IT/S", "iterations a second: from one return of the loop's wait to the next"},
		{"BUSY", "share of time the loop was active, not waiting for events"},
		{"P50 P99 MAX", "lengths of active periods; MAX includes one still going on"},
		{"BLOCKS", "active periods of at least the threshold, one going on included"},
		{"BLOCKED", "share of time in blocks"},
		{"IN BLOCK", "how long the block going on right now lasts already"},
		{"WORST BLOCKER", "the cause and the line of your code that blocked the loop most"},
	} {
		m.explain(&b, c.title, c.means)
	}
	return b.String()
}

// explain prints a term and what it means, wrapped.
func (m *monitor) explain(b *strings.Builder, term, means string) {
	const termWidth = 14
	for i, line := range wrapAll(means, m.width-termWidth-3) {
		if i > 0 {
			term = ""
		}
		fmt.Fprintf(b, "  %s %s\n", bold.Render(safetext.Pad(term, termWidth)), line)
	}
}

// unseenText says what the figures leave out.
func (m *monitor) unseenText() string {
	var b strings.Builder
	s := m.shown
	for _, line := range wrapAll(cmp.Or(words.LostLine(s.Lost), "No event and no stack was lost."), m.width) {
		fmt.Fprintf(&b, "%s\n", line)
	}
	for _, line := range words.ReasonLines(s.Lost.Reasons, false, m.width) {
		fmt.Fprintf(&b, "%s\n", line)
	}
	b.WriteByte('\n')
	if len(s.Unsupported) == 0 {
		b.WriteString("Every Python process found is watched.\n")
		return b.String()
	}
	b.WriteString("Not watched:\n")
	for _, line := range words.UnwatchedLines(words.UnwatchedGroups(s.Unsupported), 20, m.width) {
		fmt.Fprintf(&b, "%s\n", line)
	}
	return b.String()
}
