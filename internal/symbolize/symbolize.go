// SPDX-License-Identifier: Apache-2.0

// Package symbolize turns addresses into names: raw Python frames of one process into
// report.Frame, and user instruction pointers into the module they lie in. It reads the
// process's memory on demand, keeps what it read within bounds, and notices an address that
// was used again for another code object. The correlator holds one Resolver for each process.
package symbolize

import (
	"strconv"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/report"
)

// Bounds of what one Resolver keeps.
const (
	maxCodes = 4096
	maxBytes = 16 << 20
)

// Reasons for frames without a name, as reports count them.
const (
	ReasonUnreadable = "code_objects_unreadable"   // no code object there, or its memory is gone
	ReasonReused     = "code_objects_gone"         // another one stands at the address by now
	ReasonUnknown    = "instructions_out_of_range" // the frame is named, its line is not
)

// source is what a Resolver needs of *cpython.Runtime.
type source interface {
	ReadCode(m process.Memory, addr uint64) (*cpython.Code, error)
}

// Resolver names the frames of one process. It is not safe for concurrent use.
type Resolver struct {
	source   source
	memory   process.Memory
	codes    *simplelru.LRU[uint64, *code]
	bytes    int
	failures map[string]int64
	evicted  int64
}

// code is a code object with what all its frames share.
type code struct {
	*cpython.Code
	function string
	app      bool
}

// Stats is what a Resolver has kept and what it could not do.
type Stats struct {
	Codes    int // code objects kept now
	Bytes    int // their size
	Evicted  int64
	Failures map[string]int64 // frames without a name, by reason
}

// New returns a Resolver for the process that rt was found in and mem reads. The caller sees to
// it that this stays the same process.
func New(rt *cpython.Runtime, mem process.Memory) *Resolver { return newResolver(rt, mem) }

func newResolver(s source, mem process.Memory) *Resolver {
	r := &Resolver{source: s, memory: mem, failures: make(map[string]int64)}
	r.codes, _ = simplelru.NewLRU(maxCodes, func(_ uint64, c *code) { // fails for sizes below 1 only
		r.bytes -= c.Size()
	})
	return r
}

// Frames names a stack, innermost frame first. A frame that cannot be named keeps its place:
// its function is then in brackets and it has no file.
func (r *Resolver) Frames(raw []cpython.RawFrame) []report.Frame {
	out := make([]report.Frame, len(raw))
	for i, f := range raw {
		out[i] = r.frame(f)
	}
	return out
}

func (r *Resolver) frame(f cpython.RawFrame) report.Frame {
	c, reason := r.code(f)
	if c == nil {
		r.failures[reason]++
		return report.Frame{Function: "[unreadable]"}
	}
	if f.Instr == cpython.InstrUnknown {
		r.failures[ReasonUnknown]++
		return report.Frame{Function: c.function, File: c.File, App: c.app}
	}
	return report.Frame{Function: c.function, File: c.File, Line: c.Line(f.Instr), App: c.app}
}

// code returns the code object of a frame, from the cache where it is still the same.
func (r *Resolver) code(f cpython.RawFrame) (*code, string) {
	if c, ok := r.codes.Get(f.Code); ok {
		if c.Check == f.Check {
			return c, ""
		}
		r.codes.Remove(f.Code)
	}
	read, err := r.source.ReadCode(r.memory, f.Code)
	if err != nil {
		return nil, ReasonUnreadable
	}
	c := &code{Code: read, function: read.QualName, app: eventloop.IsApp(read.File)}
	if c.function == "" {
		c.function = read.Name
	}
	r.keep(f.Code, c)
	if c.Check != f.Check {
		return nil, ReasonReused
	}
	return c, ""
}

func (r *Resolver) keep(addr uint64, c *code) {
	if c.Size() > maxBytes {
		return
	}
	for r.codes.Len() >= maxCodes || r.bytes+c.Size() > maxBytes {
		if _, _, ok := r.codes.RemoveOldest(); !ok {
			break
		}
		r.evicted++
	}
	r.codes.Add(addr, c)
	r.bytes += c.Size()
}

// Stats returns the state of the cache. The map is the Resolver's own.
func (r *Resolver) Stats() Stats {
	return Stats{Codes: r.codes.Len(), Bytes: r.bytes, Evicted: r.evicted, Failures: r.failures}
}

// CutMarker is the function of a frame that stands for n frames missing in the middle.
func CutMarker(n int) report.Frame {
	return report.Frame{Function: "[" + strconv.Itoa(n) + " frames cut]"}
}
