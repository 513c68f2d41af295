// SPDX-License-Identifier: Apache-2.0

package tui

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/loopwatch/loopwatch/internal/live"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// Styles use the terminal's own palette and no background: it is the user's, light or dark. What a
// colour says is said by words, too.
var (
	plain    = lipgloss.NewStyle()
	bold     = plain.Bold(true)
	faint    = plain.Faint(true)
	alarm    = plain.Bold(true).Foreground(lipgloss.Red)
	warning  = plain.Foreground(lipgloss.Magenta) // yellow is not to be read on white
	reversed = plain.Reverse(true)
)

// column is one column of the table.
type column struct {
	title    string
	width    int  // the least, where it stretches
	right    bool // numbers stand right
	stretch  int  // 0: never; else it takes so many columns more at most
	optional int  // columns are left out, the highest first, while the table is too wide; 0 stays
	middle   bool // what does not fit loses its middle, not its end
	cell     func(l *live.Loop, f *live.Figures) string
	style    func(l *live.Loop, f *live.Figures) lipgloss.Style // nil: plain
}

const (
	titleWhere = "WHERE"
	titleLag   = "LAG"
)

var columns = []column{
	{title: "LOOP", width: 19, stretch: 29, middle: true, cell: func(l *live.Loop, _ *live.Figures) string { return name(l) }},
	{title: titleWhere, width: 14, stretch: 26, optional: 7, middle: true, cell: func(l *live.Loop, _ *live.Figures) string { return where(l) }},
	{title: "PYTHON", width: 8, optional: 10, cell: func(l *live.Loop, _ *live.Figures) string { return orDash(safetext.Line(l.Python)) }},
	{title: "KIND", width: 8, optional: 6, cell: func(l *live.Loop, _ *live.Figures) string { return orDash(safetext.Line(l.Loop.Loop)) }},
	{title: "IT/S", width: 6, right: true, optional: 5, cell: func(_ *live.Loop, f *live.Figures) string { return rate(f.Rate()) }},
	{title: "BUSY", width: 6, right: true, optional: 2, cell: func(_ *live.Loop, f *live.Figures) string { return words.Percent(f.Utilization()) }},
	{title: "P50", width: 7, right: true, optional: 9, cell: func(_ *live.Loop, f *live.Figures) string { return orNone(f.P50) }},
	{title: "P99", width: 7, right: true, optional: 4, cell: func(_ *live.Loop, f *live.Figures) string { return orNone(f.P99) }},
	{title: "MAX", width: 7, right: true, optional: 1, cell: func(_ *live.Loop, f *live.Figures) string { return orNone(f.Max) }},
	{title: titleLag, width: 7, right: true, optional: 8, cell: func(_ *live.Loop, f *live.Figures) string { return orNone(f.Lag) }},
	{title: "BLOCKS", width: 6, right: true, optional: 3, cell: func(_ *live.Loop, f *live.Figures) string { return number(f.Blocks) }},
	{title: "BLOCKED", width: 7, right: true, cell: func(_ *live.Loop, f *live.Figures) string { return percentOrDash(f) }, style: shareStyle},
	{title: "IN BLOCK", width: 8, right: true, cell: func(l *live.Loop, _ *live.Figures) string { return inBlock(l) }, style: nowStyle},
	{title: "WORST BLOCKER", width: 25, stretch: 120, cell: func(_ *live.Loop, f *live.Figures) string { return worst(f) }},
}

func where(l *live.Loop) string {
	container := l.Container
	if len(container) == 64 { // an identifier; its beginning is what people use
		container = container[:12]
	}
	return orDash(safetext.Line(cmp.Or(container, l.Unit)))
}

func inBlock(l *live.Loop) string {
	switch l.State {
	case live.Blocked:
		return blockedTime(l)
	case live.Ended:
		return "ended"
	}
	return "-"
}

func nowStyle(l *live.Loop, _ *live.Figures) lipgloss.Style {
	if l.State == live.Blocked {
		return alarm
	}
	return plain
}

func shareStyle(_ *live.Loop, f *live.Figures) lipgloss.Style {
	if f.Blocks > 0 {
		return warning
	}
	return plain
}

func worst(f *live.Figures) string {
	if f.Worst == nil {
		return ""
	}
	return blame(f.Worst.Cause, f.Worst.Culprit, " ")
}

func percentOrDash(f *live.Figures) string {
	if f.Blocks == 0 && f.Blocked == 0 {
		return "-"
	}
	return words.Percent(f.BlockedShare())
}

func number(n int64) string {
	switch {
	case n == 0:
		return "-"
	case n < 1_000_000:
		return strconv.FormatInt(n, 10)
	}
	return rate(float64(n))
}

