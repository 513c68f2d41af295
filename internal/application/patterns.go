// SPDX-License-Identifier: Apache-2.0

package application

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Patterns are what a user says of files: which are the application's, and which are not. The zero value says nothing.
type Patterns struct{ all []pattern }

// pattern is either a file, with * for any characters, or a package or module with its dots.
type pattern struct {
	text string // a file: the glob; a package: its path elements, as in "/shop/plugins"
	file bool
	app  bool
}

// ParsePatterns reads the patterns of --app and --lib. One with a slash is a file, in which * stands for any characters,
// slashes too: "/srv/*/vendor/*". Any other is a package or a module: "shop", "shop.plugins".
func ParsePatterns(app, lib []string) (Patterns, error) {
	var out Patterns
	for _, text := range app {
		p, err := parse(text)
		if err != nil {
			return Patterns{}, fmt.Errorf("--app %q: %w", text, err)
		}
		p.app = true
		out.all = append(out.all, p)
	}
	for _, text := range lib {
		p, err := parse(text)
		if err != nil {
			return Patterns{}, fmt.Errorf("--lib %q: %w", text, err)
		}
		out.all = append(out.all, p)
	}
	return out, nil
}

func parse(text string) (pattern, error) {
	if strings.Contains(text, "/") {
		return pattern{text: text, file: true}, nil
	}
	if !isDotted(text) {
		return pattern{}, errors.New("expected a package such as shop or shop.plugins, or a file such as '/srv/shop/*'")
	}
	return pattern{text: "/" + strings.ReplaceAll(text, ".", "/")}, nil
}

// Says returns what the patterns say of a file. known is false where they say nothing. Of several that match the longest
// counts.
func (p *Patterns) Says(file string) (app, known bool) {
	longest := -1
	for i := range p.all {
		if one := &p.all[i]; len(one.text) > longest && one.matches(file) {
			longest, app = len(one.text), one.app
		}
	}
	return app, longest >= 0
}

func (p *pattern) matches(file string) bool {
	if p.file {
		return glob(p.text, file)
	}
	module := strings.TrimSuffix("/"+file, path.Ext(file)) + "/"
	return strings.Contains(module, p.text+"/")
}

// glob tells whether text matches a pattern in which * stands for any characters. It takes time in proportion to the length
// of the text, times that of the pattern at most.
func glob(pattern, text string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	text, ok := strings.CutPrefix(text, first)
	if !ok || !star {
		return ok && text == ""
	}
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(text, part)
		}
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text, rest = text[at+len(part):], after
	}
}

// isDotted tells whether a text is the name of a package or a module: identifiers with dots between them.
func isDotted(text string) bool {
	for _, name := range strings.Split(text, ".") {
		if !isIdentifier(name) {
			return false
		}
	}
	return true
}

// isIdentifier tells whether a text is an identifier of Python's, as far as those for modules go.
func isIdentifier(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
