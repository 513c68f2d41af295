// SPDX-License-Identifier: Apache-2.0

// Package report writes reports and dumps for people and machines: text and JSON, and the words of the formats that live
// in packages of their own. A report or dump of package model goes in, a file goes out. Foreign strings are made safe to
// print on the way.
package report

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// TextOptions say how to write a report for people.
type TextOptions struct {
	Width   int  // columns of the terminal; 0 where there is none
	Color   bool // use ANSI colours
	Verbose bool // whole stacks, every loop, blocker and block
}

// Bounds of what the text shows unless it is verbose.
const (
	textBlockers  = 10
	textLoops     = 20
	textBlocks    = 10
	textProblems  = 10
	textUnwatched = 5 // processes named that have one reason
	holderFrames  = 6
)

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

// WriteText writes r for people: first the answer in one line, then the loops, the blockers
// with their stacks, the longest blocks, and last what could not be seen.
func WriteText(w io.Writer, r *model.Report, o TextOptions) error {
	t := &textWriter{w: w, r: r, o: o, names: NamesOf(r)}
	t.width = max(o.Width, minWidth)
	if o.Width == 0 {
		t.width = plainWidth
	}
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

// textWriter keeps the first error of a text being written.
type textWriter struct {
	w     io.Writer
	r     *model.Report
	o     TextOptions
	width int
	names LoopNames
	err   error
}

// WriteBlocker writes a blocker for people, as number number of a list. A blocker without loops is
// one of a single loop.
func WriteBlocker(w io.Writer, number int, b *model.Blocker, o TextOptions) error {
	t := &textWriter{w: w, o: o, width: max(o.Width, minWidth/2)}
	t.blocker(number, b, nil)
	return t.err
}

// WriteStack writes what is known of a block but its times: the evidence, the stack that took most
// of it, and who held what it waited for.
func WriteStack(w io.Writer, b *model.Block, o TextOptions) error {
	t := &textWriter{w: w, o: o, width: max(o.Width, minWidth/2)}
	if evidence := evidence(b.Detail); evidence != "" {
		t.printf("      %s\n", t.cut(evidence, t.width-6))
	}
	if len(b.Stacks) == 0 {
		t.printf("      %s\n", t.style(styleFaint, "no stack was taken of it yet"))
	} else {
		t.stack(b.Stacks[0].Frames, b.Culprit, o.Verbose)
	}
	t.holder(b.Detail.Holder)
	return t.err
}

func (t *textWriter) printf(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}

// style colours text where colours are wanted.
func (t *textWriter) style(code, text string) string {
	if !t.o.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (t *textWriter) section(title string) {
	t.printf("\n%s\n", t.style(styleBold, title))
}

// shown returns how many of n entries to show.
func (t *textWriter) shown(n, limit int) int {
	if t.o.Verbose {
		return n
	}
	return min(n, limit)
}

// headline answers who blocked what, or says why there is nothing to say.
func (t *textWriter) headline() {
	v := VerdictOf(t.r)
	t.printf("%s", t.style(styleBold, v.Summary))
	if v.Worst != "" {
		t.printf(" Worst: %s", t.style(styleRed, v.Worst))
	}
	t.printf("\n")
	if v.Hint != "" {
		t.printf("%s\n", v.Hint)
	}
}

func (t *textWriter) loops() {
	loops := t.r.Loops
	if len(loops) == 0 || t.err != nil {
		return
	}
	columns := []Column{
		{Title: "LOOP", Flexible: true, Minimum: 18},
		{Title: "KIND"},
		{Title: "PYTHON", Optional: 2},
		{Title: "BUSY", Right: true},
		{Title: "ITERATIONS", Right: true, Optional: 3},
		{Title: "P50", Right: true, Optional: 5},
		{Title: "P99", Right: true, Optional: 1},
		{Title: "MAX", Right: true},
		{Title: "BLOCKS", Right: true},
		{Title: "BLOCKED", Right: true},
		{Title: "WHERE", Optional: 4, Flexible: true, Minimum: 12},
	}
	somewhere := false
	var rows [][]string
	n := t.shown(len(loops), textLoops)
	for _, l := range loops[:n] {
		where := safetext.Middle(safetext.Line(cmp.Or(l.Container, l.Unit)), 40)
		somewhere = somewhere || where != ""
		rows = append(rows, []string{
			t.names.Of(model.LoopID{PID: l.PID, TID: l.TID}), word(l.Loop), word(l.Python), percent(l.Utilization),
			strconv.FormatInt(l.Iterations, 10), dashZero(l.IterationNS.P50), dashZero(l.IterationNS.P99),
			dashZero(l.IterationNS.Max), strconv.FormatInt(l.Blocks, 10), dashZero(l.BlockedNS), where,
		})
	}
	if !somewhere {
		columns = columns[:len(columns)-1]
	}
	t.section("Loops")
	t.table(columns, rows)
	if rest := loops[n:]; len(rest) > 0 {
		t.printf("%s\n", t.style(styleFaint, fmt.Sprintf("… and %s (--verbose shows them)", plural(int64(len(rest)), "more loop"))))
	}
}

func (t *textWriter) table(columns []Column, rows [][]string) {
	if t.err == nil {
		t.err = WriteTable(t.w, columns, rows, t.width)
	}
}

func (t *textWriter) blockers() {
	blockers := t.r.Blockers
	if len(blockers) == 0 {
		return
	}
	t.section("Blockers, worst first")
	n := t.shown(len(blockers), textBlockers)
	about := summary.AboutBlockers(t.r)
	for i := range blockers[:n] {
		t.blocker(i+1, &blockers[i], about[blockers[i].Key()])
	}
	if rest := blockers[n:]; len(rest) > 0 {
		var total int64
		atLeast := false
		for _, b := range rest {
			total += b.TotalNS
			atLeast = atLeast || b.AtLeast
		}
		t.printf("%s\n", t.style(styleFaint, fmt.Sprintf("… and %s, %s in all (--verbose shows them)",
			plural(int64(len(rest)), "more blocker"), boundedDuration(total, atLeast))))
	}
}

func (t *textWriter) blocker(number int, b *model.Blocker, about *summary.About) {
	where := ""
	if len(b.Loops) > 0 {
		where = ", in " + t.names.List(b.Loops, 3)
	}
	t.printf("%2d. %s  %s, %s in %s, max %s%s\n", number, t.style(styleRed, culpritName(b.Culprit)), word(string(b.Cause)),
		boundedDuration(b.TotalNS, b.AtLeast), plural(b.Count, "block"), boundedDuration(b.MaxNS, b.AtLeast), where)
	if evidence := evidence(b.Detail); evidence != "" {
		t.printf("      %s\n", t.cut(evidence, t.width-6))
	}
	if about != nil {
		t.about(about, b.Detail.GIL)
	}
	if b.Advice != "" {
		t.printf("      %s\n", t.style(styleCyan, safetext.Line(b.Advice)))
	}
	switch {
	case len(b.Stack) == 0:
		t.printf("      %s\n", t.style(styleFaint, "no stack was taken of it"))
	case b.Culprit == nil:
		t.printf("      %s\n", t.style(styleFaint, "the loop was held up here:"))
	}
	t.stack(b.Stack, b.Culprit, t.o.Verbose)
	t.holder(b.Detail.Holder)
}

// holder prints who held what a loop waited for.
func (t *textWriter) holder(h *model.Holder) {
	if h != nil {
		t.printf("      held by thread %s (%d)\n", t.cut(cmp.Or(safetext.Line(h.Thread), "?"), 40), h.TID)
		frames := h.Frames
		if !t.o.Verbose && len(frames) > holderFrames {
			frames = frames[:holderFrames]
		}
		t.stack(frames, nil, t.o.Verbose)
	}
}

// smallPart is what of a split is not worth a word.
const smallPart = 0.01

// about prints what a blocker's time went to, where that is more than its cause, and who waited.
func (t *textWriter) about(a *summary.About, gil model.GIL) {
	var facts []string
	if parts := summary.Parts(a.SplitNS); len(parts) > 1 && 1-parts[0].Share >= smallPart {
		var split []string
		for _, p := range parts {
			if p.Share >= smallPart {
				split = append(split, string(p.Cause)+" "+percent(p.Share))
			}
		}
		facts = append(facts, strings.Join(split, ", "))
	}
	if gil != "" {
		facts = append(facts, "GIL "+string(gil))
	}
	if a.Many > 0 {
		facts = append(facts, fmt.Sprintf("many short callbacks in %d of %s", a.Many, plural(int64(a.Blocks), "block")))
	}
	if len(facts) > 0 {
		t.printf("      %s\n", t.cut(strings.Join(facts, "; "), t.width-6))
	}
	if waited := Waited(&a.Delayed); waited != "" {
		t.printf("      %s\n", waited)
	}
}

// stack prints frames, innermost first, the culprit marked.
func (t *textWriter) stack(frames []model.Frame, culprit *model.Frame, all bool) {
	lines := foldStack(frames, all)
	names := 0
	for _, l := range lines {
		if l.frame != nil {
			names = max(names, safetext.Width(safetext.Line(l.frame.Function)))
		}
	}
	names = min(names, (t.width-8)*2/5)
	marked := culprit == nil
	for _, l := range lines {
		if l.frame == nil {
			text := plural(int64(l.folded), "frame")
			if l.library != "" {
				text += " of " + safetext.Line(l.library)
			}
			t.printf("        %s\n", t.style(styleFaint, t.cut("… "+text, t.width-8)))
			continue
		}
		mark, style := " ", styleFaint
		if l.frame.App {
			style = styleBold
		}
		if !marked && *l.frame == *culprit {
			mark, style, marked = "→", styleRed, true
		}
		name := safetext.Pad(safetext.Middle(safetext.Line(l.frame.Function), names), names)
		t.printf("      %s %s  %s\n", t.style(styleRed, mark), t.style(style, name), t.cut(fileLine(*l.frame, false), t.width-10-names))
	}
}

// cut fits foreign text into columns where there is a terminal that would wrap it; a file
// keeps it whole, for grep.
func (t *textWriter) cut(s string, columns int) string {
	if t.o.Width == 0 {
		return s
	}
	return safetext.Middle(s, columns)
}

// fold is the width at which lines of words are broken: a file keeps them whole.
func (t *textWriter) fold() int {
	if t.o.Width == 0 {
		return 0
	}
	return t.width
}

// blocks lists when the longest blocks were.
func (t *textWriter) blocks() {
	if len(t.r.Blocks) == 0 || t.err != nil {
		return
	}
	blocks := slices.Clone(t.r.Blocks)
	slices.SortStableFunc(blocks, func(x, y model.Block) int { return cmp.Compare(y.DurationNS, x.DurationNS) })
	n := t.shown(len(blocks), textBlocks)
	title := "Blocks in time order"
	if n < len(blocks) {
		title = fmt.Sprintf("The %d longest of %s, in time order", n, plural(int64(len(blocks)), "block"))
	}
	blocks = blocks[:n]
	slices.SortStableFunc(blocks, func(x, y model.Block) int { return cmp.Compare(x.StartNS, y.StartNS) })

	columns := []Column{
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
	started, err := time.Parse(time.RFC3339Nano, t.r.StartedAt)
	if err != nil {
		columns[0].Title = ""
	}
	var rows [][]string
	for i := range blocks {
		b := &blocks[i]
		wall := ""
		if err == nil {
			wall = started.Add(time.Duration(b.StartNS - t.r.StartedNS)).Format("15:04:05.000")
		}
		rows = append(rows, []string{wall, humanDuration(b.StartNS - t.r.StartedNS), boundedDuration(b.DurationNS, b.LowerBound()), word(string(b.Cause)),
			t.names.Of(model.LoopID{PID: b.PID, TID: b.TID}), culpritName(b.Culprit), taskName(b.Task)})
	}
	t.section(title)
	t.table(columns, rows)
}

// problems says what the figures above leave out.
func (t *textWriter) problems() {
	t.lost("Lost", LostLine(t.r.Lost), t.r.Lost.Reasons)
	t.unsupported(t.r.Unsupported)
}

// lost says what was lost, and what that means, if there is anything to say.
func (t *textWriter) lost(title, summary string, counts map[string]int64) {
	lines := ReasonLines(counts, t.o.Verbose, t.fold())
	if summary == "" && len(lines) == 0 {
		return
	}
	t.section(title)
	if summary != "" {
		lines = append([]string{hang(summary, t.fold())}, lines...)
	}
	for _, line := range lines {
		t.printf("%s\n", line)
	}
}

// unsupported lists the processes that could not be looked into, those with the same reason together: first what is
// known to be Python.
func (t *textWriter) unsupported(all []model.Unsupported) {
	if len(all) == 0 {
		return
	}
	t.section("Not watched")
	groups := UnwatchedGroups(all)
	n := t.shown(len(groups), textProblems)
	names := textUnwatched
	if t.o.Verbose {
		names = len(all)
	}
	for _, line := range UnwatchedLines(groups[:n], names, t.fold()) {
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

// footer says under which conditions all this was seen.
func (t *textWriter) footer() {
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

// loopName returns "uvicorn[1234]", with the thread too where the loop is not in the main one.
func loopName(l model.Loop) string {
	name := safetext.Cut(safetext.Line(shortCommand(l.Command)), 40)
	if l.TID != l.PID {
		return fmt.Sprintf("%s[%d/%d]", name, l.PID, l.TID)
	}
	return fmt.Sprintf("%s[%d]", name, l.PID)
}

// culpritName returns "Handler.get app.py:42", short enough for a line of its own.
func culpritName(f *model.Frame) string {
	if f == nil {
		return "(no line to blame)"
	}
	return safetext.Middle(safetext.Line(f.Function), 60) + " " + safetext.Middle(fileLine(*f, true), 50)
}

// taskName fits the name of a task, which anybody may choose, into a table.
func taskName(s string) string {
	if s == "" {
		return "-"
	}
	return safetext.Middle(safetext.Line(s), 24)
}

// fileLine returns "app.py:42", or the whole path.
func fileLine(f model.Frame, short bool) string {
	file := f.File
	if short && file != "" {
		file = path.Base(file)
	}
	file = cmp.Or(safetext.Line(file), "?")
	if f.Line <= 0 {
		return file
	}
	return file + ":" + strconv.Itoa(f.Line)
}

// noticeable is how long collections or imports took that are worth a word.
const noticeable = int64(5 * time.Millisecond)

// evidence tells in one line what the kernel saw the thread do.
func evidence(d model.Detail) string {
	var parts []string
	if d.Syscall != "" {
		s := "in " + safetext.Line(d.Syscall)
		if d.FD != nil {
			s += fmt.Sprintf(" on fd %d", *d.FD)
		}
		parts = append(parts, s)
	}
	if d.Target != "" {
		parts = append(parts, safetext.Line(d.Target))
	}
	if d.Native != "" {
		parts = append(parts, "native code of "+safetext.Line(d.Native))
	}
	if g := d.GC; g != nil && g.NS >= noticeable {
		parts = append(parts, fmt.Sprintf("%s of %s, the longest %s in generation %d",
			plural(g.Count, "collection"), humanDuration(g.NS), humanDuration(g.MaxNS), g.Generation))
	}
	if i := d.Import; i != nil && i.NS >= noticeable {
		s := fmt.Sprintf("import of %s, %s", cmp.Or(safetext.Line(i.Module), "?"), humanDuration(i.MaxNS))
		if i.Count > 1 {
			s += fmt.Sprintf(", and %d more", i.Count-1)
		}
		parts = append(parts, s)
	}
	for _, a := range d.Audit {
		parts = append(parts, fmt.Sprintf("%d × %s", a.Count, safetext.Line(a.Event)))
	}
	return strings.Join(parts, ", ")
}

// word fits what should be one short word, yet was read from a process, into a table.
func word(s string) string { return safetext.Cut(safetext.Line(s), 12) }

func dashZero(ns int64) string {
	if ns == 0 {
		return "-"
	}
	return humanDuration(ns)
}