func orNone(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return compact(d)
}

func orDash(s string) string { return cmp.Or(s, "-") }

// order is a way to sort the table.
type order struct {
	name, title string // title: of the column it belongs to
	compare     func(x, y *live.Loop, w live.Window) int
}

// orders are what the sort key goes through. The first is where a user begins.
var orders = []order{
	{"blocked", "BLOCKED", func(x, y *live.Loop, w live.Window) int {
		return cmp.Compare(y.Figures[w].BlockedShare(), x.Figures[w].BlockedShare())
	}},
	{"in block", "IN BLOCK", func(x, y *live.Loop, _ live.Window) int { return cmp.Compare(blockedFor(y), blockedFor(x)) }},
	{"blocks", "BLOCKS", func(x, y *live.Loop, w live.Window) int { return cmp.Compare(y.Figures[w].Blocks, x.Figures[w].Blocks) }},
	{"max", "MAX", func(x, y *live.Loop, w live.Window) int { return cmp.Compare(y.Figures[w].Max, x.Figures[w].Max) }},
	{"p99", "P99", func(x, y *live.Loop, w live.Window) int { return cmp.Compare(y.Figures[w].P99, x.Figures[w].P99) }},
	{"lag", titleLag, func(x, y *live.Loop, w live.Window) int { return cmp.Compare(y.Figures[w].Lag, x.Figures[w].Lag) }},
	{"busy", "BUSY", func(x, y *live.Loop, w live.Window) int {
		return cmp.Compare(y.Figures[w].Utilization(), x.Figures[w].Utilization())
	}},
	{"it/s", "IT/S", func(x, y *live.Loop, w live.Window) int { return cmp.Compare(y.Figures[w].Rate(), x.Figures[w].Rate()) }},
	{"name", "LOOP", func(x, y *live.Loop, _ live.Window) int { return cmp.Compare(name(x), name(y)) }},
}

func blockedFor(l *live.Loop) time.Duration {
	if l.State != live.Blocked {
		return -1
	}
	return l.For
}

// sortRows sorts, and puts what is equal in the same order every time.
func sortRows(rows []*live.Loop, by order, reverse bool, w live.Window) {
	names := make(map[*live.Loop]string, len(rows))
	if by.name == "name" {
		for _, l := range rows {
			names[l] = name(l)
		}
		by.compare = func(x, y *live.Loop, _ live.Window) int { return cmp.Compare(names[x], names[y]) }
	}
	slices.SortFunc(rows, func(x, y *live.Loop) int {
		c := by.compare(x, y, w)
		if reverse {
			c = -c
		}
		return cmp.Or(c, orders[0].compare(x, y, w), compareIDs(x, y))
	})
}

// matches reports whether a loop has a text in any of its names, whatever the case.
func matches(l *live.Loop, text string, w live.Window) bool {
	text = strings.ToLower(text)
	for _, s := range []string{name(l), l.Command, l.Container, l.Unit, l.Loop.Loop, l.Python, worst(&l.Figures[w])} {
		if strings.Contains(strings.ToLower(s[:min(len(s), 512)]), text) {
			return true
		}
	}
	return false
}

// hasLag reports whether the lag of a loop was seen since it was first seen.
func hasLag(l *live.Loop) bool { return l.Figures[live.Whole].Lag > 0 }

// layout is the columns that fit a width, and how wide they are.
type layout struct {
	columns []column
	widths  []int
	gap     int
}

// fit leaves out columns until the rest fits, and gives what is left over to those that stretch.
func fit(width int, rows []*live.Loop) layout {
	kept := slices.Clone(columns)
	if !slices.ContainsFunc(rows, func(l *live.Loop) bool { return l.Container != "" || l.Unit != "" }) {
		kept = slices.DeleteFunc(kept, func(c column) bool { return c.title == titleWhere })
	}
	if !slices.ContainsFunc(rows, hasLag) {
		kept = slices.DeleteFunc(kept, func(c column) bool { return c.title == titleLag })
	}
	gap := 2
	if width < 100 {
		gap = 1
	}
	room := func() int {
		left := width - 1 // the mark of the selected row
		for _, c := range kept {
			left -= c.width + gap
		}
		return left + gap
	}
	for room() < 0 {
		drop := -1
		for i, c := range kept {
			if c.optional > 0 && (drop < 0 || c.optional > kept[drop].optional) {
				drop = i
			}
		}
		if drop < 0 {
			break
		}
		kept = slices.Delete(kept, drop, drop+1)
	}
	l := layout{kept, make([]int, len(kept)), gap}
	var elastic []int
	for i, c := range kept {
		l.widths[i] = c.width
		if c.stretch > 0 {
			elastic = append(elastic, i)
		}
	}
	// The last one is the longest, and the answer: it goes first, and takes what the others leave.
	left := max(room(), 0)
	grow := func(i, share int) {
		share = min(share, left, kept[i].width+kept[i].stretch-l.widths[i])
		l.widths[i] += share
		left -= share
	}
	last := elastic[len(elastic)-1]
	if short := room(); short < 0 {
		l.widths[last] += short
	}
	grow(last, 15)
	for _, i := range elastic {
		grow(i, left/3)
	}
	grow(last, left)
	return l
}

