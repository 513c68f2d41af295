// SPDX-License-Identifier: Apache-2.0

package tui

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/viewport"
	tea "charm.land/bubbletea/v2"

	"github.com/loopwatch/loopwatch/internal/live"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

type (
	viewMsg struct{ *live.View }
	endMsg  struct{} // the observation is over
)

// page is what the screen is about.
type page int

const (
	pageTable page = iota
	pageLoop
	pageHelp
	pageUnseen
)

// Least size of a terminal that anything useful fits into.
const (
	leastWidth  = 60
	leastHeight = 10
)

// thresholds are those the keys go through.
var thresholds = []time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
}

// monitor is the state of the live view. It knows nothing of the terminal but its size.
type monitor struct {
	setThreshold  func(time.Duration)
	width, height int
	failure       error

	newest    *live.View
	shown     *live.View // not the newest while paused
	paused    bool
	threshold time.Duration // asked for last

	page, below page // below: where help goes back to
	window      live.Window
	sort        int // index into orders
	reverse     bool
	filter      string
	typing      bool

	rows     []*live.Loop // of shown, filtered and sorted
	selected model.LoopID
	chosen   bool // the user has selected it; or else it is whatever stands first
	offset   int  // first row on the screen

	text viewport.Model // of all pages but the table
}

func newMonitor(first *live.View, setThreshold func(time.Duration)) *monitor {
	m := &monitor{
		setThreshold: setThreshold, newest: first, shown: first, threshold: first.Threshold,
		window: live.TenSeconds, text: viewport.New(),
	}
	m.text.SoftWrap = true
	m.text.KeyMap = viewport.KeyMap{
		Up: keys.Up, Down: keys.Down, PageUp: keys.PageUp, PageDown: keys.PageDown,
		HalfPageUp: binding("", "", "ctrl+u"), HalfPageDown: binding("", "", "ctrl+d"),
	}
	m.arrange()
	return m
}

// update takes one message. It is all there is to change the monitor.
func (m *monitor) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.arrange()
	case viewMsg:
		if m.newest.Threshold != msg.Threshold && msg.Threshold == m.threshold || m.threshold == m.newest.Threshold {
			m.threshold = msg.Threshold
		}
		m.newest = msg.View
		if !m.paused {
			m.shown = m.newest
		}
		m.arrange()
	case endMsg:
		return tea.Quit
	case tea.KeyPressMsg:
		return m.press(msg)
	case tea.PasteMsg:
		if m.typing {
			m.typed(msg.Content)
		}
	}
	return nil
}

func (m *monitor) press(k tea.KeyPressMsg) tea.Cmd {
	if k.String() == "ctrl+c" {
		return tea.Quit
	}
	if m.typing {
		switch k.String() {
		case "enter":
			m.typing = false
		case "esc":
			m.typing, m.filter = false, ""
		case "backspace":
			_, n := utf8.DecodeLastRuneInString(m.filter)
			m.filter = m.filter[:len(m.filter)-n]
		case "ctrl+u":
			m.filter = ""
		default:
			m.typed(k.Text)
		}
		m.arrange()
		return nil
	}
	switch {
	case key.Matches(k, keys.Quit):
		return tea.Quit
	case key.Matches(k, keys.Suspend):
		return tea.Suspend
	case key.Matches(k, keys.Help):
		m.turnTo(pageHelp)
	case key.Matches(k, keys.Unseen):
		m.turnTo(pageUnseen)
	case key.Matches(k, keys.Pause):
		m.paused = !m.paused
		m.shown = m.newest
	case key.Matches(k, keys.Raise):
		m.step(1)
	case key.Matches(k, keys.Lower):
		m.step(-1)
	case key.Matches(k, keys.Window):
		m.window = (m.window + 1) % live.Windows
	case key.Matches(k, keys.Back):
		m.back()
	case m.page != pageTable:
		return m.scrollText(k)
	default:
		return m.pressTable(k)
	}
	m.arrange()
	return nil
}

// pressTable handles the keys that only the table knows.
func (m *monitor) pressTable(k tea.KeyPressMsg) tea.Cmd {
	switch {
	case key.Matches(k, keys.Sort):
		m.sort, m.reverse = (m.sort+1)%len(orders), false
	case key.Matches(k, keys.SortBack):
		m.sort, m.reverse = (m.sort+len(orders)-1)%len(orders), false
	case key.Matches(k, keys.Reverse):
		m.reverse = !m.reverse
	case key.Matches(k, keys.Filter):
		m.typing = true
	case key.Matches(k, keys.Up):
		m.move(-1)
	case key.Matches(k, keys.Down):
		m.move(1)
	case key.Matches(k, keys.PageUp):
		m.move(-max(m.tableHeight()-1, 1))
	case key.Matches(k, keys.PageDown):
		m.move(max(m.tableHeight()-1, 1))
	case key.Matches(k, keys.Top):
		m.chosen = false
	case key.Matches(k, keys.Bottom):
		m.move(len(m.rows))
	case key.Matches(k, keys.Open):
		if at := m.at(); at >= 0 {
			m.selected, m.chosen = m.rows[at].ID(), true
			m.page = pageLoop
			m.text.GotoTop()
		}
	}
	m.arrange()
	return nil
}

