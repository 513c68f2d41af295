// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/loopwatch/loopwatch/internal/cpython/linetable"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// MaxLineTable bounds the line table of one code object, in bytes. A module made by a program
// can have a large one: it takes some 5 bytes a line.
const MaxLineTable = 4 << 20

var (
	errNotCode   = errors.New("not a code object")
	errFreed     = errors.New("the code object has been freed")
	errUnread    = errors.New("it cannot be read")
	errLongTable = fmt.Errorf("its line table is longer than %d bytes", MaxLineTable)
)

// ErrTooMuch says that code objects take more memory than their reader has room for.
var ErrTooMuch = errors.New("more than there is room for")

// Code is what a code object tells about the frames that run it.
type Code struct {
	Name     string // co_name
	QualName string // co_qualname, "" before 3.11
	// File is co_filename: what the code was compiled with, so a path as the process saw it
	// then, absolute or not, or something like "<string>".
	File      string
	FirstLine int
	Check     uint32 // as in RawFrame
	Cut       bool   // a name or the path was longer than MaxString and ends in "…"

	format linetable.Format
	table  []byte
	id     [3]uint64 // addresses of the name, the path and the line table
}

// ReadCode reads the code object at addr. It fails where there is none; where the address was
// used again for another one, only Check tells.
func (r *Runtime) ReadCode(m process.Memory, addr uint64) (*Code, error) {
	code := r.ReadCodes(m, []uint64{addr}, math.MaxInt)[0]
	return code.Code, code.Err
}

// CodeOrError is a code object, or why it could not be read.
type CodeOrError struct {
	Code *Code
	Err  error
}

// ReadCodes reads many code objects as ReadCode does, with few reads for all of them. Once their sizes exceed room, in bytes,
// the error of the others is ErrTooMuch.
func (r *Runtime) ReadCodes(m process.Memory, addrs []uint64, room int) []CodeOrError {
	out, err := process.ReadTogether(m, func(m process.Memory) ([]CodeOrError, error) { return r.readCodes(m, addrs, room), nil })
	if err == nil {
		return out
	}
	out = make([]CodeOrError, len(addrs))
	for i := range out {
		out[i].Err = fmt.Errorf("read code object at %#x: %w", addrs[i], err)
	}
	return out
}

func (r *Runtime) readCodes(m process.Memory, addrs []uint64, room int) []CodeOrError {
	out := make([]CodeOrError, len(addrs))
	from, to := words.Span(r.codeOffsets())
	heads := make([]process.Place, len(addrs))
	for i, addr := range addrs {
		heads[i] = process.Place{Addr: addr + uint64(from), P: make([]byte, to-from)}
	}
	process.ReadEach(m, heads)
	var places []process.Place
	for i, addr := range addrs {
		if !heads[i].OK {
			out[i].Err = fmt.Errorf("read code object at %#x: %w", addr, errUnread)
			continue
		}
		var own []process.Place
		if out[i].Code, own, out[i].Err = r.codeHead(m, addr, words.Seen(from, heads[i].P)); out[i].Err == nil {
			places = append(places, own...)
		}
	}
	process.ReadEach(m, places)
	for i := range out {
		if out[i].Err != nil {
			continue
		}
		n := 1 + len(r.codeTexts(out[i].Code))
		if err := r.codeRest(m, addrs[i], out[i].Code, places[:n], room); err != nil {
			out[i] = CodeOrError{Err: err}
		} else {
			room -= out[i].Code.Size()
		}
		places = places[n:]
	}
	return out
}

// codeOffsets are those of what is read of a code object.
func (r *Runtime) codeOffsets() []uint32 {
	l := &r.Layout
	wanted := []uint32{refCount(l), l.ObjectType, l.CodeLine, l.CodeName, l.CodeFile, l.CodeLines}
	if l.CodeQualName != 0 {
		wanted = append(wanted, l.CodeQualName)
	}
	return wanted
}

// codeText is one of the texts that a code object points to.
type codeText struct {
	to   *string
	what string
	at   uint32
}

func (r *Runtime) codeTexts(c *Code) []codeText {
	l := &r.Layout
	texts := []codeText{{&c.Name, "name", l.CodeName}, {&c.File, "file name", l.CodeFile}}
	if l.CodeQualName != 0 {
		texts = append(texts, codeText{&c.QualName, "qualified name", l.CodeQualName})
	}
	return texts
}

// codeHead makes sure that an object is a code object that is alive, and returns what is to be read besides.
func (r *Runtime) codeHead(m process.Memory, addr uint64, f words.Fields) (*Code, []process.Place, error) {
	l := &r.Layout
	if err := r.checkType(m, f.U64(l.ObjectType)); err != nil {
		return nil, nil, fmt.Errorf("read code object at %#x: %w", addr, err)
	}
	if freed(f.U64(refCount(l))) {
		return nil, nil, fmt.Errorf("read code object at %#x: %w", addr, errFreed)
	}
	firstLine := f.I32(l.CodeLine)
	c := &Code{
		FirstLine: int(firstLine), Check: CodeCheck(f.U64(l.CodeFile), firstLine),
		id: [3]uint64{f.U64(l.CodeName), f.U64(l.CodeFile), f.U64(l.CodeLines)},
	}
	var places []process.Place
	for _, text := range r.codeTexts(c) {
		places = append(places, process.Place{Addr: f.U64(text.at), P: make([]byte, object.Glance)})
	}
	return c, append(places, process.Place{Addr: f.U64(l.CodeLines), P: make([]byte, object.Glance)}), nil
}

