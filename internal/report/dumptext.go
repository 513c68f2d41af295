// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// Bounds of what the text of a dump shows unless it is verbose.
const (
	dumpDetailed  = 8  // processes shown in full; of more, only those that have a loop that is not idle
	dumpIdle      = 20 // processes with idle loops only, a line each
	dumpTaskLines = 60 // of one loop
	dumpSame      = 3  // tasks at the same place shown one by one
	dumpThreads   = 12 // other threads of one process
	dumpDepth     = 24 // tasks that wait for tasks that wait for tasks
)

// WriteDumpText writes d for people: first the answer in one line, then each process with its loops,
// their tasks, and its other threads, those that are blocked first.
func WriteDumpText(w io.Writer, d *model.Dump, o TextOptions) error {
	summary.NormaliseDump(d)
	t := &dumpWriter{textWriter: textWriter{w: w, o: o}, d: d}
	t.width = max(o.Width, minWidth)
	if o.Width == 0 {
		t.width = plainWidth
	}
	t.headline()
	t.processes()
	t.problems()
	t.footer()
	if t.err != nil {
		return fmt.Errorf("write dump: %w", t.err)
	}
	return nil
}

type dumpWriter struct {
	textWriter
	d *model.Dump
}

// headline answers what is blocked, by the worst.
func (t *dumpWriter) headline() {
	loops, idle, blocked := 0, 0, 0
	var worst, active *model.DumpLoop
	var worstIn, activeIn *model.DumpProcess
	for i := range t.d.Processes {
		p := &t.d.Processes[i]
		for k := range p.Loops {
			l := &p.Loops[k]
			loops++
			switch {
			case quiet(l):
				idle++
			case l.State == model.StateBlocked:
				blocked++
				if worst == nil || *l.ForNS > *worst.ForNS {
					worst, worstIn = l, p
				}
			default:
				if active == nil || forNS(l.ForNS) > forNS(active.ForNS) {
					active, activeIn = l, p
				}
			}
		}
	}
	pythons, maybe := unwatched(t.d.Unsupported)
	switch {
	case len(t.d.Processes) == 0 && pythons > 0:
		t.printf("%s\n%s\n", t.style(styleBold, fmt.Sprintf("Nothing can be said: %s can be looked into.", noneOf(pythons))), hang(mostly(t.d.Unsupported), t.fold()))
	case len(t.d.Processes) == 0 && maybe > 0:
		t.printf("%s\n", t.style(styleBold, "No Python process was found among those that could be read."))
		t.printf("%s\n", hang("Start the program to be looked at. "+counted(int64(maybe), "processes")+" could not be read, see below.", t.fold()))
	case len(t.d.Processes) == 0:
		t.printf("%s\n", t.style(styleBold, "No Python process is here."))
		t.printf("Start the program to be looked at.\n")
	case loops == 0:
		t.printf("%s\n", t.style(styleBold, fmt.Sprintf("No event loop runs in %s.", pluralProcesses(len(t.d.Processes)))))
	case blocked > 0:
		t.printf("%s %s\n", t.style(styleBold, fmt.Sprintf("%d of %s blocked now;", blocked, plural(int64(loops), "loop"))),
			"longest "+t.style(styleRed, fmt.Sprintf("%s in %s", howLong(&worst.DumpThread), placeOf(&worst.DumpThread)))+", in "+threadName(worstIn, &worst.DumpThread))
	case active != nil:
		t.printf("%s %s in %s, in %s\n", t.style(styleBold, fmt.Sprintf("No loop is known to be blocked now: %d idle, %d active;", idle, loops-idle)),
			howLong(&active.DumpThread), placeOf(&active.DumpThread), threadName(activeIn, &active.DumpThread))
	default:
		t.printf("%s\n", t.style(styleBold, fmt.Sprintf("No loop is blocked now: %s idle.", allOf(loops))))
	}
}

func pluralProcesses(n int) string {
	if n == 1 {
		return "1 Python process"
	}
	return strconv.Itoa(n) + " Python processes"
}

