// SPDX-License-Identifier: Apache-2.0

package native

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/loopwatch/loopwatch/internal/elffile"
)

// Bounds of what is read of a file, beside elffile's.
const (
	maxTable     = 64 << 20 // bytes of a symbol table, and of its names
	maxFunctions = 1 << 20
	maxName      = 256       // bytes of one; a longer one is no answer
	maxAliases   = 16        // functions at one address that are compared
	maxOffset    = 1 << 40   // of names in the file
	maxSearched  = 256 << 20 // bytes of the names of a file that are searched, over and over
)

// Types of symbols of code (System V gABI, and elf.h).
const (
	typeFunction = 2  // STT_FUNC
	typeIndirect = 10 // STT_GNU_IFUNC
)

// function is a symbol of code.
type function struct {
	addr uint64
	size uint32
	name uint32 // offset of its name
}

func (f function) covers(addr uint64) bool { return addr-f.addr < uint64(f.size) }

// readTable reads the functions of a file: of its symbol table, or where it was stripped, those it exports. With an error
// comes a table of those that could be read.
func readTable(r io.ReaderAt, size int64) (*table, error) {
	t := &table{answers: make(map[uint64]string), left: maxSearched}
	f, err := elffile.Open(r, size)
	if err != nil {
		return t, err
	}
	t.segments = f.Segments
	for _, kind := range []uint32{elffile.SectionSymbols, elffile.SectionDynamic} {
		s, names, ok := f.Symbols(kind)
		if !ok {
			continue
		}
		functions, failed := readFunctions(f, s, names)
		if failed == nil && len(functions) > 0 {
			t.functions, t.names = functions, names
			return t, nil
		}
		err = cmp.Or(err, failed)
	}
	return t, err
}

func readFunctions(f *elffile.File, s, names elffile.Section) ([]function, error) {
	if s.Size > maxTable || names.Size > maxTable || names.Size == 0 || f.Read(make([]byte, 1), names.Offset+names.Size-1) != nil || names.Offset > maxOffset {
		return nil, fmt.Errorf("%w: %d bytes of symbols", elffile.ErrMalformed, s.Size)
	}
	var out []function
	err := f.Pieces(s, elffile.SymbolSize, 0, func(piece []byte) bool {
		for ; len(piece) >= elffile.SymbolSize; piece = piece[elffile.SymbolSize:] {
			if fn, ok := functionOf(piece); ok {
				out = append(out, fn)
			}
		}
		return len(out) <= maxFunctions
	})
	if err != nil {
		return nil, err
	}
	if len(out) > maxFunctions {
		return nil, fmt.Errorf("%w: too many functions", elffile.ErrMalformed)
	}
	slices.SortFunc(out, func(a, b function) int {
		return cmp.Or(cmp.Compare(a.addr, b.addr), cmp.Compare(a.size, b.size), cmp.Compare(a.name, b.name))
	})
	return slices.Clip(out), nil
}

// functionOf reads a symbol, if it is one of code that is in the file.
func functionOf(symbol []byte) (function, bool) {
	kind, index := symbol[4]&0xf, binary.LittleEndian.Uint16(symbol[6:])
	addr, size := binary.LittleEndian.Uint64(symbol[8:]), binary.LittleEndian.Uint64(symbol[16:])
	if kind != typeFunction && kind != typeIndirect || index == elffile.SymbolUndefined || index >= elffile.SymbolReserved || size == 0 || size > 1<<32-1 {
		return function{}, false
	}
	return function{addr, uint32(size), binary.LittleEndian.Uint32(symbol)}, true
}

// answer names the function at an offset of the file, "" where none covers it.
func (t *table) answer(r io.ReaderAt, offset uint64) string {
	name := ""
	if addr, ok := t.address(offset); ok {
		name = t.nameAt(r, addr)
	}
	if len(t.answers) >= maxAnswers {
		clear(t.answers)
	}
	t.answers[offset] = name
	return name
}

// address returns the file's own address of what stands at an offset.
func (t *table) address(offset uint64) (uint64, bool) {
	for _, s := range t.segments {
		if offset-s.Offset < s.FileSize && s.Flags&1 != 0 {
			return s.Addr + (offset - s.Offset), true
		}
	}
	return 0, false
}

func (t *table) nameAt(r io.ReaderAt, addr uint64) string {
	// The last function that begins at or before the address, and others that begin where it does.
	end, _ := slices.BinarySearchFunc(t.functions, addr, func(f function, addr uint64) int {
		if f.addr > addr {
			return 1
		}
		return -1
	})
	best := ""
	for i := end - 1; i >= max(end-maxAliases, 0) && t.functions[i].addr == t.functions[end-1].addr; i-- {
		if f := t.functions[i]; f.covers(addr) {
			if name := t.name(r, f); name != "" && (best == "" || plainer(name, best)) {
				best = name
			}
		}
	}
	return sourceName(best, names{t, r})
}

// plainer reports whether of two names for one function the first is the one to use.
func plainer(a, b string) bool {
	underscores := func(s string) int { return len(s) - len(bytes.TrimLeft([]byte(s), "_")) }
	return cmp.Or(cmp.Compare(underscores(a), underscores(b)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) < 0
}

// name reads a function's name, "" where it cannot be read or is too long.
func (t *table) name(r io.ReaderAt, f function) string {
	if uint64(f.name) >= t.names.Size {
		return ""
	}
	buf := make([]byte, min(maxName+1, t.names.Size-uint64(f.name)))
	if n, err := r.ReadAt(buf, int64(t.names.Offset+uint64(f.name))); n < len(buf) || err != nil && err != io.EOF {
		return ""
	}
	text, _, ended := bytes.Cut(buf, []byte{0})
	if !ended || bytes.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == utf8.RuneError }) {
		return ""
	}
	return string(text)
}

// names are all names that a file has for its functions.
type names struct {
	*table
	r io.ReaderAt
}

// beginning returns the names that begin with a text, at most most of them.
func (n names) beginning(text string, most int) (out []string) {
	if n.table.left < n.table.names.Size {
		return nil
	}
	n.table.left -= n.table.names.Size
	overlap := uint64(maxName + 1)
	buf := make([]byte, min(elffile.PieceSize+overlap, n.table.names.Size))
	needle := []byte("\x00" + text) // a table begins with an empty name
	for at := uint64(0); at < n.table.names.Size; at += elffile.PieceSize {
		piece := buf[:min(uint64(len(buf)), n.table.names.Size-at)]
		if got, err := n.r.ReadAt(piece, int64(n.table.names.Offset+at)); got < len(piece) || err != nil && err != io.EOF {
			return out
		}
		for from := 0; ; {
			i := bytes.Index(piece[from:], needle)
			if i < 0 || from+i >= elffile.PieceSize {
				break
			}
			from += i + 1
			if name, _, ended := bytes.Cut(piece[from:], []byte{0}); ended && len(name) <= maxName {
				if out = append(out, string(name)); len(out) >= most {
					return out
				}
			}
		}
	}
	return out
}
