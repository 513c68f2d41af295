// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/text"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// maxString bounds a string of a process's making in the JSON, as in a report's.
const maxString = 4 << 10

// WriteJSON writes d as one indented JSON document.
func WriteJSON(w io.Writer, d *Diagnosis) error {
	bounded := *d
	bounded.Processes = slices.Clone(d.Processes)
	for i := range bounded.Processes {
		p := &bounded.Processes[i]
		for _, s := range []*string{&p.Command, &p.Reason, &p.Container, &p.Unit} {
			*s = safetext.Bound(*s, maxString)
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(&bounded); err != nil {
		return err
	}
	_, err := w.Write(safetext.JSON(b.Bytes()))
	return err
}

const (
	statusColumn = 2 + 8 + 2 // columns a status takes
	listed       = 20        // processes, unless verbose
)

// WriteText writes d for people: the answer, the host, the hooks, the processes.
func WriteText(w io.Writer, d *Diagnosis, o text.Options) error {
	t := &textWriter{w: w, o: o, width: max(o.Width, 80)}
	if o.Width == 0 {
		t.width = 120
	}
	for _, c := range slices.Concat(d.Checks, d.Hooks) {
		t.found = max(t.found, statusColumn+safetext.Width(c.Name)+2)
	}
	color := colorOK
	if !d.Works {
		color = colorFailed
	}
	t.printf("%s\n", t.style(color, safetext.Line(d.Answer)))
	t.checks("Host", d.Checks)
	if hooks := d.Hooks; slices.ContainsFunc(hooks, func(c Check) bool { return c.Status != Unknown }) {
		t.checks("Hooks, each tried by itself", hooks)
	}
	t.processes(d)
	return t.err
}

// SGR codes (ECMA-48 8.3.117).
const (
	colorOK      = "1;32"
	colorWarning = "33"
	colorFailed  = "1;31"
	bold         = "1"
)

var colors = map[Status]string{OK: "32", Fallback: colorWarning, Reduced: colorWarning, Unknown: colorWarning, Failed: colorFailed}

// textWriter keeps the first error of a text being written.
type textWriter struct {
	w     io.Writer
	o     text.Options
	width int
	found int // column in which it stands what was found
	err   error
}

func (t *textWriter) printf(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}

func (t *textWriter) style(code, text string) string {
	if !t.o.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (t *textWriter) checks(title string, checks []Check) {
	t.printf("\n%s\n", t.style(bold, title))
	for _, c := range checks {
		head := "  " + t.style(colors[c.Status], string(c.Status)) + strings.Repeat(" ", statusColumn-2-len(c.Status)) + safetext.Pad(c.Name, t.found-statusColumn)
		t.wrapped(head, t.found, c.Found)
		if c.Do != "" {
			t.wrapped(strings.Repeat(" ", statusColumn)+"→ ", statusColumn+2, c.Do)
		}
	}
}

// wrapped prints text behind head, which takes indent columns, at most so wide as the screen.
func (t *textWriter) wrapped(head string, indent int, text string) {
	line, used := head, indent
	for _, word := range strings.Fields(safetext.Line(text)) {
		word = safetext.Middle(word, t.width-indent)
		n := safetext.Width(word)
		if used > indent && used+1+n > t.width {
			t.printf("%s\n", strings.TrimRight(line, " "))
			line, used = strings.Repeat(" ", indent), indent
		}
		if used > indent {
			line += " "
			used++
		}
		line += word
		used += n
	}
	t.printf("%s\n", strings.TrimRight(line, " "))
}

func (t *textWriter) processes(d *Diagnosis) {
	t.printf("\n%s\n", t.style(bold, "Python processes"))
	if len(d.Processes) == 0 {
		t.printf("  none\n")
	} else {
		t.table(d)
	}
	t.reasons(d.Processes)
	if len(d.opaque) > 0 {
		t.printf("\n%s\n", t.style(bold, "May be Pythons or not"))
		t.reasons(d.opaque)
	}
}

func (t *textWriter) table(d *Diagnosis) {
	watchable := "CAN BE WATCHED"
	if !d.Works {
		watchable = "COULD BE WATCHED"
	}
	columns := []words.Column{
		{Title: "  PID", Right: true},
		{Title: "PROCESS", Flexible: true, Minimum: 12},
		{Title: "PYTHON"},
		{Title: "LOOPS", Flexible: true, Minimum: 8},
		{Title: "OWN PROBES", Optional: 1},
		{Title: watchable},
		{Title: "WHERE", Optional: 2, Flexible: true, Minimum: 12},
	}
	all := d.Processes
	shown := all
	if !t.o.Verbose && len(shown) > listed {
		shown = shown[:listed]
	}
	somewhere := false
	var rows [][]string
	for _, p := range shown {
		yes := "yes"
		if !p.Watchable {
			yes = "no"
		}
		where := safetext.Cut(safetext.Line(cmp.Or(p.Container, p.Unit)), 40)
		somewhere = somewhere || where != ""
		rows = append(rows, []string{
			"  " + strconv.Itoa(p.PID), safetext.Cut(safetext.Line(words.ShortCommand(p.Command)), 40), cmp.Or(p.Python, "?"), kinds(p.Loops),
			cmp.Or(strings.Join(p.USDT, ","), "-"), yes, cmp.Or(where, "-"),
		})
	}
	if !somewhere {
		columns = columns[:len(columns)-1]
	}
	if t.err == nil {
		t.err = words.WriteTable(t.w, columns, rows, t.width)
	}
	if more := len(all) - len(shown); more > 0 {
		t.printf("  … and %d more (--verbose shows them)\n", more)
	}
}

// kinds writes "asyncio, trio x3".
func kinds(loops []string) string {
	var out []string
	for i := 0; i < len(loops); {
		n := 1
		for i+n < len(loops) && loops[i+n] == loops[i] {
			n++
		}
		word := loops[i]
		if n > 1 {
			word += " x" + strconv.Itoa(n)
		}
		out = append(out, word)
		i += n
	}
	return cmp.Or(strings.Join(out, ", "), "-")
}

// group is processes that cannot be watched for one reason.
type group struct {
	reason, do string
	who        []string
}

// groupsOf sorts processes that cannot be watched by reason, that of most processes first.
func groupsOf(all []Process) (groups []*group) {
	for _, p := range all {
		if p.Watchable {
			continue
		}
		i := slices.IndexFunc(groups, func(g *group) bool { return g.reason == p.Reason })
		if i < 0 {
			i, groups = len(groups), append(groups, &group{reason: p.Reason, do: p.Do})
		}
		groups[i].who = append(groups[i].who, fmt.Sprintf("%s[%d]", safetext.Cut(safetext.Line(words.ShortCommand(p.Command)), 40), p.PID))
	}
	slices.SortStableFunc(groups, func(x, y *group) int { return cmp.Compare(len(y.who), len(x.who)) })
	return groups
}

// reasons says why processes cannot be watched, those of one reason together.
func (t *textWriter) reasons(all []Process) {
	const named = 5
	for _, g := range groupsOf(all) {
		who := strings.Join(g.who[:min(named, len(g.who))], ", ")
		if more := len(g.who) - named; more > 0 {
			who += fmt.Sprintf(" and %d more", more)
		}
		t.wrapped("  ", 2, fmt.Sprintf("%s: %s", who, g.reason))
		t.wrapped("    → ", 6, g.do)
	}
}