// quiet tells whether a loop is idle or is just being woken, with nothing to be seen yet of what it is going to do.
func quiet(l *model.DumpLoop) bool {
	return l.State == model.StateIdle || l.State == model.StateActive && l.Culprit == nil
}

func allOf(n int) string {
	if n == 1 {
		return "the one loop is"
	}
	return fmt.Sprintf("all %d loops are", n)
}

func forNS(ns *int64) int64 {
	if ns == nil {
		return -1
	}
	return *ns
}

// howLong returns "3.2 s", "≥ 3.2 s" or "for an unknown time".
func howLong(th *model.DumpThread) string {
	if th.ForNS == nil {
		return "for an unknown time"
	}
	return boundedDuration(*th.ForNS, th.AtLeast)
}

// placeOf returns "fetch app.py:35 (net, tcp 10.0.0.1:443)".
func placeOf(th *model.DumpThread) string {
	s := ""
	if th.Culprit != nil {
		s = culpritName(th.Culprit) + " "
	}
	why := string(th.Cause)
	if why == "" || th.Cause == model.CauseUnknown {
		why = "cause not known"
	}
	if target := cmp.Or(th.Detail.Target, th.Detail.Native); target != "" {
		why += ", " + safetext.Middle(safetext.Line(target), 60)
	}
	if h := th.Detail.Holder; h != nil {
		why += fmt.Sprintf(", held by thread %s (%d)", cmp.Or(safetext.Line(h.Thread), "?"), h.TID)
	}
	return s + "(" + why + ")"
}

func threadName(p *model.DumpProcess, th *model.DumpThread) string {
	return loopName(model.Loop{PID: p.PID, TID: th.TID, Command: p.Command})
}

// weight orders processes: those with the loop blocked longest first, then those with one that is active, then idle
// ones, then those without a loop.
func weight(p *model.DumpProcess) (class int, ns int64) {
	if len(p.Loops) == 0 {
		return 0, 0
	}
	class = 1
	for i := range p.Loops {
		l := &p.Loops[i]
		c := 1
		switch {
		case l.State == model.StateBlocked:
			c = 3
		case !quiet(l):
			c = 2
		}
		if c > class {
			class, ns = c, 0
		}
		if c == class && c > 1 {
			ns = max(ns, forNS(l.ForNS))
		}
	}
	return class, ns
}

func (t *dumpWriter) processes() {
	order := make([]*model.DumpProcess, len(t.d.Processes))
	for i := range order {
		order[i] = &t.d.Processes[i]
	}
	slices.SortStableFunc(order, func(a, b *model.DumpProcess) int {
		ac, an := weight(a)
		bc, bn := weight(b)
		return cmp.Or(cmp.Compare(bc, ac), cmp.Compare(bn, an))
	})
	full := t.o.Verbose || len(order) <= dumpDetailed
	short, bare := 0, 0
	for _, p := range order {
		class, _ := weight(p)
		switch {
		case full && (class > 0 || len(order) == 1 || t.o.Verbose), class > 1:
			t.process(p)
		case class == 0:
			bare++
		default:
			if short == 0 {
				t.section("Idle")
			}
			if short++; short <= dumpIdle {
				t.idle(p)
			}
		}
	}
	if short > dumpIdle {
		t.printf("%s\n", t.style(styleFaint, fmt.Sprintf("  … and %d more with idle loops (--verbose shows all)", short-dumpIdle)))
	}
	if bare > 0 {
		t.printf("\n%s\n", t.style(styleFaint, pluralProcesses(bare)+" without an event loop left out (name one, or --verbose, to see its threads)"))
	}
}

// idle is the one line of a process all of whose loops rest.
func (t *dumpWriter) idle(p *model.DumpProcess) {
	for i := range p.Loops {
		l := &p.Loops[i]
		more := ""
		if len(l.Tasks) > 0 {
			more = ", " + plural(int64(len(l.Tasks)), "task")
		}
		t.printf("  %s  %s, %s%s%s\n", threadName(p, &l.DumpThread), word(l.Loop), l.State, forTime(&l.DumpThread), more)
	}
}

