// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/loopwatch/loopwatch/internal/elffile"
)

// AsyncioSize is how many bytes _asyncio takes to say how it is laid out.
const AsyncioSize = 13 * 8

// maxTable bounds a symbol table and its names, in bytes.
const maxTable = 64 << 20

// ErrNothing says that a file has nothing to do with Python.
var ErrNothing = errors.New("nothing of Python in it")

// Symbols that tell what a file is. The functions date a release that does not say its own
// version: each came with the minor release named, in an object file that no program with an
// interpreter goes without.
const (
	SymbolRuntime   = "_PyRuntime"
	SymbolVersion   = "Py_Version" // 3.11
	SymbolCodeType  = "PyCode_Type"
	SymbolInit      = "Py_Initialize"
	symbolMain      = "Py_BytesMain"
	symbolPosOnly   = "PyCode_NewWithPosOnlyArgs" // 3.8
	symbolGetBack   = "PyFrame_GetBack"           // 3.9
	symbolNewRef    = "Py_NewRef"                 // 3.10
	SymbolTraceRefs = "_Py_PrintReferences"       // only with Py_TRACE_REFS, which widens every object
	symbolPyPy      = "pypy_main_startup"
	symbolRPython   = "rpython_startup_code"
)

var wantedSymbols = []string{
	SymbolRuntime, SymbolVersion, SymbolCodeType, SymbolInit, symbolMain, symbolPosOnly, symbolGetBack, symbolNewRef, SymbolTraceRefs, symbolPyPy, symbolRPython,
}

// scan reads an ELF-64 file of size bytes. The memory it takes is bounded whatever the file says.
func scan(r io.ReaderAt, size int64) (*Image, error) {
	f, err := elffile.Open(r, size)
	if err != nil {
		return nil, err
	}
	img := &Image{symbols: map[string]uint64{}, segments: f.Segments}
	sections := f.Sections
	// .dynsym survives strip and is nearly always enough, .symtab is the larger.
	for _, kind := range []uint32{elffile.SectionDynamic, elffile.SectionSymbols} {
		if table, names, ok := f.Symbols(kind); ok {
			// What is too much to be read is done without: a section may tell where the runtime is.
			if err := img.readSymbols(f, table, names); err != nil && !errors.Is(err, elffile.ErrTooMuch) {
				return nil, err
			}
		}
		if img.symbols[SymbolRuntime] != 0 || img.symbols[symbolPyPy] != 0 {
			break
		}
	}
	for _, s := range sections {
		if s.Name == ".AsyncioDebug" && s.Size >= AsyncioSize {
			img.Asyncio = s.Addr
		}
	}
	img.Runtime = img.symbols[SymbolRuntime]
	if img.Runtime == 0 {
		// _PyRuntime has a section of its own from 3.11 on, and it is first there.
		for _, s := range sections {
			if s.Name == ".PyRuntime" && s.Addr != 0 {
				img.Runtime = s.Addr
			}
		}
	}
	_, pypy := img.symbols[symbolPyPy]
	_, init := img.symbols[SymbolInit]
	if img.Runtime == 0 && !pypy && !init && !img.Imports && img.symbols[SymbolCodeType] == 0 && img.Asyncio == 0 {
		return nil, ErrNothing
	}
	return img, nil
}

// readSymbols notes the wanted symbols of a table and its names. Only defined ones: every
// extension module lists _PyRuntime too, as something it needs.
func (img *Image) readSymbols(f *elffile.File, table, names elffile.Section) error {
	if names.Size > maxTable || table.Size > maxTable {
		return elffile.ErrTooMuch // an enormous program; a Python's tables are some 2 MiB
	}
	// A linker may let a name be the end of a longer one, so every place counts.
	wanted := map[uint32]string{}
	const most = 256 // of places, against a table that is made of nothing else
	const overlap = 32
	var start uint64
	err := f.Pieces(names, 1, overlap, func(piece []byte) bool {
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
		start += elffile.PieceSize
		return len(wanted) < most
	})
	if err != nil {
		return fmt.Errorf("read symbol names: %w", err)
	}
	if len(wanted) == 0 {
		return nil
	}
	err = f.Pieces(table, elffile.SymbolSize, 0, func(piece []byte) bool {
		for ; len(piece) >= elffile.SymbolSize; piece = piece[elffile.SymbolSize:] {
			name, ok := wanted[binary.LittleEndian.Uint32(piece)]
			if !ok {
				continue
			}
			index := binary.LittleEndian.Uint16(piece[6:])
			value := binary.LittleEndian.Uint64(piece[8:])
			switch {
			case index == elffile.SymbolUndefined:
				img.Imports = img.Imports || name == symbolMain || name == SymbolInit
			case index < elffile.SymbolReserved && value != 0:
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
