// SPDX-License-Identifier: Apache-2.0

// Package difference writes how two reports compare, for people: as text, and as a page with a flame graph of the differences. A
// comparison goes in, for the page with both reports; a file goes out, in which what a watched process chose is neutralised
// (package safetext).
package difference

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// Options say how to write for people.
type Options struct {
	Width   int  // columns of the terminal; 0 where there is none
	Color   bool // use ANSI colours
	Verbose bool // every blocker
}

const (
	plainWidth = 120
	minWidth   = 80
	shownRows  = 30
)

// verdictWords are the verdicts as people read them.
var verdictWords = map[model.Verdict]string{
	model.VerdictNew: "new", model.VerdictGone: "gone", model.VerdictWorse: "worse", model.VerdictBetter: "better", model.VerdictSame: "the same",
	model.VerdictUnclear: "too little seen to tell", model.VerdictHost: "held back by the host",
}

// Answer says in a sentence what has changed.
func Answer(d *model.Diff) string {
	counts := map[model.Verdict]int{}
	for i := range d.Blockers {
		counts[d.Blockers[i].Verdict]++
	}
	var parts []string
	for _, v := range []model.Verdict{model.VerdictNew, model.VerdictWorse, model.VerdictGone, model.VerdictBetter, model.VerdictSame, model.VerdictUnclear} {
		if n := counts[v]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, verdictWords[v]))
		}
	}
	part := fmt.Sprintf("Blocked %s of the loop time before, %s after.", words.Percent(d.Before.Part), words.Percent(d.After.Part))
	switch {
	case counts[model.VerdictNew]+counts[model.VerdictWorse] > 0:
		return "Worse: of the blockers " + strings.Join(parts, ", ") + ". " + part
	case len(parts) == 0:
		return "No blocker in either report. " + part
	}
	return "Nothing is known to be worse: of the blockers " + strings.Join(parts, ", ") + ". " + part
}

// change says what of a blocker has changed.
func change(b *model.DiffBlocker) string {
	var parts []string
	for _, c := range []struct {
		ratio    *model.Ratio
		up, down string
	}{{b.Often, "more often", "less often"}, {b.Long, "longer", "shorter"}} {
		switch {
		case c.ratio == nil || !c.ratio.Significant:
		case c.ratio.Ratio > 1:
			parts = append(parts, fmt.Sprintf("%s ×%.2f", c.up, c.ratio.Ratio))
		default:
			parts = append(parts, fmt.Sprintf("%s ×%.2f", c.down, c.ratio.Ratio))
		}
	}
	return strings.Join(parts, ", ")
}

// name returns what a blocker is called.
func name(b *model.DiffBlocker) string {
	if b.Function == "" && b.File == "" {
		return "(no line to blame)"
	}
	at := words.CulpritName(&model.Frame{Function: b.Function, File: b.File})
	lines := b.After.Lines
	if b.After.Count == 0 {
		lines = b.Before.Lines
	}
	if len(lines) > 0 && lines[0] > 0 {
		at += ":" + strconv.Itoa(lines[0])
	}
	return at
}

// figure is one of both reports: a dash where there is none.
func figure(before, after model.DiffFigures, of func(model.DiffFigures) string) string {
	one := func(f model.DiffFigures) string {
		if f.Count == 0 {
			return "-"
		}
		return of(f)
	}
	return one(before) + " → " + one(after)
}

func perHour(f model.DiffFigures) string {
	if f.PerHour < 10 {
		return strconv.FormatFloat(f.PerHour, 'f', 1, 64)
	}
	return strconv.FormatFloat(f.PerHour, 'f', 0, 64)
}

// WriteText writes a comparison as text: the answer, both sides, and each blocker.
func WriteText(w io.Writer, d *model.Diff, o Options) error {
	t := &writer{w: w}
	answer := Answer(d)
	if o.Color {
		answer = "\x1b[1m" + answer + "\x1b[0m"
	}
	t.printf("%s\n\n", answer)
	for _, s := range []struct {
		name string
		side *model.DiffSide
	}{{"before", &d.Before}, {"after ", &d.After}} {
		t.printf("%s  %s\n", s.name, Side(s.side))
	}
	for _, s := range []*model.DiffSide{&d.Before, &d.After} {
		if lost := words.LostLine(s.Lost); lost != "" {
			t.printf("%s\n", lost)
		}
	}
	n := len(d.Blockers)
	if !o.Verbose {
		n = min(n, shownRows)
	}
	if n > 0 && t.err == nil {
		t.printf("\n")
		columns := []words.Column{
			{Title: "VERDICT"},
			{Title: "CAUSE"},
			{Title: "BLOCKER", Flexible: true, Minimum: 24},
			{Title: "BLOCKS/H", Right: true, Optional: 2},
			{Title: "MEAN", Right: true, Optional: 1},
			{Title: "OF THE TIME", Right: true},
			{Title: "BLOCKS", Right: true, Optional: 3},
			{Title: "CHANGE", Optional: 4},
		}
		var rows [][]string
		for i := range d.Blockers[:n] {
			b := &d.Blockers[i]
			rows = append(rows, []string{verdictWords[b.Verdict], safetext.Cut(safetext.Line(string(b.Cause)), 20), name(b),
				figure(b.Before, b.After, perHour),
				figure(b.Before, b.After, func(f model.DiffFigures) string { return words.HumanDuration(f.MeanNS) }),
				figure(b.Before, b.After, func(f model.DiffFigures) string { return words.Percent(f.Part) }),
				figure(b.Before, b.After, func(f model.DiffFigures) string { return strconv.FormatInt(f.Count, 10) }), change(b)})
		}
		width := max(o.Width, minWidth)
		if o.Width == 0 {
			width = plainWidth
		}
		t.err = words.WriteTable(w, columns, rows, width)
	}
	if more := len(d.Blockers) - n; more > 0 {
		t.printf("… and %s (--verbose shows them)\n", words.Plural(int64(more), "more blocker"))
	}
	if t.err != nil {
		return fmt.Errorf("write comparison: %w", t.err)
	}
	return nil
}

// Side says what one of the reports is.
func Side(s *model.DiffSide) string {
	host := safetext.Cut(safetext.Line(s.Hostname), 60)
	if host != "" {
		host += ", "
	}
	return fmt.Sprintf("%s%s, %s, %s of loop time, %s, %s blocked", host, safetext.Cut(safetext.Line(s.StartedAt), 40), words.Plural(int64(s.Loops), "loop"),
		words.HumanDuration(s.LoopNS), words.Plural(s.Blocks, "block"), words.HumanDuration(s.BlockedNS))
}

// writer keeps the first error.
type writer struct {
	w   io.Writer
	err error
}

func (t *writer) printf(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}
