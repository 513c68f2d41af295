// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The file is whatever a watched process has mapped, and root reads it: debug/elf warns that it
// is not made for that, so this reads the little that is needed, with a bound on each size.
const (
	maxSegments = 128
	maxSections = 4096
	maxTable    = 256 << 20 // bytes of a symbol table or its names
	pieceSize   = 256 << 10 // bytes held of one at a time
)

// Numbers of the ELF-64 format (System V gABI, and elf.h).
const (
	elfHeaderSize  = 64
	elfSegmentSize = 56
	elfSectionSize = 64
	elfSymbolSize  = 24

	segmentLoad     = 1      // PT_LOAD
	sectionSymbols  = 2      // SHT_SYMTAB
	sectionDynamic  = 11     // SHT_DYNSYM
	symbolUndefined = 0      // SHN_UNDEF
	symbolReserved  = 0xff00 // SHN_LORESERVE: absolute, common and other non-sections
)

var (
	errNotELF  = errors.New("not an ELF file")
	errELF32   = errors.New("a 32-bit program")
	errBadELF  = errors.New("malformed ELF file")
	errNoImage = errors.New("nothing of Python in it")
)

// Symbols that tell what a file is. The functions date a release that does not say its own
// version: each came with the minor release named, in an object file that no program with an
// interpreter goes without.
const (
	symRuntime  = "_PyRuntime"
	symVersion  = "Py_Version" // 3.11
	symCodeType = "PyCode_Type"
	symInit     = "Py_Initialize"
	symMain     = "Py_BytesMain"
	symPosOnly  = "PyCode_NewWithPosOnlyArgs" // 3.8
	symGetBack  = "PyFrame_GetBack"           // 3.9
	symNewRef   = "Py_NewRef"                 // 3.10
	symTrace    = "_Py_PrintReferences"       // only with Py_TRACE_REFS, which widens every object
	symPyPy     = "pypy_main_startup"
	symRPython  = "rpython_startup_code"
)

var wantedSymbols = []string{
	symRuntime, symVersion, symCodeType, symInit, symMain, symPosOnly, symGetBack, symNewRef, symTrace, symPyPy, symRPython,
}

// image is what was found in one ELF file. Addresses are the file's own, without load bias.
type image struct {
	segments []segment
	symbols  map[string]uint64 // of wantedSymbols those the file defines
	imports  bool              // Python's API is used and not defined: libpython is another file
	runtime  uint64            // of _PyRuntime, by symbol or section; 0 where there is none
	asyncio  uint64            // of what _asyncio says of itself (3.14 on), 0 where there is none
}

// segment is a PT_LOAD program header.
type segment struct {
	offset, addr, fileSize, memSize uint64
}

type section struct {
	name               string
	nameAt, kind, link uint32
	addr, offset, size uint64
}

// scanELF reads what Locate needs of an ELF-64 file of size bytes. The memory it takes is
// bounded whatever the file says.
func scanELF(r io.ReaderAt, size int64) (*image, error) {
	head := make([]byte, elfHeaderSize)
	if err := readAt(r, head, 0, size); err != nil {
		return nil, errNotELF
	}
	if !bytes.Equal(head[:4], []byte("\x7fELF")) || head[5] != 1 /* little endian */ {
		return nil, errNotELF
	}
	if head[4] != 2 /* ELFCLASS64 */ {
		return nil, errELF32
	}
	img := &image{symbols: map[string]uint64{}}
	var err error
	if img.segments, err = readSegments(r, head, size); err != nil {
		return nil, err
	}
	sections, err := readSections(r, head, size)
	if err != nil {
		return nil, err
	}
	// .dynsym survives strip and is nearly always enough, .symtab is the larger.
	for _, kind := range []uint32{sectionDynamic, sectionSymbols} {
		for _, s := range sections {
			if s.kind == kind && int(s.link) < len(sections) {
				if err := img.readSymbols(r, s, sections[s.link], size); err != nil {
					return nil, err
				}
			}
		}
		if img.symbols[symRuntime] != 0 || img.symbols[symPyPy] != 0 {
			break
		}
	}
	for _, s := range sections {
		if s.name == ".AsyncioDebug" && s.size >= asyncioDebugSize {
			img.asyncio = s.addr
		}
	}
	img.runtime = img.symbols[symRuntime]
	if img.runtime == 0 {
		// _PyRuntime has a section of its own from 3.11 on, and it is first there.
		for _, s := range sections {
			if s.name == ".PyRuntime" && s.addr != 0 {
				img.runtime = s.addr
			}
		}
	}
	_, pypy := img.symbols[symPyPy]
	_, init := img.symbols[symInit]
	if img.runtime == 0 && !pypy && !init && !img.imports && img.symbols[symCodeType] == 0 && img.asyncio == 0 {
		return nil, errNoImage
	}
	return img, nil
}

// minor tells the minor release by the functions it defines, -1 where it cannot.
func (img *image) minor() int {
	has := func(name string) bool { return img.symbols[name] != 0 }
	switch {
	case has(symVersion) || !has(symInit):
		return -1 // 3.11 or later, or stripped so far that nothing can be said
	case has(symNewRef):
		return 10
	case has(symGetBack):
		return 9
	case has(symPosOnly):
		return 8
	case has(symRuntime):
		return 7
	}
	return -1
}

