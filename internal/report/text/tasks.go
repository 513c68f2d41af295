// SPDX-License-Identifier: Apache-2.0

package text

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// tasks prints who awaits whom as a tree: below a task stand those it waits for.
func (t *dumpWriter) tasks(l *model.DumpLoop) {
	if len(l.Tasks) == 0 {
		return
	}
	title := words.Plural(int64(len(l.Tasks)), "task")
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
		t.printf("    %s\n", t.style(styleFaint, fmt.Sprintf("… and %s (--verbose shows them)", words.Plural(int64(w.cut), "more task"))))
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
		return safetext.Middle(safetext.Line(f.Function), 40) + " " + safetext.Middle(words.FileLine(f, true), 40)
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
