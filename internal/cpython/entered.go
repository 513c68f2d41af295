// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"encoding/binary"
	"fmt"

	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Entered finds out which objects frames have entered by "async with" and not left yet. It remembers what it has seen of types
// and functions, so it is for one moment only.
type Entered struct {
	runtime *Runtime
	types   *object.TypeNames
	exits   map[uint64]bool // functions: whether they are called __aexit__
	codes   map[uint64]handlers
}

// handlers is what a code object says of its frames (3.11 on).
type handlers struct {
	locals uint64 // how many variables lie below the stack
	table  []byte
}

// NewEntered returns an Entered that has seen nothing yet.
func (r *Runtime) NewEntered() *Entered {
	return &Entered{runtime: r, types: r.NewTypeNames(), exits: make(map[uint64]bool), codes: make(map[uint64]handlers)}
}

// maxEntered bounds the values of one frame that are looked at, maxExits and maxCodes what is remembered.
const (
	maxEntered = 256
	maxExits   = 1 << 12
	maxCodes   = 1 << 10
)

// By returns the objects whose __aexit__ a frame calls when it leaves the blocks that it is in, outermost first. The frame
// is suspended, or calls something; it has entered nothing yet while it waits for an __aenter__. The compiler's table of
// handlers, to 3.10 the frame's stack of blocks, says which of the values on the frame's stack belong to blocks.
func (e *Entered) By(m process.Memory, frame uint64, raw RawFrame, suspended bool) ([]uint64, error) {
	if suspended && e.runtime.Version.Minor() == 12 {
		raw.Instr++ // it has a handler of its own around the yield
	}
	values, err := e.blockValues(m, frame, raw)
	if err != nil {
		return nil, fmt.Errorf("read the blocks of a frame: %w", err)
	}
	var out []uint64
	for i, value := range values {
		name, made := e.types.Of(m, value)
		switch {
		case made: // a program's class may have any name
		case name == "method":
			if f, err := words.Array(m, value+offMethodFunc, 2); err == nil && e.isExit(m, f[0]) {
				out = append(out, f[1])
			}
		case name == "function": // from 3.14 on the function and what it is bound to lie side by side
			if i+1 < len(values) && values[i+1] != 0 && e.isExit(m, value) {
				out = append(out, values[i+1])
			}
		}
	}
	return out, nil
}

// Offsets of PyMethodObject, of PyFunctionObject's code as seen from its closure, and of PyCodeObject, the same in all releases
// that have them.
const (
	offMethodFunc     = 16 // im_func, then im_self
	offExceptionTable = 40 // co_exceptiontable, 3.11 on
)

// isExit reports whether a function was defined as __aexit__.
func (e *Entered) isExit(m process.Memory, function uint64) bool {
	is, ok := e.exits[function]
	if !ok {
		l := &e.runtime.Layout
		at := l.FuncClosure - 24 // func_code
		if e.runtime.Version.Minor() <= 9 {
			at = l.FuncClosure - 32
		}
		if code, err := words.At(m, function+uint64(at)); err == nil {
			name, err := words.At(m, code+uint64(l.CodeName))
			is = err == nil && e.runtime.IsText(m, name, "__aexit__")
		}
		if len(e.exits) < maxExits {
			e.exits[function] = is
		}
	}
	return is
}

// blockValues returns the values on a frame's stack that the blocks hold which it is in, 0 for an empty place.
func (e *Entered) blockValues(m process.Memory, frame uint64, raw RawFrame) ([]uint64, error) {
	r := e.runtime
	l := &r.Layout
	var base uint64
	var depth int
	if r.Version.Minor() <= 10 {
		var err error
		if base, err = words.At(m, frame+uint64(l.FrameCode)+32); err != nil { // f_valuestack
			return nil, err
		}
		if depth, err = r.blockLevel(m, frame); err != nil {
			return nil, err
		}
	} else {
		known, err := e.handlersOf(m, raw.Code)
		if err != nil {
			return nil, err
		}
		depth = depthAt(known.table, int(raw.Instr))
		base = frame + uint64(l.FrameLocals) + 8*known.locals
	}
	if depth <= 0 || base == 0 {
		return nil, nil
	}
	values, err := words.Array(m, base, uint64(min(depth, maxEntered)))
	for i := range values {
		values[i] &^= uint64(l.FrameCodeTag)
	}
	return values, err
}

// blockLevel returns how many values lie below the innermost block of a frame (to 3.10): f_iblock, and f_blockstack, which the
// locals follow.
func (r *Runtime) blockLevel(m process.Memory, frame uint64) (int, error) {
	const most, size = 20, 12 // CO_MAXBLOCKS, PyTryBlock
	l := &r.Layout
	var b [4]byte
	if err := m.Read(frame+uint64(l.FrameInstr)+8, b[:]); err != nil {
		return 0, err
	}
	blocks := binary.LittleEndian.Uint32(b[:])
	if blocks == 0 || blocks > most {
		return 0, nil
	}
	at := frame + uint64(l.FrameLocals) - most*size + uint64(blocks-1)*size + 8 // b_level
	if err := m.Read(at, b[:]); err != nil {
		return 0, err
	}
	return int(int32(binary.LittleEndian.Uint32(b[:]))), nil
}

// maxHandlers bounds the bytes of a table of handlers.
const maxHandlers = 16 << 10

// handlersOf reads what a code object says of its frames.
func (e *Entered) handlersOf(m process.Memory, code uint64) (out handlers, err error) {
	if known, ok := e.codes[code]; ok {
		return known, nil
	}
	l := &e.runtime.Layout
	names, err := words.At(m, code+uint64(l.CodeVarNames))
	if err != nil {
		return out, err
	}
	if out.locals, err = e.runtime.Length(m, names); err != nil {
		return out, err
	}
	table, err := words.At(m, code+offExceptionTable)
	if err != nil {
		return out, err
	}
	size, err := words.At(m, table+uint64(l.BytesSize))
	if err != nil {
		return out, err
	}
	if out.locals > maxFrame/8 || size > maxHandlers {
		return out, errNotCode
	}
	out.table = make([]byte, size)
	if err := m.Read(table+uint64(l.BytesData), out.table); err != nil {
		return out, err
	}
	if len(e.codes) < maxCodes {
		e.codes[code] = out
	}
	return out, nil
}

// depthAt returns how many values stay on the stack where an instruction raises (3.11 on), by the table of handlers:
// Objects/exception_handling_notes.txt. An entry is four numbers, in six bits a byte, the first byte of it marked.
func depthAt(table []byte, instr int) int {
	next := func() (n int) {
		for i := 0; len(table) > 0; i++ {
			b := table[0]
			table = table[1:]
			if n = n<<6 | int(b&0x3f); b&0x40 == 0 || i >= 4 {
				break
			}
		}
		return n
	}
	for len(table) > 0 {
		start, length := next(), next()
		next() // the handler
		depth := next() >> 1
		if start > instr {
			break // they stand in order
		}
		if instr < start+length {
			return depth
		}
	}
	return 0
}
