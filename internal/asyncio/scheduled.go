// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"errors"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Place is a line of a program, as the program says itself.
type Place struct {
	Function, File string
	Line           int
}

// What is read of a traceback that asyncio keeps: it has ten frames at most, unless the program has asyncio keep more.
const (
	maxSource   = 16
	maxFileName = 1024
)

var errNoSource = errors.New("no traceback that asyncio keeps")

// Where a traceback.FrameSummary keeps its line, counted from its end. The class has slots in the order of their names, of which there
// are more with each release; filename, lineno, locals and name are the last.
const (
	fromEndFilename = 32
	fromEndLineno   = 24
	fromEndName     = 8
)

// Sizes of a traceback.FrameSummary: to 3.10, to 3.12, at first and later in 3.13 and from then on.
var summarySizes = [...]uint64{56, 80, 88, 96}

// Scheduled returns where a handle of an event loop was made, innermost first. asyncio keeps that in debug mode alone.
func Scheduled(rt *cpython.Runtime, m process.Memory, handle uint64) ([]Place, error) {
	if err := checkHandle(rt, m, handle); err != nil {
		return nil, err
	}
	source, err := words.At(m, handle+offHandleSource)
	if err != nil {
		return nil, err
	}
	if !rt.IsMade(m, source, "StackSummary") {
		return nil, errNoSource
	}
	items, err := rt.Items(m, source)
	if err != nil {
		return nil, err
	}
	var out []Place
	for n := len(items) - 1; n >= 0 && len(out) < maxSource; n-- {
		p, err := placeOf(rt, m, items[n])
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// placeOf reads a traceback.FrameSummary.
func placeOf(rt *cpython.Runtime, m process.Memory, summary uint64) (p Place, err error) {
	if !rt.IsMade(m, summary, "FrameSummary") {
		return Place{}, errNoSource
	}
	typ, err := rt.TypeOf(m, summary)
	if err != nil {
		return Place{}, err
	}
	size, err := rt.InstanceSize(m, typ)
	if err != nil {
		return Place{}, err
	}
	known := false
	for _, s := range summarySizes {
		known = known || s == size
	}
	if !known {
		return Place{}, errNoSource
	}
	slots, err := words.Array(m, summary+size-fromEndFilename, fromEndFilename/8)
	if err != nil {
		return Place{}, err
	}
	if p.File, err = rt.Text(m, slots[0], maxFileName); err != nil {
		return Place{}, err
	}
	if p.Function, err = rt.Name(m, slots[(fromEndFilename-fromEndName)/8]); err != nil {
		return Place{}, err
	}
	if line, ok := rt.Unsigned(m, slots[(fromEndFilename-fromEndLineno)/8]); ok && line < 1<<31 {
		p.Line = int(line)
	}
	return p, nil
}
