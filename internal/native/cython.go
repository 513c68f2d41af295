// SPDX-License-Identifier: Apache-2.0

package native

import (
	"strconv"
	"strings"
)

// What Cython's names begin with (Cython/Compiler/Naming.py of 0.29 and 3.0). A scope is written as components of a length
// and a name: "4shop_5views_4Page_". Within a scope functions of Python are numbered, so that their names differ.
const (
	cythonWrapper   = "__pyx_pw_" // what Python calls: scope, number, name
	cythonBody      = "__pyx_pf_" // its body: scope, number but for the first in the scope, name
	cythonC         = "__pyx_f_"  // of cdef and cpdef: scope, name
	cythonGenerator = "__pyx_gb_" // the body of a generator or a coroutine: scope, number, "generator" or the like
	cythonFused     = "__pyx_fuse_"
)

// candidates returns the names in a file that begin with a text, at most most of them.
type candidates interface {
	beginning(text string, most int) []string
}

// sourceName returns what the source calls a function: of Cython's "shop.views.render" for
// "__pyx_pw_4shop_5views_1render". Where that does not follow from the names in the file, it is the symbol as it stands.
func sourceName(symbol string, all candidates) string {
	plain, _, _ := strings.Cut(symbol, ".") // ".isra.0", ".constprop.1", ".cold"
	if strings.HasPrefix(plain, cythonFused) {
		// One of several for different types: "__pyx_fuse_0__pyx_f_4shop_5views_scale".
		if at := strings.Index(plain, "__pyx_f_"); at > 0 {
			plain = plain[at:]
		}
	}
	read := ways(nil)
	switch {
	case strings.HasPrefix(plain, cythonWrapper):
		read = parse(plain[len(cythonWrapper):], true, false).deepest()
	case strings.HasPrefix(plain, cythonC):
		read = parse(plain[len(cythonC):], false, true)
	case strings.HasPrefix(plain, cythonBody):
		read = parse(plain[len(cythonBody):], false, false)
		read = read.withWrapper(all)
	case strings.HasPrefix(plain, cythonGenerator):
		read = generatorOf(plain[len(cythonGenerator):], all)
	}
	if len(read) != 1 {
		return symbol
	}
	return read[0].qualified()
}

// way is one way to read a name.
type way struct {
	scope  string // as it is written, "4shop_5views_"
	path   []string
	number int // -1 where there is none
	name   string
}

func (w way) qualified() string {
	return strings.Join(append(w.path[:len(w.path):len(w.path)], w.name), ".")
}

type ways []way

// maxDepth bounds the components of a scope.
const maxDepth = 16

// parse returns the ways to read a scope, a number and a name. numbered says that there is a number, unnumbered that there
// is none; else there may be one.
func parse(text string, numbered, unnumbered bool) (out ways) {
	w := way{number: -1}
	rest := text
	for len(w.path) < maxDepth {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		number, name := -1, rest[digits:]
		if digits > 0 && digits <= 6 {
			number, _ = strconv.Atoi(rest[:digits])
		}
		isName := isIdentifier(trimFused(name)) && len(w.path) > 0
		if isName && digits <= 6 && (number >= 0 && !unnumbered || digits == 0 && !numbered) {
			out = append(out, way{scope: text[:len(text)-len(rest)], path: w.path[:len(w.path):len(w.path)], number: number, name: trimFused(name)})
		}
		if number <= 0 || number+1 >= len(name) || name[number] != '_' || !isIdentifier(name[:number]) {
			return out
		}
		w.path = append(w.path, name[:number])
		rest = name[number+1:]
	}
	return nil
}

// deepest keeps the way with the longest scope. Of two numbered ways it is the right one, unless a function is called like
// "abc_1def" and its number happens to be the length of the first part.
func (all ways) deepest() ways { return all[max(len(all)-1, 0):] }

// trimFused strips the mark of one of several functions for different types, "__pyx_fuse_0scale".
func trimFused(name string) string {
	if rest, ok := strings.CutPrefix(name, cythonFused); ok {
		return strings.TrimLeft(rest, "0123456789_")
	}
	return name
}

func isIdentifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && c < 0x80 && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// withWrapper keeps the ways to read the name of a body for which there is a wrapper in the same file: it has the next number.
func (all ways) withWrapper(names candidates) (out ways) {
	for _, w := range all {
		next := strconv.Itoa(max(w.number, 0) + 1)
		for _, found := range names.beginning(cythonWrapper+w.scope+next+w.name, 8) {
			if found == cythonWrapper+w.scope+next+w.name {
				out = append(out, w)
				break
			}
		}
	}
	return out
}

// generatorOf returns the function whose generator has this name: its wrapper has the number before.
func generatorOf(text string, names candidates) (out ways) {
	for _, w := range parse(text, true, false) {
		if !strings.HasPrefix(w.name, "generator") || w.number < 1 {
			continue
		}
		for _, found := range names.beginning(cythonWrapper+w.scope+strconv.Itoa(w.number-1), 64) {
			for _, f := range parse(found[len(cythonWrapper):], true, false).deepest() {
				if f.scope == w.scope && f.number == w.number-1 {
					out = append(out, f)
				}
			}
		}
	}
	return out
}