// forTime returns " for 3.2 s", or nothing.
func forTime(th *model.DumpThread) string {
	if th.ForNS == nil {
		return ""
	}
	return " for " + howLong(th)
}

func (t *dumpWriter) process(p *model.DumpProcess) {
	name := fmt.Sprintf("%s[%d]", safetext.Cut(safetext.Line(shortCommand(p.Command)), 40), p.PID)
	about := []string{"CPython " + word(p.Python)}
	if where := cmp.Or(p.Container, p.Unit); where != "" {
		about = append(about, safetext.Middle(safetext.Line(where), 40))
	}
	for _, g := range p.GIL {
		switch {
		case g.TID != 0:
			about = append(about, fmt.Sprintf("GIL held by %s", t.threadLabel(g.Thread, g.TID, p)))
		default:
			about = append(about, "GIL held by a thread that has ended")
		}
	}
	if len(p.GIL) == 0 {
		about = append(about, "nobody holds the GIL")
	}
	t.printf("\n%s  %s\n", t.style(styleBold, name), t.style(styleFaint, t.cut(strings.Join(about, ", "), max(t.width-safetext.Width(name)-2, 20))))
	for i := range p.Loops {
		t.loop(p, &p.Loops[i])
	}
	threads := p.Threads
	n := t.shown(len(threads), dumpThreads)
	for i := range threads[:n] {
		th := &threads[i]
		t.printf("  %s: %s\n", t.threadLabel(th.Thread, th.TID, p), t.cut(t.doing(th), t.width-30))
		t.frames(th, false)
	}
	if rest := len(threads) - n; rest > 0 {
		t.printf("%s\n", t.style(styleFaint, fmt.Sprintf("  … and %s (--verbose shows them)", plural(int64(rest), "more thread"))))
	}
}

// threadLabel returns "main thread" or "thread Thread-1 (123)".
func (t *dumpWriter) threadLabel(name string, tid int, p *model.DumpProcess) string {
	if tid == p.PID {
		return "main thread"
	}
	return fmt.Sprintf("thread %s (%d)", cmp.Or(safetext.Line(name), "?"), tid)
}

// doing tells in a line what a thread does: "sleeping for 3 s, lock: in futex".
func (t *dumpWriter) doing(th *model.DumpThread) string {
	s := string(th.State) + forTime(th)
	if th.ForNS == nil && th.State == model.StateActive {
		s += ", since when is not known"
	}
	if th.Cause != "" && th.Cause != model.CauseUnknown {
		s += ", " + string(th.Cause)
	}
	if e := evidence(th.Detail); e != "" {
		s += ": " + e
	}
	if th.Detail.GIL == model.GILHeld {
		s += ", holds the GIL"
	}
	return s
}

func (t *dumpWriter) loop(p *model.DumpProcess, l *model.DumpLoop) {
	style := ""
	switch l.State {
	case model.StateBlocked:
		style = styleRed
	case model.StateActive:
		style = styleBold
	}
	line := t.cut(t.doing(&l.DumpThread), t.width-30)
	if style != "" {
		line = t.style(style, line)
	}
	t.printf("  %s loop, %s: %s\n", word(l.Loop), t.threadLabel(l.Thread, l.TID, p), line)
	if l.Task != "" {
		t.printf("      in task %s\n", t.cut(safetext.Line(l.Task), t.width-14))
	}
	if l.State != model.StateIdle || t.o.Verbose {
		t.frames(&l.DumpThread, true)
	}
	if h := l.Detail.Holder; h != nil {
		t.printf("      held by thread %s (%d)\n", t.cut(cmp.Or(safetext.Line(h.Thread), "?"), 40), h.TID)
		frames := h.Frames
		if !t.o.Verbose && len(frames) > holderFrames {
			frames = frames[:holderFrames]
		}
		t.stack(frames, nil, t.o.Verbose)
	}
	t.tasks(l)
}

func (t *dumpWriter) frames(th *model.DumpThread, marked bool) {
	if th.Torn {
		t.printf("      %s\n", t.style(styleFaint, "the stack changed each time it was read; as last seen:"))
	}
	culprit := th.Culprit
	if !marked {
		culprit = nil
	}
	t.stack(th.Frames, culprit, t.o.Verbose)
}

