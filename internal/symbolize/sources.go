// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"bytes"
	"errors"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/template"
)

// ReasonTemplate is why a line of a template is not known, as reports count it.
const ReasonTemplate = "template_lines_unreadable"

// Sources tells where the lines of one process's code are to be looked up: in files that are there, and in templates that
// code was compiled from. It is not safe for concurrent use.
type Sources struct {
	files    Files
	template TemplateOf
	known    map[string]*file
	reading  *file // the last one that was asked for
	slow     bool  // one of them took long: no other is waited for
}

// Files are those of one process, in its root. *process.Process is one.
type Files interface {
	ReadFile(path string, limit int64) ([]byte, error)
}

// TemplateOf reads the map of lines of the template that the code object at an address belongs to, compiled from file, as
// long as a thread runs it. looked is how many threads and frames it took. The error matches template.ErrNone where it is no
// template's.
type TemplateOf func(code uint64, file string) (found *template.Map, looked int, err error)

// NewSources returns what files and templates say of a process.
func NewSources(files Files, template TemplateOf) *Sources {
	return &Sources{files: files, template: template, known: make(map[string]*file)}
}

// templateOf is what is known of the template that a code object belongs to.
type templateOf struct {
	lines *template.Map // nil unknown, or none
	size  int
	plain bool // it is none
	tries int  // that failed
	tried time.Time
}

// maxTries bounds how often the map of a template is looked for: every try walks the stacks of the process.
const maxTries = 8

// place returns where a line of a code object is to be looked up: as it stands, or in the template that the code was made
// of. The line is 0 where it is in no file.
func (r *Resolver) place(addr uint64, c *code, line int) (string, int) {
	s := r.sources
	if s == nil {
		return c.File, line
	}
	if s.template != nil && !c.template.plain && mayBeTemplate(c) {
		r.findTemplate(addr, c)
	}
	file := c.File
	switch t := &c.template; {
	case t.lines != nil && line > 0:
		file, line = t.lines.Place(line)
	case t.lines != nil:
		file = t.lines.File()
	case !t.plain && isMade(c):
		file, line = madeName(file), 0
		r.failures[ReasonTemplate]++
	}
	if line > 0 && (r.isApp(file) || !isPython(file)) && !s.has(file, line) {
		line = 0
	}
	return file, line
}

// findTemplate looks for the map of the template that c may belong to.
func (r *Resolver) findTemplate(addr uint64, c *code) {
	t := &c.template
	if t.lines != nil || t.tries >= maxTries || r.ended || r.now().Sub(t.tried) < believed {
		return
	}
	if !r.budget.has(templateCost, r.now()) {
		return
	}
	lines, looked, err := r.sources.template(addr, c.File)
	r.budget.spend(templateCost + looked*frameCost)
	switch {
	case errors.Is(err, template.ErrNone):
		t.plain = true
	case err != nil:
		t.tries, t.tried = t.tries+1, r.now()
	default:
		if kept, _ := r.codes.Peek(addr); kept == c {
			t.size = lines.Size()
			r.account(t.size)
		}
		t.lines = lines
		r.pool.fit(r)
	}
}

// tornadoSuffix ends the file that Tornado invents for the code of a template.
const tornadoSuffix = ".generated.py"

// mayBeTemplate reports whether code may have been made of a template, as far as its names tell.
func mayBeTemplate(c *code) bool {
	switch {
	case strings.HasSuffix(c.File, tornadoSuffix), strings.HasPrefix(c.File, "<template"), c.File == "<unknown>":
		return true
	case strings.HasPrefix(c.File, "<"):
		return false
	}
	return !isPython(c.File) || jinjaMade(c.Name)
}

// isMade reports whether code that may have been made of a template, and of which nothing else is known, is taken for that.
func isMade(c *code) bool {
	return mayBeTemplate(c) && (strings.HasSuffix(c.File, tornadoSuffix) || path.Ext(c.File) != "" && !isPython(c.File) || strings.HasPrefix(c.File, makoPrefix))
}

// jinjaMade tells names that Jinja gives to functions.
func jinjaMade(name string) bool { return name == "root" || strings.HasPrefix(name, "block_") }

// makoPrefix begins the file that Mako invents for a template that it did not load from one.
const makoPrefix = "memory:"

// madeName names a template by the file that was invented for its code.
func madeName(file string) string {
	switch {
	case strings.HasSuffix(file, tornadoSuffix):
		return template.Unfiled(strings.TrimSuffix(file, tornadoSuffix))
	case strings.HasPrefix(file, makoPrefix):
		return template.Unfiled("")
	}
	return file
}

// isPython reports whether a file is called as Python's are.
func isPython(file string) bool {
	return strings.HasSuffix(file, ".py") || strings.HasSuffix(file, ".pyw")
}

// Bounds of what is read of files to count their lines.
const (
	maxFiles    = 1024
	maxFileSize = 4 << 20
)

// counted is how long the lines of a file are taken to be as many as they were: a template or a module may be loaded again.
const counted = 10 * time.Second

// patience is how long a frame may have to wait for its name because of a file.
const patience = 10 * time.Millisecond

// file is one whose lines were counted, in the background: its file system may not answer.
type file struct {
	at    time.Time
	done  chan struct{} // closed when the others are set
	lines int
	err   error
}

func (f *file) isDone() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// has reports whether a file has so many lines. What cannot be told is taken for true, and so is a name in brackets, which
// nobody takes for a file. A path that is not absolute depends on the working directory, which a program may have left:
// where it looks like Python's it counts.
func (s *Sources) has(name string, line int) bool {
	if strings.HasPrefix(name, "<") || s.files == nil {
		return true
	}
	f := s.ask(name)
	if f == nil || !f.isDone() {
		return true
	}
	if f.err == nil {
		return line <= f.lines
	}
	return !errors.Is(f.err, unix.ENOENT) || !path.IsAbs(name) && isPython(name)
}

// ask returns what is known of a file, nil if that is nothing.
func (s *Sources) ask(name string) *file {
	f := s.known[name]
	if f != nil && (!f.isDone() || time.Since(f.at) < counted) {
		return f
	}
	if len(s.known) >= maxFiles || s.reading != nil && !s.reading.isDone() {
		return f
	}
	f = &file{done: make(chan struct{}), at: time.Now()}
	s.known[name], s.reading = f, f
	go f.read(s.files, name)
	if s.slow {
		return f
	}
	select {
	case <-f.done:
	case <-time.After(patience):
		s.slow = true
	}
	return f
}

var errLongFile = errors.New("the file is too long")

func (f *file) read(files Files, name string) {
	defer close(f.done)
	var b []byte
	if b, f.err = files.ReadFile(name, maxFileSize); f.err == nil && len(b) == maxFileSize {
		f.err = errLongFile
	}
	f.lines = countLines(b)
}

// countLines counts lines as Python does: they end with \n, \r or both.
func countLines(b []byte) int {
	n := bytes.Count(b, []byte{'\n'}) + bytes.Count(b, []byte{'\r'}) - bytes.Count(b, []byte("\r\n"))
	if len(b) > 0 && b[len(b)-1] != '\n' && b[len(b)-1] != '\r' {
		n++
	}
	return n
}
