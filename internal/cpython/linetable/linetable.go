// SPDX-License-Identifier: Apache-2.0

// Package linetable decodes the tables by which CPython maps instructions to source lines.
// In goes the raw table of one code object, read from a foreign process and therefore not
// trusted; out comes the line of an instruction. Package cpython calls it. It is pure: no
// memory is read, nothing is kept, and every input ends in time linear in the table.
package linetable

import (
	"iter"
	"math"
)

// Format is the encoding of a table; it follows from the interpreter's version.
type Format uint8

const (
	// Lnotab is co_lnotab, up to CPython 3.9: pairs of an unsigned address delta in bytes
	// and a signed line delta (Objects/lnotab_notes.txt of 3.9).
	Lnotab Format = iota
	// Pairs is co_linetable of CPython 3.10: the same pairs, but each is a range of its
	// own, and a line delta of -128 says that the range has no line (PEP 626).
	Pairs
	// Locations is co_linetable from CPython 3.11 on: entries of a head byte and varints
	// (Objects/locations.md of 3.11).
	Locations
)

// Range is a run of instructions of one line.
type Range struct {
	Start, End int // in 2-byte code units, End excluded; math.MaxInt where the table leaves the end open
	Line       int // the source line; meaningless without HasLine
	HasLine    bool
}

// unit is the size of an instruction: the two older formats count bytes.
const unit = 2

// Line returns the source line of the instruction at index instr, counted in 2-byte code
// units. An index of -1, a frame that has not started, gives firstLine. ok is false where
// the table gives the instruction no line, where it ends before it, and for other negative
// indexes.
func Line(f Format, table []byte, firstLine int, instr int) (line int, ok bool) {
	if instr == -1 {
		return firstLine, firstLine >= 0
	}
	if instr < 0 {
		return 0, false
	}
	for r := range Ranges(f, table, firstLine) {
		if instr < r.End {
			return r.Line, r.HasLine
		}
	}
	return 0, false
}

// Ranges yields the table's ranges in the order of their addresses, without gaps from 0 on.
// Ranges may be empty and neighbours may have the same line. It serves those who look up
// many instructions of one code object; Line is enough for a few.
func Ranges(f Format, table []byte, firstLine int) iter.Seq[Range] {
	switch f {
	case Lnotab:
		return lnotab(table, firstLine)
	case Pairs:
		return pairs(table, firstLine)
	case Locations:
		return locations(table, firstLine)
	}
	return func(func(Range) bool) {}
}

// newRange hides lines that no interpreter would show: negative ones count as none since
// CPython 3.10, and a C int holds nothing larger than math.MaxInt32.
func newRange(start, end, line int) Range {
	return Range{Start: start, End: end, Line: line, HasLine: line >= 0 && line <= math.MaxInt32}
}

// lnotab: each pair ends the range before it. Deltas too big for a byte are spread over
// several pairs, which is why empty ranges occur; what follows the last pair keeps its line.
func lnotab(table []byte, line int) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		start, addr := 0, 0
		for ; len(table) >= 2; table = table[2:] {
			addr += int(table[0])
			// An odd address would belong to the instruction it lies in the middle of, and
			// that one still has the line before.
			end := (addr + unit - 1) / unit
			if !yield(newRange(start, end, line)) {
				return
			}
			start = end
			line += int(int8(table[1]))
		}
		yield(newRange(start, math.MaxInt, line))
	}
}

// pairs: each pair is a range, whose line is told before its end.
func pairs(table []byte, line int) iter.Seq[Range] {
	const noLine = -128
	return func(yield func(Range) bool) {
		start, addr := 0, 0
		for ; len(table) >= 2; table = table[2:] {
			addr += int(table[0])
			end := (addr + unit - 1) / unit
			r := Range{Start: start, End: end}
			if delta := int(int8(table[1])); delta != noLine {
				line += delta
				r = newRange(start, end, line)
			}
			if !yield(r) {
				return
			}
			start = end
		}
	}
}

// Codes of location entries that say something about the line. The ones below keep the
// running line and tell columns only.
const (
	codeOneLine0 = 10 // to codeOneLine2: the line delta is the code's distance from here
	codeOneLine2 = 12
	codeNoColumn = 13
	codeLong     = 14
	codeNone     = 15
)

// entryStart marks the first byte of a location entry; all the others have it clear.
const entryStart = 0x80

// locations: a head byte of mark, code and length, then varints, of which only the first, a
// line delta, is of interest. An entry without a line leaves the running line as it is.
func locations(table []byte, line int) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		start := 0
		for len(table) > 0 {
			head := table[0]
			table = table[1:]
			end := start + int(head&7) + 1
			var r Range
			switch code := head >> 3 & 15; code {
			case codeNone:
				r = Range{Start: start, End: end}
			case codeNoColumn, codeLong:
				line += signedVarint(table)
				r = newRange(start, end, line)
			default:
				if code >= codeOneLine0 && code <= codeOneLine2 {
					line += int(code - codeOneLine0)
				}
				r = newRange(start, end, line)
			}
			if !yield(r) {
				return
			}
			start = end
			for len(table) > 0 && table[0]&entryStart == 0 {
				table = table[1:]
			}
		}
	}
}

// signedVarint reads the number p begins with: six bits a byte, lowest first, bit 6 set on
// all bytes but the last, the number's lowest bit its sign. What would not fit into the
// interpreter's 32 bits is cut off.
func signedVarint(p []byte) int {
	var v uint64
	for i, b := range p {
		if b&entryStart != 0 || i*6 >= 32 {
			break
		}
		v |= uint64(b&0x3f) << (i * 6)
		if b&0x40 == 0 {
			break
		}
	}
	n := int(uint32(v) >> 1)
	if v&1 != 0 {
		return -n
	}
	return n
}