// tasks prints who awaits whom as a tree: below a task stand those it waits for.
func (t *dumpWriter) tasks(l *model.DumpLoop) {
	if len(l.Tasks) == 0 {
		return
	}
	title := plural(int64(len(l.Tasks)), "task")
	if l.MoreTasks > 0 {
		title += fmt.Sprintf(" and %d more that were not read", l.MoreTasks)
	}
	if l.TasksTorn {
		title += ", which changed each time they were read; as last seen"
	}
	t.printf("    %s\n", t.style(styleFaint, title+":"))
	w := &treeWriter{t: t, byID: make(map[string]*model.DumpTask, len(l.Tasks)), shown: make(map[string]bool), left: dumpTaskLines}
	if t.o.Verbose {
		w.left = 1 << 30
	}
	awaited := make(map[string]bool)
	for i := range l.Tasks {
		w.byID[l.Tasks[i].ID] = &l.Tasks[i]
		for _, id := range l.Tasks[i].Awaits {
			awaited[id] = true
		}
	}
	var roots []*model.DumpTask
	for i := range l.Tasks {
		if !awaited[l.Tasks[i].ID] {
			roots = append(roots, &l.Tasks[i])
		}
	}
	w.level(roots, "    ", 0)
	// What is left waits for itself, directly or not, and is its own root.
	for _, task := range w.sorted(l.Tasks) {
		if !w.reached(task.ID) {
			w.level([]*model.DumpTask{task}, "    ", 0)
		}
	}
	if w.cut > 0 {
		t.printf("    %s\n", t.style(styleFaint, fmt.Sprintf("… and %s (--verbose shows them)", plural(int64(w.cut), "more task"))))
	}
}

// treeWriter writes one loop's tasks.
type treeWriter struct {
	t     *dumpWriter
	byID  map[string]*model.DumpTask
	shown map[string]bool
	left  int // lines
	cut   int // tasks not shown for want of lines
}

func (w *treeWriter) reached(id string) bool { return w.shown[id] }

func (w *treeWriter) sorted(tasks []model.DumpTask) []*model.DumpTask {
	out := make([]*model.DumpTask, len(tasks))
	for i := range tasks {
		out[i] = &tasks[i]
	}
	slices.SortStableFunc(out, byName)
	return out
}

// byName orders "Task-9" before "Task-10".
func byName(a, b *model.DumpTask) int {
	head := func(s string) (string, string) {
		n := strings.TrimRight(s, "0123456789")
		return n, s[len(n):]
	}
	an, ad := head(a.Name)
	bn, bd := head(b.Name)
	return cmp.Or(cmp.Compare(an, bn), cmp.Compare(len(ad), len(bd)), cmp.Compare(ad, bd), cmp.Compare(a.ID, b.ID))
}

// level writes tasks that stand beside one another, and below each those it waits for. Those that stand at the same
// place and wait for no task are counted after the first.
func (w *treeWriter) level(tasks []*model.DumpTask, indent string, depth int) {
	slices.SortStableFunc(tasks, byName)
	same := make(map[string][]*model.DumpTask)
	for _, task := range tasks {
		if len(task.Awaits) == 0 && !task.Running && !w.t.o.Verbose {
			same[placeKey(task)] = append(same[placeKey(task)], task)
		}
	}
	type row struct {
		task *model.DumpTask
		more []*model.DumpTask
	}
	var rows []row
	for _, task := range tasks {
		group := same[placeKey(task)]
		if len(task.Awaits) > 0 || task.Running || len(group) <= dumpSame {
			rows = append(rows, row{task: task})
		} else if group[0] == task {
			rows = append(rows, row{task, group[1:]})
		}
	}
	for i, r := range rows {
		branch, inner := "├─ ", "│  "
		if i == len(rows)-1 {
			branch, inner = "└─ ", "   "
		}
		if depth == 0 {
			branch, inner = "", ""
		}
		again := w.shown[r.task.ID]
		w.shown[r.task.ID] = true
		for _, m := range r.more {
			w.shown[m.ID] = true
		}
		if w.left <= 0 {
			if !again {
				w.cut += 1 + len(r.more)
			}
			w.below(r.task, again, indent+inner, depth)
			continue
		}
		w.line(r.task, len(r.more), again, indent, branch)
		w.below(r.task, again, indent+inner, depth)
	}
}