// codeRest takes the texts and the line table from what has been read at those places, and reads what is missing, as far as
// there is room.
func (r *Runtime) codeRest(m process.Memory, addr uint64, c *Code, places []process.Place, room int) (err error) {
	if room <= 0 {
		return fmt.Errorf("read code object at %#x: %w", addr, ErrTooMuch)
	}
	for i, text := range r.codeTexts(c) {
		var cut bool
		if *text.to, cut, err = r.StrFrom(m, places[i].Addr, places[i].Seen()); err != nil {
			return fmt.Errorf("read %s of code object at %#x: %w", text.what, addr, err)
		}
		c.Cut = c.Cut || cut
	}
	switch minor := r.Version.Minor(); {
	case minor <= 9:
		c.format = linetable.Lnotab
	case minor == 10:
		c.format = linetable.Pairs
	default:
		c.format = linetable.Locations
	}
	table := places[len(places)-1]
	if c.table, err = r.readBytes(m, table.Addr, table.Seen(), room-c.Size()); err != nil {
		return fmt.Errorf("read line table of %s: %w", c.Name, err)
	}
	return nil
}

// IsCode reports whether the code object at addr is still c, which it was when read there. An
// address is used again once a code object is gone, as a module's is when it has been imported,
// and the next one may look alike to Check: hence the path and the lines are compared, too.
func (r *Runtime) IsCode(m process.Memory, addr uint64, c *Code) bool {
	return r.AreCodes(m, []uint64{addr}, []*Code{c})[0]
}

// AreCodes asks IsCode of many, with few reads for all of them.
func (r *Runtime) AreCodes(m process.Memory, addrs []uint64, codes []*Code) []bool {
	out, err := process.ReadTogether(m, func(m process.Memory) ([]bool, error) { return r.areCodes(m, addrs, codes), nil })
	if err != nil {
		return make([]bool, len(addrs))
	}
	return out
}

func (r *Runtime) areCodes(m process.Memory, addrs []uint64, codes []*Code) []bool {
	l := &r.Layout
	from, to := words.Span([]uint32{refCount(l), l.CodeLine, l.CodeName, l.CodeFile, l.CodeLines})
	heads := make([]process.Place, len(addrs))
	for i, addr := range addrs {
		heads[i] = process.Place{Addr: addr + uint64(from), P: make([]byte, to-from)}
	}
	process.ReadEach(m, heads)
	places := make([]process.Place, 0, 2*len(addrs)) // of each its path and the beginning of its line table
	for _, c := range codes {
		places = append(places, process.Place{Addr: c.id[1], P: make([]byte, object.Glance)},
			process.Place{Addr: c.id[2] + uint64(l.BytesData), P: make([]byte, max(min(len(c.table), object.Glance), 1))})
	}
	process.ReadEach(m, places)
	out := make([]bool, len(addrs))
	for i, c := range codes {
		f, path, table := words.Seen(from, heads[i].P), places[2*i], places[2*i+1]
		if !heads[i].OK || freed(f.U64(refCount(l))) || CodeCheck(f.U64(l.CodeFile), f.I32(l.CodeLine)) != c.Check ||
			c.id != [3]uint64{f.U64(l.CodeName), f.U64(l.CodeFile), f.U64(l.CodeLines)} {
			continue
		}
		file, _, err := r.StrFrom(m, path.Addr, path.Seen())
		out[i] = err == nil && file == c.File && (len(c.table) == 0 || table.OK && bytes.HasPrefix(c.table, table.P))
	}
	return out
}

// Line returns the line of the instruction at index instr, as in RawFrame; 0 where it has none
// or is not known.
func (c *Code) Line(instr int32) int {
	line, ok := linetable.Line(c.format, c.table, c.FirstLine, int(instr))
	if !ok {
		return 0
	}
	return line
}

// Size returns about how many bytes of memory c takes, for those who keep many.
func (c *Code) Size() int {
	return 128 + len(c.Name) + len(c.QualName) + len(c.File) + len(c.table)
}

// refCount is where every object has its reference count: just before its type.
func refCount(l *release.Layout) uint32 { return max(l.ObjectType, 8) - 8 }

// freed tells by its reference count that an object has been freed and lies where it lay: what it
// pointed to may be something else by now. The count is then 0 or gives way to the address of the
// next free place. It has 32 bits and from 3.14 on 16 flags at the top.
func freed(refCount uint64) bool { return uint32(refCount) == 0 || uint16(refCount>>32) != 0 }

// checkType makes sure that a type is that of code objects, by its address where that is
// known and else by its name.
func (r *Runtime) checkType(m process.Memory, typ uint64) error {
	if r.CodeType != 0 {
		if typ != r.CodeType {
			return errNotCode
		}
		return nil
	}
	name, err := words.At(m, typ+uint64(r.Layout.TypeName))
	if err != nil {
		return err
	}
	var b [5]byte
	if err := m.Read(name, b[:]); err != nil {
		return err
	}
	if string(b[:]) != "code\x00" {
		return errNotCode
	}
	return nil
}

// readBytes reads a bytes object of at most MaxLineTable, and of no more than room, of which the beginning has been read, or
// nothing.
func (r *Runtime) readBytes(m process.Memory, addr uint64, seen []byte, room int) (_ []byte, err error) {
	l := &r.Layout
	var size uint64
	if uint32(len(seen)) >= l.BytesSize+8 {
		size = binary.LittleEndian.Uint64(seen[l.BytesSize:])
	} else if size, err = words.At(m, addr+uint64(l.BytesSize)); err != nil {
		return nil, err
	}
	if size > MaxLineTable {
		return nil, errLongTable
	}
	if int(size) > room {
		return nil, ErrTooMuch
	}
	if uint64(l.BytesData)+size <= uint64(len(seen)) {
		return bytes.Clone(seen[l.BytesData:][:size]), nil
	}
	b := make([]byte, size)
	if err := m.Read(addr+uint64(l.BytesData), b); err != nil {
		return nil, err
	}
	return b, nil
}
