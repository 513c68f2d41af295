// SPDX-License-Identifier: Apache-2.0

package text

import (
	"fmt"
	"strings"

	"github.com/loopwatch/loopwatch/internal/contention"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// Bounds of what the text of a dump shows unless it is verbose.
const (
	dumpWaits = 8 // of one loop
	dumpPools = 8 // of one process
	dumpWork  = 3 // of one pool
)

// deadlocks says which tasks wait for one another, those of all processes.
func (t *dumpWriter) deadlocks() bool {
	first, more := "", 0
	for i := range t.d.Processes {
		p := &t.d.Processes[i]
		for _, circle := range p.Deadlocks {
			if first != "" {
				more++
				continue
			}
			text := words.Deadlock(circle)
			first = strings.ToUpper(text[:1]) + text[1:] + ", in " + words.LoopName(model.Loop{PID: p.PID, TID: p.PID, Command: p.Command})
		}
	}
	if first == "" {
		return false
	}
	if more > 0 {
		first += fmt.Sprintf("; and %s", words.Plural(int64(more), "more deadlock"))
	}
	t.printf("%s\n", t.style(styleRed, t.cut(first, 2*t.width)))
	return true
}

// shortage says what most tasks or calls wait for, where there are enough of them.
func (t *dumpWriter) shortage() (text string, ok bool) {
	worst := contention.Worst(t.d)
	if worst == nil {
		return "", false
	}
	p := worst.Process
	return words.ShortOf(worst) + ", in " + words.LoopName(model.Loop{PID: p.PID, TID: p.PID, Command: p.Command}), true
}

// queue says what a loop has to do.
func (t *dumpWriter) queue(l *model.DumpLoop) {
	q := l.Queue
	if q == nil || q.Ready == nil || *q.Ready == 0 && q.Scheduled != nil && *q.Scheduled == 0 {
		return
	}
	parts := []string{words.Plural(int64(*q.Ready), "callback") + " ready"}
	if q.Scheduled != nil && *q.Scheduled > 0 {
		timers := words.Plural(int64(*q.Scheduled), "timer")
		if q.TimerLateNS != nil && *q.TimerLateNS > 0 {
			timers += ", the first " + words.HumanDuration(*q.TimerLateNS) + " late"
		}
		parts = append(parts, timers)
	}
	t.printf("    %s\n", t.style(styleFaint, strings.Join(parts, ", ")))
}

// waits says what the tasks of a loop wait for: first what they keep from one another.
func (t *dumpWriter) waits(l *model.DumpLoop) {
	var order []*model.Wait
	for _, contended := range []bool{true, false} {
		for i := range l.Waits {
			if w := &l.Waits[i]; contention.Contended(w) == contended && (w.Tasks > 1 || w.Holder != nil) {
				order = append(order, w)
			}
		}
	}
	if len(order) == 0 {
		return
	}
	t.printf("    %s\n", t.style(styleFaint, "tasks that wait together:"))
	n := t.shown(len(order), dumpWaits)
	for _, w := range order[:n] {
		line := fmt.Sprintf("%5d %s", w.Tasks, words.WaitLine(w))
		style := ""
		if contention.Contended(w) && w.Tasks >= contention.Enough {
			style = styleBold
		}
		t.printf("  %s\n", t.style(style, t.cut(line, t.width-2)))
	}
	if rest := len(order) - n; rest > 0 {
		t.printf("    %s\n", t.style(styleFaint, fmt.Sprintf("… and %d more (--verbose shows them)", rest)))
	}
}

// pools says what the pools of a process do.
func (t *dumpWriter) pools(p *model.DumpProcess) {
	n := t.shown(len(p.Executors), dumpPools)
	for i := range p.Executors[:n] {
		e := &p.Executors[i]
		text := words.OfPool(e)
		if contention.Full(e) {
			text = t.style(styleRed, text)
		}
		t.printf("  %s: %s\n", words.PoolName(e), text)
		for _, work := range e.Work[:t.shown(len(e.Work), dumpWork)] {
			where := "nothing that is known"
			if work.Frame != nil {
				where = words.CulpritName(work.Frame)
			}
			t.printf("  %5d in %s\n", work.Count, t.cut(where, t.width-12))
		}
	}
	if rest := len(p.Executors) - n; rest > 0 {
		t.printf("  %s\n", t.style(styleFaint, fmt.Sprintf("… and %s (--verbose shows them)", words.Plural(int64(rest), "more pool"))))
	}
}