// maxFilter bounds a filter, which may be pasted.
const maxFilter = 100

// typed adds to the filter.
func (m *monitor) typed(text string) {
	for _, r := range text {
		if unicode.IsPrint(r) && len(m.filter) < maxFilter {
			m.filter += string(r)
		}
	}
	m.arrange()
}

func (m *monitor) scrollText(k tea.KeyPressMsg) tea.Cmd {
	switch {
	case key.Matches(k, keys.Top):
		m.text.GotoTop()
	case key.Matches(k, keys.Bottom):
		m.text.GotoBottom()
	default:
		var cmd tea.Cmd
		m.text, cmd = m.text.Update(k)
		return cmd
	}
	return nil
}

func (m *monitor) turnTo(p page) {
	if m.page == p {
		m.back()
		return
	}
	if m.page == pageTable || m.page == pageLoop {
		m.below = m.page
	}
	m.page = p
	m.text.GotoTop()
}

func (m *monitor) back() {
	switch m.page {
	case pageTable:
		m.filter = ""
	case pageLoop:
		m.page = pageTable
	default:
		m.page = m.below
		m.text.GotoTop()
	}
}

// step asks for the next threshold of the list, up or down.
func (m *monitor) step(by int) {
	at, found := slices.BinarySearch(thresholds, m.threshold)
	switch {
	case by < 0:
		at--
	case found:
		at++
	}
	if at < 0 || at >= len(thresholds) {
		return
	}
	m.threshold = thresholds[at]
	m.setThreshold(m.threshold)
}

// at returns the index of the selected row, -1 where there is none.
func (m *monitor) at() int {
	if len(m.rows) == 0 {
		return -1
	}
	if m.chosen {
		for i, l := range m.rows {
			if l.ID() == m.selected {
				return i
			}
		}
	}
	return 0
}

func (m *monitor) move(by int) {
	at := m.at()
	if at < 0 {
		return
	}
	m.selected, m.chosen = m.rows[min(max(at+by, 0), len(m.rows)-1)].ID(), true
}

// arrange brings everything that follows from the rest up to date.
func (m *monitor) arrange() {
	before := m.at()
	m.rows = m.rows[:0]
	for i := range m.shown.Loops {
		if l := &m.shown.Loops[i]; m.filter == "" || matches(l, m.filter, m.window) {
			m.rows = append(m.rows, l)
		}
	}
	sortRows(m.rows, orders[m.sort], m.reverse, m.window)
	if m.chosen && len(m.rows) > 0 && !slices.ContainsFunc(m.rows, func(l *live.Loop) bool { return l.ID() == m.selected }) && m.page != pageLoop {
		// It has gone: its neighbour takes its place.
		m.selected = m.rows[min(max(before, 0), len(m.rows)-1)].ID()
	}
	height := m.tableHeight()
	at := m.at()
	m.offset = min(m.offset, at)
	m.offset = max(m.offset, at-height+1, 0)
	m.offset = max(min(m.offset, len(m.rows)-height), 0)

	if m.page == pageTable || m.width < leastWidth || m.height < leastHeight {
		return
	}
	m.text.SetWidth(m.width)
	m.text.SetHeight(max(m.height-m.headHeight()-1, 1))
	switch m.page {
	case pageLoop:
		m.text.SetContent(m.loopText())
	case pageHelp:
		m.text.SetContent(m.helpText())
	case pageUnseen:
		m.text.SetContent(m.unseenText())
	}
}

// screen draws everything.
func (m *monitor) screen() string {
	switch {
	case m.width == 0 || m.height == 0: // not known yet
		return ""
	case m.width < leastWidth || m.height < leastHeight:
		return m.tooSmall()
	}
	lines := m.head()
	if m.page == pageTable {
		lines = append(lines, m.table()...)
	} else {
		lines = append(lines, strings.Split(m.text.View(), "\n")...)
	}
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	return strings.Join(append(lines[:m.height-1], m.foot()), "\n")
}

// tooSmall says so in a terminal of any size.
func (m *monitor) tooSmall() string {
	words := strings.Fields("Terminal too small: loopwatch top needs 60 columns and 10 lines. q quits.")
	var lines []string
	for _, word := range words {
		if n := len(lines); n > 0 && len(lines[n-1])+1+len(word) <= m.width {
			lines[n-1] += " " + word
		} else {
			lines = append(lines, safetext.Cut(word, m.width))
		}
	}
	return strings.Join(lines[:min(len(lines), m.height)], "\n")
}

// foot is the last line: what the keys do, or what is being typed.
func (m *monitor) foot() string {
	if m.typing {
		const hint = "  Enter keeps it, Esc drops it"
		room := m.width - len("filter: ") - 1 - len(hint)
		return bold.Render("filter: ") + safetext.Middle(safetext.Line(m.filter), room) + reversed.Render(" ") + faint.Render(hint)
	}
	list := tableHelp
	if m.page != pageTable {
		list = textHelp
	}
	var b strings.Builder
	used := 0
	for _, k := range list {
		h := k.Help()
		if used += safetext.Width(h.Key) + 1 + len(h.Desc) + 2; used > m.width+2 {
			break
		}
		b.WriteString(bold.Render(h.Key) + " " + h.Desc + "  ")
	}
	return strings.TrimSuffix(b.String(), "  ")
}
