// SPDX-License-Identifier: Apache-2.0

// Package text writes reports, dumps and single blocks for people at a terminal: the answer first, then what it rests on. It
// fits the width it is given, and where that is 0 cuts nothing.
package text

import (
	"cmp"
	"fmt"
	"io"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// Options say how to write for people.
type Options struct {
	Width   int  // columns of the terminal; 0 where there is none
	Color   bool // use ANSI colours
	Verbose bool // whole stacks, every loop, blocker and block
}

// Widths: tables without a terminal are laid out for plainWidth; nothing is laid out for
// less than minWidth.
const (
	plainWidth = 120
	minWidth   = 80
)

// SGR codes (ECMA-48 8.3.117).
const (
	styleBold  = "1"
	styleFaint = "2"
	styleRed   = "1;31"
	styleCyan  = "36"
)

// writer lays out what all texts have in common, and keeps the first error.
type writer struct {
	w     io.Writer
	o     Options
	width int // columns, also where there is no terminal
	err   error
}

// newWriter returns a writer for a whole screen, or for a file.
func newWriter(w io.Writer, o Options) writer {
	width := max(o.Width, minWidth)
	if o.Width == 0 {
		width = plainWidth
	}
	return writer{w: w, o: o, width: width}
}

// narrowWriter returns a writer for part of a screen.
func narrowWriter(w io.Writer, o Options) writer {
	return writer{w: w, o: o, width: max(o.Width, minWidth/2)}
}

func (t *writer) printf(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}

// style colours text where colours are wanted.
func (t *writer) style(code, text string) string {
	if !t.o.Color || text == "" || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (t *writer) section(title string) {
	t.printf("\n%s\n", t.style(styleBold, title))
}

// shown returns how many of n entries to show.
func (t *writer) shown(n, limit int) int {
	if t.o.Verbose {
		return n
	}
	return min(n, limit)
}

func (t *writer) table(columns []words.Column, rows [][]string) {
	if t.err == nil {
		t.err = words.WriteTable(t.w, columns, rows, t.width)
	}
}

// cut fits foreign text into columns where there is a terminal that would wrap it; a file
// keeps it whole, for grep.
func (t *writer) cut(s string, columns int) string {
	if t.o.Width == 0 {
		return s
	}
	return safetext.Middle(s, columns)
}

// fold is the width at which lines of words are broken: a file keeps them whole.
func (t *writer) fold() int {
	if t.o.Width == 0 {
		return 0
	}
	return t.width
}

// stack prints frames, innermost first, the culprit marked.
func (t *writer) stack(frames []model.Frame, culprit *model.Frame, all bool) {
	runs := words.FoldStack(frames, all)
	names := 0
	for _, run := range runs {
		if len(run.Frames) == 1 {
			names = max(names, safetext.Width(safetext.Line(run.Frames[0].Function)))
		}
	}
	names = min(names, (t.width-8)*2/5)
	marked := culprit == nil
	for _, run := range runs {
		if len(run.Frames) > 1 {
			text := words.Plural(int64(len(run.Frames)), "frame")
			if run.Library != "" {
				text += " of " + safetext.Line(run.Library)
			}
			t.printf("        %s\n", t.style(styleFaint, t.cut("… "+text, t.width-8)))
			continue
		}
		f := run.Frames[0]
		mark, style := " ", styleFaint
		if f.App {
			style = styleBold
		}
		if !marked && f == *culprit {
			mark, style, marked = "→", styleRed, true
		}
		name := safetext.Pad(safetext.Middle(safetext.Line(f.Function), names), names)
		t.printf("      %s %s  %s\n", t.style(styleRed, mark), t.style(style, name), t.cut(words.FileLine(f, false), t.width-10-names))
	}
}

// holder prints who held what a loop waited for.
func (t *writer) holder(h *model.Holder) {
	if h != nil {
		t.printf("      held by thread %s (%d)\n", t.cut(cmp.Or(safetext.Line(h.Thread), "?"), 40), h.TID)
		frames := h.Frames
		if !t.o.Verbose && len(frames) > holderFrames {
			frames = frames[:holderFrames]
		}
		t.stack(frames, nil, t.o.Verbose)
	}
}

// lost says what was lost, and what that means, if there is anything to say.
func (t *writer) lost(title, summary string, counts map[string]int64) {
	lines := words.ReasonLines(counts, t.o.Verbose, t.fold())
	if summary == "" && len(lines) == 0 {
		return
	}
	t.section(title)
	if summary != "" {
		lines = append([]string{words.Hang(summary, t.fold())}, lines...)
	}
	for _, line := range lines {
		t.printf("%s\n", line)
	}
}

// unsupported lists the processes that could not be looked into, those with the same reason together: first what is
// known to be Python.
func (t *writer) unsupported(all []model.Unsupported) {
	if len(all) == 0 {
		return
	}
	t.section("Not watched")
	groups := words.UnwatchedGroups(all)
	n := t.shown(len(groups), textProblems)
	names := textUnwatched
	if t.o.Verbose {
		names = len(all)
	}
	for _, line := range words.UnwatchedLines(groups[:n], names, t.fold()) {
		t.printf("%s\n", line)
	}
	if rest := groups[n:]; len(rest) > 0 {
		more := 0
		for _, g := range rest {
			more += len(g)
		}
		t.printf("%s\n", t.style(styleFaint, fmt.Sprintf("  … and %d more (--verbose shows them)", more)))
	}
}

// word fits what should be one short word, yet was read from a process, into a table.
func word(s string) string { return safetext.Cut(safetext.Line(s), 12) }
