// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/loopwatch/loopwatch/internal/elffile"
)

// Bounds of what is read of a file, beside elffile's.
const (
	maxTable  = 256 << 20 // bytes of a symbol table or its names
	pieceSize = 256 << 10 // bytes held of one at a time
)

// Numbers of the ELF-64 format (System V gABI, and elf.h).
const (
	elfSymbolSize = 24

	sectionSymbols  = 2      // SHT_SYMTAB
	sectionDynamic  = 11     // SHT_DYNSYM
	symbolUndefined = 0      // SHN_UNDEF
	symbolReserved  = 0xff00 // SHN_LORESERVE: absolute, common and other non-sections
)

var errNoImage = errors.New("nothing of Python in it")

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
	segments []elffile.Segment
	symbols  map[string]uint64 // of wantedSymbols those the file defines
	imports  bool              // Python's API is used and not defined: libpython is another file
	runtime  uint64            // of _PyRuntime, by symbol or section; 0 where there is none
	asyncio  uint64            // of what _asyncio says of itself (3.14 on), 0 where there is none
}

// scanELF reads what Locate needs of an ELF-64 file of size bytes. The memory it takes is
// bounded whatever the file says.
func scanELF(r io.ReaderAt, size int64) (*image, error) {
	f, err := elffile.Open(r, size)
	if err != nil {
		return nil, err
	}
	img := &image{symbols: map[string]uint64{}, segments: f.Segments}
	sections := f.Sections
	// .dynsym survives strip and is nearly always enough, .symtab is the larger.
	for _, kind := range []uint32{sectionDynamic, sectionSymbols} {
		for _, s := range sections {
			if s.Kind == kind && int(s.Link) < len(sections) {
				if err := img.readSymbols(f, s, sections[s.Link]); err != nil {
					return nil, err
				}
			}
		}
		if img.symbols[symRuntime] != 0 || img.symbols[symPyPy] != 0 {
			break
		}
	}
	for _, s := range sections {
		if s.Name == ".AsyncioDebug" && s.Size >= asyncioDebugSize {
			img.asyncio = s.Addr
		}
	}
	img.runtime = img.symbols[symRuntime]
	if img.runtime == 0 {
		// _PyRuntime has a section of its own from 3.11 on, and it is first there.
		for _, s := range sections {
			if s.Name == ".PyRuntime" && s.Addr != 0 {
				img.runtime = s.Addr
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

// readSymbols notes the wanted symbols of a table and its names. Only defined ones: every
// extension module lists _PyRuntime too, as something it needs.
func (img *image) readSymbols(f *elffile.File, table, names elffile.Section) error {
	if names.Size > maxTable || table.Size > maxTable {
		return nil // an enormous program; a Python's tables are some 2 MiB
	}
	// A linker may let a name be the end of a longer one, so every place counts.
	wanted := map[uint32]string{}
	const most = 256 // of places, against a table that is made of nothing else
	const overlap = 32
	var start uint64
	err := pieces(f, names, 1, overlap, func(piece []byte) bool {
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
	err = pieces(f, table, elfSymbolSize, 0, func(piece []byte) bool {
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
func pieces(f *elffile.File, s elffile.Section, unit, overlap uint64, use func([]byte) bool) error {
	step := pieceSize / unit * unit
	buf := make([]byte, min(step+overlap, s.Size))
	for at := uint64(0); at < s.Size; at += step {
		piece := buf[:min(step+overlap, s.Size-at)]
		if err := f.Read(piece, s.Offset+at); err != nil {
			return err
		}
		if !use(piece) {
			return nil
		}
	}
	return nil
}
