// SPDX-License-Identifier: Apache-2.0

package template

import (
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"
)

// jinja reads what Jinja leaves in the globals of a template's code: debug_info is "1=13&5=24", lines of the template and of
// the code (jinja2/compiler.py, Template.debug_info in jinja2/environment.py).
func (f frame) jinja(file string) (*Map, error) {
	info, err := f.text("debug_info", maxCode)
	if err != nil {
		return nil, err
	}
	if from, err := f.text("__file__", maxPath); err != nil || from != file {
		return nil, ErrNone // a variable of the same name in some other code
	}
	name, err := f.text("name", maxPath)
	if err != nil {
		return nil, err
	}
	m := &Map{file: file, before: 1}
	if strings.HasPrefix(file, "<") {
		m.file = Unfiled(name)
	}
	return m, m.parseJinja(info)
}

func (m *Map) parseJinja(info string) error {
	for pair := range strings.SplitSeq(info, "&") {
		if pair == "" {
			continue
		}
		line, code, _ := strings.Cut(pair, "=")
		p := place{}
		var err1, err2 error
		p.line, err1 = strconv.Atoi(line)
		p.code, err2 = strconv.Atoi(code)
		if err1 != nil || err2 != nil || !m.add(p) {
			return errBadMap
		}
	}
	return nil
}

// add adds a place behind the others, and reports whether it can stand there.
func (m *Map) add(p place) bool {
	n := len(m.places)
	if p.code < 1 || p.line < 0 || n >= maxLines || n > 0 && m.places[n-1].code > p.code {
		return false
	}
	if n > 0 && m.places[n-1].code == p.code {
		m.places[n-1] = p
		return true
	}
	m.places = append(m.places, p)
	return true
}

// tornado reads the code that Tornado's template made: each of its lines ends with what it was made of, "  # list.html:3" or
// "  # row.html:1 (via list.html:3)". The code's loader, which is there for tracebacks, has a function that returns it
// (Template.generate in tornado/template.py).
func (f frame) tornado(string) (*Map, error) {
	template, err := f.tornadoTemplate()
	if err != nil {
		return nil, err
	}
	source, err := f.attribute(template, "code", maxCode)
	if err != nil || source == "" {
		return nil, ErrNone
	}
	name, err := f.attribute(template, "name", maxPath)
	if err != nil {
		return nil, ErrNone
	}
	root := ""
	if loader, err := f.Attribute(f.memory, template, "loader"); err == nil {
		root, _ = f.attribute(loader, "root", maxPath) // a loader that reads no files has none
	}
	return tornadoMap(source, root, name), nil
}

// tornadoTemplate finds the template that a frame's code was made by: what get_source of its loader is bound to.
func (f frame) tornadoTemplate() (uint64, error) {
	if _, err := f.global("_tt_execute"); err != nil {
		return 0, err
	}
	loader, err := f.global("__loader__")
	if err != nil {
		return 0, err
	}
	function, err := f.Item(f.memory, loader, "get_source")
	if err != nil {
		return 0, ErrNone
	}
	held, err := f.Closure(f.memory, function)
	if err != nil || len(held) != 1 {
		return 0, ErrNone
	}
	return held[0], nil
}

func (f frame) attribute(object uint64, name string, limit uint64) (string, error) {
	value, err := f.Attribute(f.memory, object, name)
	if err != nil {
		return "", err
	}
	return f.textAt(value, limit)
}

func tornadoMap(source, root, name string) *Map {
	where := func(name string) string {
		if root == "" || name == "" || name[0] == '<' {
			return Unfiled(name)
		}
		return path.Join(root, name)
	}
	m := &Map{file: where(name), next: true}
	files := make(map[string]string)
	n := 0
	for text := range strings.Lines(source) {
		n++
		name, line := comment(strings.TrimRight(text, "\n"))
		if name == "" {
			continue
		}
		file, ok := files[name]
		if !ok {
			file = where(name)
			files[name] = file
		}
		if !m.add(place{n, line, file}) {
			break
		}
	}
	return m
}

// comment returns the template and the line in the comment that Tornado ends a line of code with, "" where there is none.
func comment(text string) (name string, line int) {
	at := strings.LastIndex(text, "  # ")
	if at < 0 {
		return "", 0
	}
	text, _, _ = strings.Cut(text[at+len("  # "):], " (via ")
	colon := strings.LastIndexByte(text, ':')
	if colon <= 0 {
		return "", 0
	}
	line, err := strconv.Atoi(text[colon+1:])
	if err != nil || line < 1 {
		return "", 0
	}
	return text[:colon], line
}

// mako reads the code that Mako made and keeps in memory: at its end stands a map in JSON, of which each entry holds until
// the next (ModuleInfo in mako/template.py).
func (f frame) mako(string) (*Map, error) {
	file, err := f.text("_template_filename", maxPath)
	if err != nil {
		return nil, err
	}
	uri, err := f.text("_template_uri", maxPath)
	if err != nil {
		return nil, err
	}
	source, err := f.makoSource()
	if err != nil {
		return nil, err
	}
	if file == "" && strings.HasPrefix(uri, "memory:") {
		file = Unfiled("")
	} else if file == "" {
		file = Unfiled(uri)
	}
	return makoMap(source, file)
}

func (f frame) makoSource() (string, error) {
	name, err := f.text("__name__", maxPath)
	if err != nil {
		return "", err
	}
	module, err := f.Module(f.memory, f.interp, "mako.template")
	if err != nil {
		return "", err
	}
	class, err := f.Item(f.memory, module, "ModuleInfo")
	if err != nil {
		return "", err
	}
	modules, err := f.ClassAttribute(f.memory, class, "_modules")
	if err != nil {
		return "", err
	}
	byName, err := f.Attribute(f.memory, modules, "data")
	if err != nil {
		return "", err
	}
	reference, err := f.ItemOf(f.memory, byName, name)
	if err != nil {
		return "", err
	}
	info, err := f.Referent(f.memory, reference)
	if err != nil {
		return "", err
	}
	return f.attribute(info, "module_source", maxCode)
}

func makoMap(source, file string) (*Map, error) {
	const begin, end = "__M_BEGIN_METADATA", "__M_END_METADATA"
	at := strings.LastIndex(source, begin)
	if at < 0 {
		return nil, errBadMap
	}
	text, _, ok := strings.Cut(source[at+len(begin):], end)
	var said struct {
		Lines map[int]int `json:"line_map"`
	}
	if !ok || json.Unmarshal([]byte(text), &said) != nil {
		return nil, errBadMap
	}
	m := &Map{file: file}
	codes := make([]int, 0, len(said.Lines))
	for code := range said.Lines {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	// The last entry is for the map itself.
	for _, code := range codes[:max(len(codes)-1, 0)] {
		if !m.add(place{code: code, line: said.Lines[code]}) {
			return nil, errBadMap
		}
	}
	return m, nil
}
