// SPDX-License-Identifier: Apache-2.0

package application

import (
	"errors"
	"path"
	"strings"
)

// Patterns are what a user says of files.
type Patterns []Pattern

// Pattern says of some files that they are the application's, or that they are not.
type Pattern struct {
	text string // a file: the glob; a package: its path elements, as in "/shop/plugins"
	file bool
	app  bool
}

// ParsePattern reads a pattern. One with a slash is a file, in which * stands for any characters, slashes too:
// "/srv/*/vendor/*". Any other is a package or a module: "shop", "shop.plugins".
func ParsePattern(text string, app bool) (Pattern, error) {
	if strings.Contains(text, "/") {
		return Pattern{text: text, file: true, app: app}, nil
	}
	if !isDotted(text) {
		return Pattern{}, errors.New("expected a package such as shop or shop.plugins, or a file such as '/srv/shop/*'")
	}
	return Pattern{text: "/" + strings.ReplaceAll(text, ".", "/"), app: app}, nil
}

// says returns what the patterns say of a file. known is false where they say nothing. Of several that match the longest
// counts.
func (p Patterns) says(file string) (app, known bool) {
	longest := -1
	for i := range p {
		if len(p[i].text) > longest && p[i].matches(file) {
			longest, app = len(p[i].text), p[i].app
		}
	}
	return app, longest >= 0
}

func (p *Pattern) matches(file string) bool {
	if p.file {
		return glob(p.text, file)
	}
	module := strings.TrimSuffix("/"+file, path.Ext(file)) + "/"
	return strings.Contains(module, p.text+"/")
}

// glob reports whether text matches a pattern in which * stands for any characters. It takes time in proportion to the length
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

// isDotted reports whether a text is the name of a package or a module: identifiers with dots between them.
func isDotted(text string) bool {
	for _, name := range strings.Split(text, ".") {
		if !isIdentifier(name) {
			return false
		}
	}
	return true
}

// isIdentifier reports whether a text is an identifier of Python's, as far as those for modules go.
func isIdentifier(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
