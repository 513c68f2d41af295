// SPDX-License-Identifier: Apache-2.0

package text

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// Bounds of what the text shows unless it is verbose.
const (
	textBlockers  = 10
	textLoops     = 20
	textBlocks    = 10
	textProblems  = 10
	textUnwatched = 5 // processes named that have one reason
	holderFrames  = 6
)

// Write writes r for people: first the answer in one line, then the loops, the blockers
// with their stacks, the longest blocks, and last what could not be seen.
func Write(w io.Writer, r *model.Report, o Options) error {
	t := &reportWriter{newWriter(w, o), r, words.NamesOf(r)}
	t.headline()
	t.loops()
	t.blockers()
	t.blocks()
	t.problems()
	t.footer()
	if t.err != nil {
		return fmt.Errorf("write report: %w", t.err)
	}
	return nil
}

// reportWriter writes a report.
type reportWriter struct {
	writer
	r     *model.Report
	names words.LoopNames
}

// headline answers who blocked what, or says why there is nothing to say.
func (t *reportWriter) headline() {
	v := words.AnswerOf(t.r)
	t.printf("%s", t.style(styleBold, v.Summary))
	if v.Worst != "" {
		t.printf(" Worst: %s", t.style(styleRed, v.Worst))
	}
	t.printf("\n")
	if v.Hint != "" {
		t.printf("%s\n", v.Hint)
	}
}

const (
	titleLate = "LATE"
	titleLag  = "LAG"
)

func (t *reportWriter) loops() {
	loops := t.r.Loops
	if len(loops) == 0 || t.err != nil {
		return
	}
	columns := []words.Column{
		{Title: "LOOP", Flexible: true, Minimum: 18},
		{Title: "KIND"},
		{Title: "PYTHON", Optional: 2},
		{Title: "BUSY", Right: true},
		{Title: "ITERATIONS", Right: true, Optional: 3},
		{Title: "P50", Right: true, Optional: 5},
		{Title: "P99", Right: true, Optional: 1},
		{Title: "MAX", Right: true},
		{Title: titleLag, Right: true, Optional: 7},
		{Title: "BLOCKS", Right: true},
		{Title: "BLOCKED", Right: true},
		{Title: titleLate, Right: true, Optional: 6},
		{Title: "WHERE", Optional: 4, Flexible: true, Minimum: 12},
	}
	somewhere, anyLate, anyLag := false, false, false
	var rows [][]string
	n := t.shown(len(loops), textLoops)
	for _, l := range loops[:n] {
		where := safetext.Middle(safetext.Line(cmp.Or(l.Container, l.Unit)), 40)
		somewhere = somewhere || where != ""
		late := "-"
		if words.IsLate(&l) {
			late, anyLate = words.HumanDuration(l.LateNS), true
		}
		lag := "-"
		if d := l.ReadyDelayNS; d != nil {
			lag, anyLag = words.HumanDuration(d.P99), true
		}
		rows = append(rows, []string{
			t.names.Of(model.LoopID{PID: l.PID, TID: l.TID}), word(l.Loop), word(l.Python), words.Percent(l.Utilization),
			strconv.FormatInt(l.Iterations, 10), dashZero(l.IterationNS.P50), dashZero(l.IterationNS.P99),
			dashZero(l.IterationNS.Max), lag, strconv.FormatInt(l.Blocks, 10), dashZero(l.BlockedNS), late, where,
		})
	}
	if !somewhere {
		columns = columns[:len(columns)-1]
	}
	for title, any := range map[string]bool{titleLate: anyLate, titleLag: anyLag} {
		if any {
			continue
		}
		at := slices.IndexFunc(columns, func(c words.Column) bool { return c.Title == title })
		columns = slices.Delete(columns, at, at+1)
		for i := range rows {
			rows[i] = slices.Delete(rows[i], at, at+1)
		}
	}
	t.section("Loops")
	t.table(columns, rows)
	if rest := loops[n:]; len(rest) > 0 {
		t.printf("%s\n", t.style(styleFaint, fmt.Sprintf("… and %s (--verbose shows them)", words.Plural(int64(len(rest)), "more loop"))))
	}
}

// blocks lists when the longest blocks were.
func (t *reportWriter) blocks() {
	if len(t.r.Blocks) == 0 || t.err != nil {
		return
	}
	blocks := slices.Clone(t.r.Blocks)
	slices.SortStableFunc(blocks, func(x, y model.Block) int { return cmp.Compare(y.DurationNS, x.DurationNS) })
	n := t.shown(len(blocks), textBlocks)
	title := "Blocks in time order"
	if n < len(blocks) {
		title = fmt.Sprintf("The %d longest of %s, in time order", n, words.Plural(int64(len(blocks)), "block"))
	}
	blocks = blocks[:n]
	slices.SortStableFunc(blocks, func(x, y model.Block) int { return cmp.Compare(x.StartNS, y.StartNS) })

	columns := []words.Column{
		{Title: "START", Optional: 1},
		{Title: "AFTER", Right: true},
		{Title: "TOOK", Right: true},
		{Title: "CAUSE"},
		{Title: "LOOP", Flexible: true, Minimum: 18},
		{Title: "CULPRIT", Flexible: true, Minimum: 32},
		{Title: "TASK", Optional: 2},
	}
	if !slices.ContainsFunc(blocks, func(b model.Block) bool { return b.Task != "" }) {
		columns = columns[:len(columns)-1]
	}
	if _, err := time.Parse(time.RFC3339Nano, t.r.StartedAt); err != nil {
		columns[0].Title = ""
	}
	var rows [][]string
	for i := range blocks {
		b := &blocks[i]
		rows = append(rows, []string{words.StartOf(t.r, b), words.HumanDuration(b.StartNS - t.r.StartedNS), words.Took(b), word(string(b.Cause)),
			t.names.Of(model.LoopID{PID: b.PID, TID: b.TID}), words.CulpritName(b.Culprit), taskName(b.Task)})
	}
	t.section(title)
	t.table(columns, rows)
}

// problems says what the figures above leave out.
func (t *reportWriter) problems() {
	t.lost("Lost", words.LostLine(t.r.Lost), t.r.Lost.Reasons)
	t.unsupported(t.r.Unsupported)
}

// footer says under which conditions all this was seen.
func (t *reportWriter) footer() {
	h := t.r.Host
	var parts []string
	add := func(format, value string) {
		if value != "" {
			parts = append(parts, fmt.Sprintf(format, safetext.Line(value)))
		}
	}
	add("%s", h.Hostname)
	add("Linux %s", h.Kernel)
	add("%s", h.Arch)
	add("attached by %s", h.Attach)
	if len(parts) == 0 {
		return
	}
	host := strings.Join(parts, ", ")
	started := "started " + safetext.Line(toSeconds(t.r.StartedAt))
	if line := host + ", " + started; t.width == 0 || safetext.Width(line) <= t.width {
		t.printf("\n%s\n", t.style(styleFaint, line))
		return
	}
	t.printf("\n%s\n%s\n", t.style(styleFaint, t.cut(host, t.width)), t.style(styleFaint, t.cut(started, t.width)))
}

// toSeconds leaves out what of a time is finer.
func toSeconds(s string) string {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	return at.Format(time.RFC3339)
}

// taskName fits the name of a task, which anybody may choose, into a table.
func taskName(s string) string {
	if s == "" {
		return "-"
	}
	return safetext.Middle(safetext.Line(s), 24)
}

func dashZero(ns int64) string {
	if ns == 0 {
		return "-"
	}
	return words.HumanDuration(ns)
}
