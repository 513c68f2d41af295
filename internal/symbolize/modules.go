// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Modules are the files mapped into a process at one moment. It is safe for concurrent use. A
// nil *Modules, of a process whose mappings could not be read, knows none.
type Modules struct {
	code        []process.Mapping // executable ones, by address
	interpreter string            // path of the file with the Python runtime
	extensions  map[string]bool   // names of directories with a shared object mapped
	cut         bool              // there are more
}

// Bounds of what is kept of the executable mappings of a process. A program with all the libraries there are has a thousand.
const (
	maxMappings = 4096
	maxPaths    = 256 << 10 // bytes of different ones
)

// NewModules sorts the mappings of the process that rt was found in.
func NewModules(maps []process.Mapping, rt *cpython.Runtime) *Modules {
	m := &Modules{interpreter: rt.Path, extensions: make(map[string]bool)}
	paths, bytes := make(map[string]bool), 0
	for _, mapping := range maps {
		if !mapping.Executable() {
			continue
		}
		if !paths[mapping.Path] {
			paths[mapping.Path] = true
			bytes += len(mapping.Path)
		}
		if len(m.code) >= maxMappings || bytes > maxPaths {
			m.cut = true
			break
		}
		m.code = append(m.code, mapping)
		if strings.Contains(path.Base(mapping.Path), ".so") {
			m.extensions[path.Base(path.Dir(mapping.Path))] = true
		}
	}
	slices.SortFunc(m.code, func(a, b process.Mapping) int { return cmp.Compare(a.Start, b.Start) })
	return m
}

// Cut reports whether the process has more executable mappings than are kept.
func (m *Modules) Cut() bool { return m != nil && m.cut }

// Extension reports whether a shared object in a directory of this name is mapped.
func (m *Modules) Extension(dir string) bool { return m != nil && m.extensions[dir] }

// Find returns the base name of the file an instruction lies in, and whether that is the
// Python interpreter itself. The name is "" where nothing executable is mapped, and in brackets
// for what is no file ("[vdso]", "[anon]").
func (m *Modules) Find(ip uint64) (name string, interpreter bool) {
	if m == nil {
		return "", false
	}
	at, ok := m.Mapping(ip)
	if !ok {
		return "", false
	}
	if at.Path == "" {
		return "[anon]", false
	}
	return at.Name(), at.Path == m.interpreter
}

// Mapping returns the executable mapping that an instruction lies in.
func (m *Modules) Mapping(ip uint64) (process.Mapping, bool) {
	if m == nil {
		return process.Mapping{}, false
	}
	i, found := slices.BinarySearchFunc(m.code, ip, func(mapping process.Mapping, ip uint64) int {
		return cmp.Compare(mapping.Start, ip)
	})
	if !found {
		i--
	}
	if i < 0 || !m.code[i].Contains(ip) {
		return process.Mapping{}, false
	}
	return m.code[i], true
}
