// SPDX-License-Identifier: Apache-2.0

package text

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// Bounds of what the text of a profile of awaits shows unless it is verbose.
const (
	awaitGroups = 10 // places in which tasks wait for one another, and others
	awaitStacks = 3  // of them with their chains
	awaitChains = 1  // of one place
	awaitLoops  = 10
)

// WriteWaits writes p for people: first the answer in one line, then where tasks waited for one another, with their await chains,
// then where they waited for anything else, then the loops.
func WriteWaits(w io.Writer, p *model.WaitProfile, o Options) error {
	summary.NormaliseWaits(p)
	t := &awaitsWriter{newWriter(w, o), p, words.GroupWaits(p)}
	t.headline()
	t.contended()
	t.idle()
	t.loops()
	t.lost("Not read", "", p.Lost)
	t.unsupported(p.Unsupported)
	t.footer()
	if t.err != nil {
		return fmt.Errorf("write profile of awaits: %w", t.err)
	}
	return nil
}

// awaitsWriter writes a profile of awaits.
type awaitsWriter struct {
	writer
	p      *model.WaitProfile
	groups words.WaitGroups
}

// headline answers where tasks waited.
func (t *awaitsWriter) headline() {
	a := words.AnswerOfWaits(t.p, t.groups)
	style := styleBold
	if a.Contended {
		style = styleRed
	}
	t.printf("%s\n", t.style(style, a.Summary))
	for _, more := range []string{a.Sums, a.Hint} {
		if more != "" {
			t.printf("%s\n", words.Hang(more, t.fold()))
		}
	}
}

// contended shows where tasks waited for one another.
func (t *awaitsWriter) contended() {
	groups := t.groups.Contended
	if len(groups) == 0 {
		return
	}
	t.section("Waits for one another, " + words.TaskSeconds(t.groups.ContendedNS))
	n := t.shown(len(groups), awaitGroups)
	for i := range groups[:n] {
		g := &groups[i]
		text := words.ShareOf(g.TaskNS, t.groups.ContendedNS) + ", " + words.SecondsOf(g.TaskNS) + " task-s, " + strconv.Itoa(g.Most) + " at most: " + words.WaitLine(g.Wait)
		t.printf("  %s\n", t.style(styleBold, t.cut(text, t.width-2)))
		if i < t.shown(len(groups), awaitStacks) {
			t.chains(g)
		}
	}
	t.more(len(groups)-n, "more place")
}

// chains shows the await chains of a place.
func (t *awaitsWriter) chains(g *words.WaitGroup) {
	n := t.shown(len(g.Chains), awaitChains)
	for _, c := range g.Chains[:n] {
		if len(g.Chains) > 1 {
			t.printf("    %s\n", t.style(styleFaint, words.ShareOf(c.TaskNS, g.TaskNS)+" of these by"))
		}
		t.stack(c.Chain, c.Place, t.o.Verbose)
	}
	t.more(len(g.Chains)-n, "more chain")
}

func (t *awaitsWriter) more(n int, what string) {
	if n > 0 {
		t.printf("    %s\n", t.style(styleFaint, fmt.Sprintf("… and %s (--verbose shows them)", words.Plural(int64(n), what))))
	}
}

// idle shows where tasks waited for work, peers or time.
func (t *awaitsWriter) idle() {
	groups := t.groups.Idle
	if len(groups) == 0 {
		return
	}
	t.section("Waits for work, peers or time, " + words.TaskSeconds(t.groups.IdleNS))
	columns := []words.Column{
		{Title: "SHARE", Right: true}, {Title: "TASK-S", Right: true}, {Title: "MEAN", Right: true, Optional: 1}, {Title: "MOST", Right: true},
		{Title: "WAITING", Flexible: true, Minimum: 40},
	}
	var rows [][]string
	n := t.shown(len(groups), awaitGroups)
	for i := range groups[:n] {
		g := &groups[i]
		rows = append(rows, []string{
			words.ShareOf(g.TaskNS, t.groups.IdleNS), words.SecondsOf(g.TaskNS), strconv.FormatFloat(g.Mean, 'f', 1, 64), strconv.Itoa(g.Most), words.WaitLine(g.Wait),
		})
	}
	t.table(columns, rows)
	if t.o.Verbose {
		for i := range groups {
			t.printf("  %s\n", words.WaitLine(groups[i].Wait))
			t.chains(&groups[i])
		}
	}
	t.more(len(groups)-n, "more place")
}

// loops shows the loops.
func (t *awaitsWriter) loops() {
	loops := t.p.Loops
	if len(loops) == 0 {
		return
	}
	t.section("Loops")
	columns := []words.Column{
		{Title: "LOOP", Flexible: true, Minimum: 18}, {Title: "KIND"}, {Title: "PYTHON", Optional: 1}, {Title: "TASKS", Right: true},
		{Title: "TASK-S", Right: true}, {Title: "WHERE", Optional: 2, Flexible: true, Minimum: 12},
	}
	var rows [][]string
	n := t.shown(len(loops), awaitLoops)
	for _, l := range loops[:n] {
		rows = append(rows, []string{
			words.LoopName(model.Loop{PID: l.PID, TID: l.TID, Command: l.Command}), word(l.Loop), word(l.Python), strconv.Itoa(l.TasksMax),
			words.SecondsOf(l.TaskNS), safetext.Middle(safetext.Line(cmp.Or(l.Container, l.Unit)), 40),
		})
	}
	t.table(columns, rows)
	t.more(len(loops)-n, "more loop")
}

// footer says when and where all this was so.
func (t *awaitsWriter) footer() {
	parts := []string{
		t.p.Host.Hostname, "Linux " + t.p.Host.Kernel, t.p.Host.Arch, "started " + t.p.StartedAt,
		words.Plural(t.p.Samples, "sample") + " in " + words.HumanDuration(t.p.EndedNS-t.p.StartedNS),
	}
	t.printf("\n%s\n", t.style(styleFaint, t.cut(safetext.Line(strings.Join(parts, ", ")), t.width)))
}
