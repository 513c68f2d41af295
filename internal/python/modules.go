// SPDX-License-Identifier: Apache-2.0

package python

import (
	"time"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/symbolize"
)

// Modules are the files mapped into a process, as they were at the last Refresh. The first question makes the first one:
// of most processes nobody asks.
type Modules struct {
	read    func() ([]process.Mapping, error)
	runtime *cpython.Runtime
	known   *symbolize.Modules // nil before the first Refresh, and where the mappings could never be read
	at      time.Time          // of the last Refresh
	slow    bool               // that took long, or failed
}

// NewModules returns the modules of the process that a runtime was found in and whose mappings read returns.
func NewModules(read func() ([]process.Mapping, error), rt *cpython.Runtime) *Modules {
	return &Modules{read: read, runtime: rt}
}

// Many mappings take long to read: they are not read more often than that for what is not found among them.
const (
	manyMappings = 4096
	rereadAfter  = time.Second
)

// Refresh reads the mappings: modules are loaded as a program goes on. Where they cannot be read, what is known stays.
func (m *Modules) Refresh() {
	m.at = time.Now()
	maps, err := m.read()
	m.slow = err != nil || len(maps) > manyMappings
	if err == nil {
		m.known = symbolize.NewModules(maps, m.runtime)
	}
}

func (m *Modules) first() *symbolize.Modules {
	if m.known == nil && (!m.slow || time.Since(m.at) > rereadAfter) {
		m.Refresh()
	}
	return m.known
}

// Extension reports whether a shared object in a directory of this name is mapped, as eventloop.Modules asks.
func (m *Modules) Extension(dir string) bool { return m.first().Extension(dir) }

// Find returns what symbolize.Modules.Find does: the file that an instruction lies in, and whether that is the interpreter.
func (m *Modules) Find(ip uint64) (name string, interpreter bool) { return m.first().Find(ip) }

// FindFresh is Find with a Refresh where nothing is mapped: a module mapped since may be the reason.
func (m *Modules) FindFresh(ip uint64) (name string, interpreter bool) {
	if name, interpreter = m.Find(ip); name == "" && (!m.slow || time.Since(m.at) > rereadAfter) {
		m.Refresh()
		name, interpreter = m.Find(ip)
	}
	return name, interpreter
}

// Cut reports whether the process has more executable mappings than are known.
func (m *Modules) Cut() bool { return m.first().Cut() }

// Mapping returns the executable mapping that an instruction lies in.
func (m *Modules) Mapping(ip uint64) (process.Mapping, bool) { return m.first().Mapping(ip) }
