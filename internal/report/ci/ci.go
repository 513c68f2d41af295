// SPDX-License-Identifier: Apache-2.0

// Package ci writes a report for what runs tests: as annotations of GitHub's, and as test results in the form of JUnit. A report goes
// in, with where the work tree is; a file goes out in which every string of a watched process is neutralised (package safetext) and
// escaped as the format demands.
package ci

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// Options say where and what for a report is written.
type Options struct {
	WorkTree  string // an absolute path; "" where there is none
	Directory string // what relative paths start from
	Fail      bool   // a block that is not let through is an error
}

// Bounds of what is said of one blocker.
const (
	maxFrames = 20
	maxText   = 400 // columns of one line
)

// relative returns a path relative to the work tree, with slashes, and whether it lies in there.
func (o Options) relative(file string) (string, bool) {
	if file == "" || strings.HasPrefix(file, "<") || o.WorkTree == "" {
		return "", false
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(o.Directory, file)
	}
	path, err := filepath.Rel(o.WorkTree, filepath.Clean(file))
	if err != nil || path == "." || path == ".." || strings.HasPrefix(path, "../") {
		return "", false
	}
	return filepath.ToSlash(path), true
}

// finding is what is said of one blocker.
type finding struct {
	blocker *model.Blocker
	path    string // relative to the work tree, "" where the culprit does not lie in there
	title   string
	lines   []string // safe to print
}

// findings returns what there is to say, blocker by blocker.
func findings(r *model.Report, o Options) []finding {
	names, about := words.NamesOf(r), summary.AboutBlockers(r)
	out := make([]finding, 0, len(r.Blockers))
	for i := range r.Blockers {
		b := &r.Blockers[i]
		f := finding{blocker: b, title: fmt.Sprintf("Event loop blocked: %s, %s in %s, max %s", line(string(b.Cause)),
			words.BoundedDuration(b.TotalNS, b.AtLeast), words.Plural(b.Count, "block"), words.BoundedDuration(b.MaxNS, b.AtLeast))}
		if b.Culprit != nil {
			f.path, _ = o.relative(b.Culprit.File)
		}
		f.say(words.CulpritName(b.Culprit) + " " + causeWords(b.Cause) + ".")
		f.say(words.Known(b.Known))
		f.say(words.Evidence(b.Detail))
		if a := about[b.Key()]; a != nil {
			f.say(words.Tests(a.Tests, o.short))
			f.say(words.Waited(&a.Delayed))
		}
		f.say(b.Advice)
		if len(b.Loops) > 0 {
			f.say("In " + names.List(b.Loops, 3) + ".")
		}
		for _, frame := range b.Stack[:min(len(b.Stack), maxFrames)] {
			f.say("  " + line(frame.Function) + "  " + words.FileLine(frame, false))
		}
		if more := len(b.Stack) - maxFrames; more > 0 {
			f.say(fmt.Sprintf("  … %s", words.Plural(int64(more), "more frame")))
		}
		out = append(out, f)
	}
	return out
}

func causeWords(c model.Cause) string { return "kept the loop: its thread was " + c.Words() }

// say adds a line.
func (f *finding) say(text string) {
	if text != "" {
		f.lines = append(f.lines, safetext.Cut(safetext.Line(text), maxText))
	}
}

func line(s string) string { return safetext.Cut(safetext.Line(s), maxText) }

// short returns a path for people: relative to the work tree, if it lies in there.
func (o Options) short(file string) string {
	if path, ok := o.relative(file); ok {
		return path
	}
	return file
}

// leftOut says what the findings leave out.
func leftOut(r *model.Report) (lines []string) {
	lines = append(lines, words.LetThrough(r)...)
	if lost := words.LostLine(r.Lost); lost != "" {
		lines = append(lines, lost)
	}
	if n := len(r.Unsupported); n > 0 {
		lines = append(lines, fmt.Sprintf("%s not watched.", words.Counted(int64(n), "processes")))
	}
	return lines
}
