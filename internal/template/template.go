// SPDX-License-Identifier: Apache-2.0

// Package template maps lines of compiled templates to the templates. Jinja, Tornado and Mako make Python of a template; a
// frame of that has a line of the code they made, which nobody can look up. In go the globals of such a frame and the memory
// of the process; out comes the map of lines that the template's module or loader keeps. What is read is hostile and bounded.
package template

import (
	"errors"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/process"
)

// ErrNone says that globals are not those of a compiled template.
var ErrNone = errors.New("not a compiled template")

// errBadMap says that a template has a map that cannot be understood.
var errBadMap = errors.New("the template's map of lines cannot be understood")

// Bounds of what is read of one template.
const (
	maxCode  = 1 << 20 // characters of the code that was made
	maxLines = 1 << 16 // lines of that which have a line of the template
	maxPath  = 4096
)

// Map tells which line of which template a line of compiled code was made of.
type Map struct {
	file   string  // of what has no line, and of entries without a file
	places []place // in the order of the code's lines
	next   bool    // a line that is not among them belongs to the next one that is; else to the one before
	before int     // the line of what stands before the first
}

// place says that a line of the code was made of a line of a template.
type place struct {
	code, line int
	file       string
}

// File returns the template, as its loader knows it: a path, or "<template NAME>" where it was not loaded from a file.
func (m *Map) File() string { return m.file }

// Place returns the template and its line that a line of the code was made of; line 0 where that is not known.
func (m *Map) Place(code int) (file string, line int) {
	i, found := slices.BinarySearchFunc(m.places, code, func(p place, code int) int { return p.code - code })
	if !found && !m.next {
		i--
	}
	switch {
	case i < 0:
		return m.file, m.before
	case i >= len(m.places):
		return m.file, 0
	}
	if p := m.places[i]; p.file != "" {
		return p.file, p.line
	}
	return m.file, m.places[i].line
}

// Size returns about how many bytes of memory m takes.
func (m *Map) Size() int { return 64 + len(m.file) + 32*len(m.places) }

// frame is a frame of what may be a compiled template.
type frame struct {
	*object.Reader
	memory  process.Memory
	interp  uint64
	globals uint64
}

// Read reads the map of the template that a frame with these globals belongs to. file is what its code says that it was
// compiled from. The error matches ErrNone where the frame is not a template's.
func Read(rt *object.Reader, m process.Memory, interp, globals uint64, file string) (*Map, error) {
	f := frame{rt, m, interp, globals}
	for _, read := range []func(frame, string) (*Map, error){frame.jinja, frame.tornado, frame.mako} {
		if found, err := read(f, file); !errors.Is(err, ErrNone) {
			return found, err
		}
	}
	return nil, ErrNone
}

// global returns a global variable. The error matches ErrNone where there is none of that name.
func (f frame) global(name string) (uint64, error) {
	value, err := f.Item(f.memory, f.globals, name)
	if errors.Is(err, object.ErrNoKey) {
		return 0, ErrNone
	}
	return value, err
}

// text returns a global variable that is a str, "" where it is something else.
func (f frame) text(name string, limit uint64) (string, error) {
	value, err := f.global(name)
	if err != nil {
		return "", err
	}
	return f.textAt(value, limit)
}

func (f frame) textAt(addr, limit uint64) (string, error) {
	text, err := f.Text(f.memory, addr, limit)
	if errors.Is(err, object.ErrNotText) {
		return "", nil
	}
	return text, err
}

// Unfiled names a template that was not loaded from a file.
func Unfiled(name string) string {
	if name == "" || name[0] == '<' {
		return "<template>"
	}
	return "<template " + name + ">"
}
