// SPDX-License-Identifier: Apache-2.0

package text

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/contention"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
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

// WriteDump writes d for people: first the answer in one line, then each process with its loops,
// their tasks, and its other threads, those that are blocked first.
func WriteDump(w io.Writer, d *model.Dump, o Options) error {
	summary.NormaliseDump(d)
	t := &dumpWriter{newWriter(w, o), d}
	if t.deadlocks() {
		t.printf("\n")
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

// dumpWriter writes a dump.
type dumpWriter struct {
	writer
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
	pythons, maybe := words.Unwatched(t.d.Unsupported)
	short, _ := t.shortage()
	switch {
	case len(t.d.Processes) == 0 && pythons > 0:
		t.printf("%s\n%s\n", t.style(styleBold, fmt.Sprintf("Nothing can be said: %s can be looked into.", words.NoneOf(pythons))), words.Hang(words.Mostly(t.d.Unsupported), t.fold()))
	case len(t.d.Processes) == 0 && maybe > 0:
		t.printf("%s\n", t.style(styleBold, "No Python process was found among those that could be read."))
		t.printf("%s\n", words.Hang("Start the program to be looked at. "+words.Counted(int64(maybe), "processes")+" could not be read, see below.", t.fold()))
	case len(t.d.Processes) == 0:
		t.printf("%s\n", t.style(styleBold, "No Python process is here."))
		t.printf("Start the program to be looked at.\n")
	case loops == 0:
		t.printf("%s\n", t.style(styleBold, fmt.Sprintf("No event loop runs in %s.", words.Pythons(len(t.d.Processes)))))
	case blocked > 0:
		t.printf("%s %s\n", t.style(styleBold, fmt.Sprintf("%d of %s blocked now;", blocked, words.Plural(int64(loops), "loop"))),
			"longest "+t.style(styleRed, fmt.Sprintf("%s in %s", howLong(&worst.DumpThread), placeOf(&worst.DumpThread)))+", in "+threadName(worstIn, &worst.DumpThread))
		if short != "" {
			t.printf("%s\n", short)
		}
	case short != "":
		t.printf("%s; %s\n", t.style(styleRed, short), t.style(styleBold, "no loop is blocked"))
	case active != nil:
		t.printf("%s %s in %s, in %s\n", t.style(styleBold, fmt.Sprintf("No loop is known to be blocked now: %d idle, %d active;", idle, loops-idle)),
			howLong(&active.DumpThread), placeOf(&active.DumpThread), threadName(activeIn, &active.DumpThread))
	default:
		t.printf("%s\n", t.style(styleBold, fmt.Sprintf("No loop is blocked now: %s idle.", allOf(loops))))
	}
}

// quiet reports whether a loop is idle or is just being woken, with nothing to be seen yet of what it is going to do.
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
	return words.BoundedDuration(*th.ForNS, th.AtLeast)
}

// placeOf returns "fetch app.py:35 (net, tcp 10.0.0.1:443)".
func placeOf(th *model.DumpThread) string {
	s := ""
	if th.Culprit != nil {
		s = words.CulpritName(th.Culprit) + " "
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
	return words.LoopName(model.Loop{PID: p.PID, TID: th.TID, Command: p.Command})
}

// weight orders processes: those with the loop blocked longest first, then those with one that is active, then idle
// ones, then those without a loop.
func weight(p *model.DumpProcess) (class int, ns int64) {
	if len(p.Loops) == 0 {
		return 0, 0
	}
	class = 1
	if len(p.Deadlocks) > 0 || contention.Short(p) {
		class = 2
	}
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
		t.printf("\n%s\n", t.style(styleFaint, words.Pythons(bare)+" without an event loop left out (name one, or --verbose, to see its threads)"))
	}
}

// idle is the one line of a process all of whose loops rest.
func (t *dumpWriter) idle(p *model.DumpProcess) {
	for i := range p.Loops {
		l := &p.Loops[i]
		more := ""
		if len(l.Tasks) > 0 {
			more = ", " + words.Plural(int64(len(l.Tasks)), "task")
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
	name := fmt.Sprintf("%s[%d]", safetext.Cut(safetext.Line(words.ShortCommand(p.Command)), 40), p.PID)
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
	t.pools(p)
	threads := p.Threads
	if !t.o.Verbose { // those of pools are counted above
		threads = slices.DeleteFunc(slices.Clone(threads), func(th model.DumpThread) bool { return th.Executor != "" })
	}
	n := t.shown(len(threads), dumpThreads)
	for i := range threads[:n] {
		th := &threads[i]
		t.printf("  %s: %s\n", t.threadLabel(th.Thread, th.TID, p), t.cut(t.doing(th), t.width-30))
		t.frames(th, false)
	}
	if rest := len(threads) - n; rest > 0 {
		t.printf("%s\n", t.style(styleFaint, fmt.Sprintf("  … and %s (--verbose shows them)", words.Plural(int64(rest), "more thread"))))
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
	if e := words.Evidence(th.Detail); e != "" {
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
	t.holder(l.Detail.Holder)
	t.queue(l)
	t.waits(l)
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

// problems says what stands above leaves out.
func (t *dumpWriter) problems() {
	t.lost("Not read", "", t.d.Lost)
	t.unsupported(t.d.Unsupported)
}

// footer says when and where all this was so.
func (t *dumpWriter) footer() {
	parts := []string{t.d.Host.Hostname, "Linux " + t.d.Host.Kernel, t.d.Host.Arch, "taken " + t.d.TakenAt, "in " + words.HumanDuration(t.d.TookNS)}
	t.printf("\n%s\n", t.style(styleFaint, t.cut(safetext.Line(strings.Join(parts, ", ")), t.width)))
}