func readSegments(r io.ReaderAt, head []byte, size int64) ([]segment, error) {
	at := binary.LittleEndian.Uint64(head[32:])
	each, count := binary.LittleEndian.Uint16(head[54:]), int(binary.LittleEndian.Uint16(head[56:]))
	if each != elfSegmentSize || count > maxSegments {
		return nil, fmt.Errorf("%w: program headers", errBadELF)
	}
	table := make([]byte, count*elfSegmentSize)
	if err := readAt(r, table, at, size); err != nil {
		return nil, fmt.Errorf("read program headers: %w", err)
	}
	var out []segment
	for ; len(table) > 0; table = table[elfSegmentSize:] {
		if binary.LittleEndian.Uint32(table) == segmentLoad {
			out = append(out, segment{
				offset:   binary.LittleEndian.Uint64(table[8:]),
				addr:     binary.LittleEndian.Uint64(table[16:]),
				fileSize: binary.LittleEndian.Uint64(table[32:]),
				memSize:  binary.LittleEndian.Uint64(table[40:]),
			})
		}
	}
	return out, nil
}

// readSections returns no sections where the file has none.
func readSections(r io.ReaderAt, head []byte, size int64) ([]section, error) {
	at := binary.LittleEndian.Uint64(head[40:])
	each, count := binary.LittleEndian.Uint16(head[58:]), int(binary.LittleEndian.Uint16(head[60:]))
	names := int(binary.LittleEndian.Uint16(head[62:]))
	if at == 0 || count == 0 {
		return nil, nil
	}
	if each != elfSectionSize || count > maxSections || names >= count {
		return nil, fmt.Errorf("%w: section headers", errBadELF)
	}
	table := make([]byte, count*elfSectionSize)
	if err := readAt(r, table, at, size); err != nil {
		return nil, fmt.Errorf("read section headers: %w", err)
	}
	out := make([]section, 0, count)
	for ; len(table) > 0; table = table[elfSectionSize:] {
		out = append(out, section{
			nameAt: binary.LittleEndian.Uint32(table),
			kind:   binary.LittleEndian.Uint32(table[4:]),
			addr:   binary.LittleEndian.Uint64(table[16:]),
			offset: binary.LittleEndian.Uint64(table[24:]),
			size:   binary.LittleEndian.Uint64(table[32:]),
			link:   binary.LittleEndian.Uint32(table[40:]),
		})
	}
	const longest = 1 << 20 // for 4096 names
	if out[names].size > longest {
		return nil, fmt.Errorf("%w: section names", errBadELF)
	}
	text := make([]byte, out[names].size)
	if err := readAt(r, text, out[names].offset, size); err != nil {
		return nil, fmt.Errorf("read section names: %w", err)
	}
	for i := range out {
		if from := int(out[i].nameAt); from < len(text) {
			name, _, _ := bytes.Cut(text[from:min(len(text), from+64)], []byte{0})
			out[i].name = string(name)
		}
	}
	return out, nil
}

// readSymbols notes the wanted symbols of a table and its names. Only defined ones: every
// extension module lists _PyRuntime too, as something it needs.
func (img *image) readSymbols(r io.ReaderAt, table, names section, size int64) error {
	if names.size > maxTable || table.size > maxTable {
		return nil // an enormous program; a Python's tables are some 2 MiB
	}
	// A linker may let a name be the end of a longer one, so every place counts.
	wanted := map[uint32]string{}
	const most = 256 // of places, against a table that is made of nothing else
	const overlap = 32
	var start uint64
	err := pieces(r, names, size, 1, overlap, func(piece []byte) bool {
		for _, name := range wantedSymbols {
			needle := name + "\x00"
			for at := 0; len(wanted) < most; {
				i := bytes.Index(piece[at:], []byte(needle))
				if i < 0 {
					break
				}
				wanted[uint32(start)+uint32(at+i)] = name
				at += i + len(needle)
			}
		}
		start += pieceSize
		return len(wanted) < most
	})
	if err != nil {
		return fmt.Errorf("read symbol names: %w", err)
	}
	if len(wanted) == 0 {
		return nil
	}
	err = pieces(r, table, size, elfSymbolSize, 0, func(piece []byte) bool {
		for ; len(piece) >= elfSymbolSize; piece = piece[elfSymbolSize:] {
			name, ok := wanted[binary.LittleEndian.Uint32(piece)]
			if !ok {
				continue
			}
			index := binary.LittleEndian.Uint16(piece[6:])
			value := binary.LittleEndian.Uint64(piece[8:])
			switch {
			case index == symbolUndefined:
				img.imports = img.imports || name == symMain || name == symInit
			case index < symbolReserved && value != 0:
				img.symbols[name] = value
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("read symbols: %w", err)
	}
	return nil
}

// pieces reads a section bit by bit. Each piece but the last is a multiple of unit long and
// begins overlap bytes before the end of the one before. It stops when use returns false.
func pieces(r io.ReaderAt, s section, size int64, unit, overlap uint64, use func([]byte) bool) error {
	step := pieceSize / unit * unit
	buf := make([]byte, min(step+overlap, s.size))
	for at := uint64(0); at < s.size; at += step {
		piece := buf[:min(step+overlap, s.size-at)]
		if err := readAt(r, piece, s.offset+at, size); err != nil {
			return err
		}
		if !use(piece) {
			return nil
		}
	}
	return nil
}

// readAt fills p from the file, or fails without reading where the file is too short.
func readAt(r io.ReaderAt, p []byte, at uint64, size int64) error {
	if at > uint64(size) || uint64(len(p)) > uint64(size)-at {
		return fmt.Errorf("%w: it is too short", errBadELF)
	}
	if n, err := r.ReadAt(p, int64(at)); n < len(p) {
		return err
	}
	return nil
}