// row lays out cells. style may be nil.
func (t layout) row(cell func(column) string, style func(column) lipgloss.Style) string {
	var b strings.Builder
	for i, c := range t.columns {
		text := cell(c)
		if c.middle {
			text = safetext.Middle(text, t.widths[i])
		} else {
			text = safetext.Cut(text, t.widths[i])
		}
		space := strings.Repeat(" ", max(t.widths[i]-safetext.Width(text), 0))
		if style != nil {
			text = style(c).Render(text)
		}
		if c.right {
			b.WriteString(space + text)
		} else {
			b.WriteString(text + space)
		}
		if i < len(t.columns)-1 {
			b.WriteString(strings.Repeat(" ", t.gap))
		}
	}
	return b.String()
}

func (t layout) header(sorted order) string {
	return t.row(func(c column) string { return c.title }, func(c column) lipgloss.Style {
		if c.title == sorted.title {
			return bold.Underline(true).UnderlineSpaces(true)
		}
		return bold
	})
}

// tableHeight is how many rows of the table fit.
func (m *monitor) tableHeight() int {
	if m.width == 0 {
		return 1
	}
	return max(m.height-m.headHeight()-2, 1)
}

// table draws the rows that are on the screen.
func (m *monitor) table() []string {
	if len(m.rows) == 0 {
		if m.filter != "" {
			return []string{"", faint.Render("No loop matches the filter. Esc shows all.")}
		}
		return []string{"", faint.Render("A loop shows up here once it waits for events. q quits.")}
	}
	t := fit(m.width, m.rows)
	lines := []string{" " + t.header(orders[m.sort])}
	at, end := m.at(), min(m.offset+m.tableHeight(), len(m.rows))
	for i := m.offset; i < end; i++ {
		l := m.rows[i]
		f := &l.Figures[m.window]
		cell := func(c column) string { return c.cell(l, f) }
		switch {
		case i == at:
			lines = append(lines, reversed.Render(">"+t.row(cell, nil)))
		case l.State == live.Ended:
			lines = append(lines, " "+t.row(cell, func(column) lipgloss.Style { return faint }))
		default:
			lines = append(lines, " "+t.row(cell, func(c column) lipgloss.Style {
				if c.style == nil {
					return plain
				}
				return c.style(l, f)
			}))
		}
	}
	return lines
}

// plainWidth is the width of tables that no terminal limits.
const plainWidth = 200

// writePlain prints a view as lines, with the figures of the last interval.
func writePlain(w io.Writer, s *live.View, limit int) error {
	const window = live.LastInterval
	var b strings.Builder
	text, _ := answer(s, window)
	fmt.Fprintf(&b, "%s  %s\n", s.At.Format(time.RFC3339), text)
	rows := make([]*live.Loop, 0, len(s.Loops))
	for i := range s.Loops {
		rows = append(rows, &s.Loops[i])
	}
	sortRows(rows, orders[0], false, window)
	t := fit(plainWidth, rows)
	if len(rows) > 0 {
		fmt.Fprintln(&b, " "+strings.TrimRight(t.row(func(c column) string { return c.title }, nil), " "))
	}
	shown := rows
	if limit > 0 && len(rows) > limit {
		shown = rows[:limit]
	}
	for _, l := range shown {
		fmt.Fprintln(&b, " "+strings.TrimRight(t.row(func(c column) string { return c.cell(l, &l.Figures[window]) }, nil), " "))
	}
	if more := len(rows) - len(shown); more > 0 {
		fmt.Fprintf(&b, " … and %s (--verbose shows them)\n", plural(more, "more loop"))
	}
	if line := words.LostLine(s.Lost); line != "" {
		fmt.Fprintf(&b, " %s\n", line)
	}
	if n, _ := words.Unwatched(s.Unsupported); n > 0 {
		fmt.Fprintf(&b, " not watched: %s (loopwatch report says why)\n", plural(n, "Python process"))
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}