func (w *treeWriter) below(task *model.DumpTask, again bool, indent string, depth int) {
	if again || len(task.Awaits) == 0 {
		return
	}
	if depth >= dumpDepth {
		w.t.printf("%s%s\n", indent, w.t.style(styleFaint, "… and what it waits for"))
		for _, id := range task.Awaits {
			w.shown[id] = true
		}
		return
	}
	var children []*model.DumpTask
	for _, id := range task.Awaits {
		if child := w.byID[id]; child != nil {
			children = append(children, child)
		}
	}
	w.level(children, indent, depth+1)
}

// placeKey is the same of tasks that stand at the same place.
func placeKey(task *model.DumpTask) string {
	var b strings.Builder
	for _, f := range task.Frames {
		fmt.Fprintf(&b, "%s\x00%s\x00%d\x00", f.Function, f.File, f.Line)
	}
	return b.String()
}

// line is one task: its name, and its coroutines from the outermost to where it stands.
func (w *treeWriter) line(task *model.DumpTask, more int, again bool, indent, branch string) {
	w.left--
	t := w.t
	name := safetext.Middle(safetext.Line(cmp.Or(task.Name, "(no name)")), 40)
	label := t.style(styleCyan, name)
	width := safetext.Width(indent) + safetext.Width(branch) + safetext.Width(name)
	if more > 0 {
		s := fmt.Sprintf(" and %d more at the same place", more)
		label += s
		width += len(s)
	}
	if task.Running {
		label += t.style(styleBold, " running")
		width += len(" running")
	}
	if again {
		t.printf("%s%s%s%s\n", indent, branch, label, t.style(styleFaint, " (see above)"))
		return
	}
	columns := max(t.width-width-2, 24)
	where := placesOf(task, maxPlaces)
	for places := maxPlaces - 1; places >= 2 && safetext.Width(where) > columns; places-- {
		where = placesOf(task, places)
	}
	if len(task.Frames) == 0 {
		where = "no Python coroutine to be read"
	}
	t.printf("%s%s%s  %s\n", indent, branch, label, t.fit(where, columns))
}

// fit is cut for what names itself by its end.
func (t *dumpWriter) fit(s string, columns int) string {
	if t.o.Width == 0 && t.o.Verbose {
		return s
	}
	return safetext.Middle(s, columns)
}

// maxPlaces bounds the coroutines named in the line of a task.
const maxPlaces = 4

// placesOf names where a task stands: its own coroutine, then what it awaits down to the innermost, without the
// middle of more than so many.
func placesOf(task *model.DumpTask, places int) string {
	n := len(task.Frames)
	name := func(f model.Frame) string {
		return safetext.Middle(safetext.Line(f.Function), 40) + " " + safetext.Middle(fileLine(f, true), 40)
	}
	var parts []string
	for i := n - 1; i >= 0; i-- {
		switch depth := n - 1 - i; {
		case n <= places, depth < places/2, i < places-places/2:
			parts = append(parts, name(task.Frames[i]))
		case depth == places/2:
			parts = append(parts, "…")
		}
	}
	return strings.Join(parts, " → ")
}

// problems says what stands above leaves out.
func (t *dumpWriter) problems() {
	t.lost("Not read", "", t.d.Lost)
	t.unsupported(t.d.Unsupported)
}

// footer says when and where all this was so.
func (t *dumpWriter) footer() {
	parts := []string{t.d.Host.Hostname, "Linux " + t.d.Host.Kernel, t.d.Host.Arch, "taken " + t.d.TakenAt, "in " + humanDuration(t.d.TookNS)}
	t.printf("\n%s\n", t.style(styleFaint, t.cut(safetext.Line(strings.Join(parts, ", ")), t.width)))
}
