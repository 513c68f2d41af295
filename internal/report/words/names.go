// SPDX-License-Identifier: Apache-2.0

// Package words says things the same way in every format for people: names of loops and lines, durations, evidence, losses,
// the answer of a report, and tables. Parts of a report go in, text comes out that is safe to print (package safetext).
package words

import (
	"cmp"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

// LoopName returns "uvicorn[1234]", with the thread too where the loop is not in the main one.
func LoopName(l model.Loop) string {
	name := safetext.Cut(safetext.Line(ShortCommand(l.Command)), 40)
	if l.TID != l.PID {
		return fmt.Sprintf("%s[%d/%d]", name, l.PID, l.TID)
	}
	return fmt.Sprintf("%s[%d]", name, l.PID)
}

// ShortCommand returns what people call a process: the script, the module, or the program.
// The command line is joined by spaces, so a path with a space in it is cut short; that
// only costs beauty.
func ShortCommand(command string) string {
	const most = 64 // a whole program may follow -c
	words := make([]string, 0, most)
	for word := range strings.FieldsSeq(command) {
		if words = append(words, word); len(words) == most {
			break
		}
	}
	if len(words) == 0 {
		return "?"
	}
	program := path.Base(words[0])
	if !strings.HasPrefix(program, "python") && !strings.HasPrefix(program, "pypy") {
		return strings.TrimSuffix(program, ":") // setproctitle writes "gunicorn: worker [app]"
	}
	for i := 1; i < len(words); i++ {
		switch word := words[i]; {
		case word == "-m" && i+1 < len(words):
			return words[i+1]
		case word == "-c":
			return program + " -c"
		case word == "-W" || word == "-X":
			i++ // takes an argument
		case !strings.HasPrefix(word, "-"):
			return path.Base(word)
		}
	}
	return program
}

// The words the text uses, for writers that live in packages of their own: one thing has one
// name in every format. All results are safe to print (package safetext).

// LoopNames are the names of a report's loops.
type LoopNames map[model.LoopID]string

// NamesOf returns the names of the loops of r.
func NamesOf(r *model.Report) LoopNames {
	names := make(LoopNames, len(r.Loops))
	for _, l := range r.Loops {
		names[model.LoopID{PID: l.PID, TID: l.TID}] = LoopName(l)
	}
	return names
}

// Of returns the name of a loop.
func (n LoopNames) Of(id model.LoopID) string {
	if name := n[id]; name != "" {
		return name
	}
	return LoopName(model.Loop{PID: id.PID, TID: id.TID})
}

// List names the first loops of a list and counts the rest.
func (n LoopNames) List(ids []model.LoopID, limit int) string {
	var names []string
	for _, id := range ids[:min(limit, len(ids))] {
		names = append(names, n.Of(id))
	}
	s := strings.Join(names, ", ")
	if more := len(ids) - limit; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// CulpritName returns "Handler.get app.py:42", short enough for a line of its own.
func CulpritName(f *model.Frame) string {
	if f == nil {
		return "(no line to blame)"
	}
	return safetext.Middle(safetext.Line(f.Function), 60) + " " + safetext.Middle(FileLine(*f, true), 50)
}

// FileLine returns "app.py:42", or the whole path.
func FileLine(f model.Frame, short bool) string {
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
