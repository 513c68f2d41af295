// SPDX-License-Identifier: Apache-2.0

package locate

import (
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/loopwatch/loopwatch/internal/cpython/image"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Named reports whether a process that cannot be read looks like a Python from outside.
func Named(pid int) bool {
	p, err := process.Open(pid)
	if err != nil {
		return false
	}
	exe, _ := p.Exe() // may be as unreadable as the rest
	return strings.Contains(filepath.Base(exe), "python") || strings.Contains(p.Comm, "python")
}

// interpreterName matches what interpreters are called, and not tools written in Python.
var interpreterName = regexp.MustCompile(`^(python|pypy)[0-9.]*$`)

// file is a file that is mapped.
type file struct {
	first  process.Mapping // by address
	places image.Mappings
	code   bool // code of it is mapped
	named  bool // it is called as an interpreter or its library is
}

// candidates lists the files that may hold the runtime: the executable first, then what is
// called so, then, if anything mapped has to do with Python, every other file with code.
func candidates(maps []process.Mapping, p *process.Process) []file {
	byID := map[process.FileID]*file{}
	var order []*file
	hint := false
	for _, m := range maps {
		if m.Inode == 0 {
			continue
		}
		f := byID[m.File()]
		if f == nil {
			f = &file{first: m, places: make(image.Mappings)}
			name := strings.ToLower(m.Name())
			f.named = strings.HasPrefix(name, "python") || strings.HasPrefix(name, "libpython") ||
				strings.HasPrefix(name, "pypy") || strings.HasPrefix(name, "libpypy")
			hint = hint || f.named || strings.Contains(strings.ToLower(m.Path), "python")
			byID[m.File()] = f
			order = append(order, f)
		}
		f.places.Add(m)
		f.code = f.code || m.Executable()
	}
	exe, _ := p.Exe() // without it the executable is tried like the rest
	rank := func(f *file) int {
		switch {
		case exe != "" && f.first.Path == exe:
			return 0
		case f.named:
			return 1
		}
		return 2
	}
	sort.SliceStable(order, func(i, j int) bool { return rank(order[i]) < rank(order[j]) })
	var out []file
	for _, f := range order {
		if rank(f) == 2 && !hint {
			break
		}
		if f.code {
			out = append(out, *f)
		}
	}
	return out
}
