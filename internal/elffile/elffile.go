// SPDX-License-Identifier: Apache-2.0

// Package elffile reads the headers of an ELF-64 file: its segments, its sections with their names, and
// bytes of it. The file is whatever a watched process has mapped, and root reads it. debug/elf warns
// that it is not made for that, so this reads the little that is needed, with a bound on each size.
// cpython looks for an interpreter with it, usdt for probes, native for functions.
package elffile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Bounds of what is read.
const (
	MaxRead      = 128 << 20 // bytes of one file in all, however its parts overlap
	MaxSegments  = 128
	MaxSections  = 4096
	maxNames     = 1 << 20 // bytes of all section names
	longestOfOne = 64      // bytes of one, which is cut there
)

// Numbers of the ELF-64 format (System V gABI, and elf.h).
const (
	headerSize  = 64
	segmentSize = 56
	sectionSize = 64

	class64      = 2 // ELFCLASS64
	littleEndian = 1
	segmentLoad  = 1 // PT_LOAD
)

// Errors of Open, and of reading beyond the file's end or MaxRead.
var (
	ErrNotELF    = errors.New("not a little-endian ELF file")
	Err32Bit     = errors.New("a 32-bit program")
	ErrMalformed = errors.New("malformed ELF file")
	ErrTooMuch   = errors.New("more than is read of one file")
)

// File is an ELF file's headers. Addresses are its own, without load bias.
type File struct {
	Machine  uint16 // e_machine
	Segments []Segment
	Sections []Section // empty where the file has none

	from io.ReaderAt
	size int64
	left uint64 // bytes that may still be read
}

// Segment is a PT_LOAD program header.
type Segment struct {
	Flags                           uint32 // PF_X 1, PF_W 2, PF_R 4
	Offset, Addr, FileSize, MemSize uint64
}

// Section is a section header.
type Section struct {
	Name               string
	Kind, Link         uint32 // sh_type, sh_link
	Addr, Offset, Size uint64
}

// Open reads the headers of a file of size bytes. The memory it takes is bounded whatever the file says.
func Open(from io.ReaderAt, size int64) (*File, error) {
	f := &File{from: from, size: size, left: MaxRead}
	head := make([]byte, headerSize)
	if err := f.Read(head, 0); err != nil || !bytes.Equal(head[:4], []byte("\x7fELF")) || head[5] != littleEndian {
		return nil, ErrNotELF
	}
	if head[4] != class64 {
		return nil, Err32Bit
	}
	f.Machine = binary.LittleEndian.Uint16(head[18:])
	if err := f.readSegments(head); err != nil {
		return nil, err
	}
	if err := f.readSections(head); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) readSegments(head []byte) error {
	at := binary.LittleEndian.Uint64(head[32:])
	each, count := binary.LittleEndian.Uint16(head[54:]), int(binary.LittleEndian.Uint16(head[56:]))
	if each != segmentSize || count > MaxSegments {
		return fmt.Errorf("%w: program headers", ErrMalformed)
	}
	table := make([]byte, count*segmentSize)
	if err := f.Read(table, at); err != nil {
		return fmt.Errorf("read program headers: %w", err)
	}
	for ; len(table) > 0; table = table[segmentSize:] {
		if binary.LittleEndian.Uint32(table) == segmentLoad {
			f.Segments = append(f.Segments, Segment{
				Flags:    binary.LittleEndian.Uint32(table[4:]),
				Offset:   binary.LittleEndian.Uint64(table[8:]),
				Addr:     binary.LittleEndian.Uint64(table[16:]),
				FileSize: binary.LittleEndian.Uint64(table[32:]),
				MemSize:  binary.LittleEndian.Uint64(table[40:]),
			})
		}
	}
	return nil
}

func (f *File) readSections(head []byte) error {
	at := binary.LittleEndian.Uint64(head[40:])
	each, count := binary.LittleEndian.Uint16(head[58:]), int(binary.LittleEndian.Uint16(head[60:]))
	names := int(binary.LittleEndian.Uint16(head[62:]))
	if at == 0 || count == 0 {
		return nil
	}
	if each != sectionSize || count > MaxSections || names >= count {
		return fmt.Errorf("%w: section headers", ErrMalformed)
	}
	table := make([]byte, count*sectionSize)
	if err := f.Read(table, at); err != nil {
		return fmt.Errorf("read section headers: %w", err)
	}
	nameAt := make([]uint32, 0, count)
	f.Sections = make([]Section, 0, count)
	for ; len(table) > 0; table = table[sectionSize:] {
		nameAt = append(nameAt, binary.LittleEndian.Uint32(table))
		f.Sections = append(f.Sections, Section{
			Kind:   binary.LittleEndian.Uint32(table[4:]),
			Addr:   binary.LittleEndian.Uint64(table[16:]),
			Offset: binary.LittleEndian.Uint64(table[24:]),
			Size:   binary.LittleEndian.Uint64(table[32:]),
			Link:   binary.LittleEndian.Uint32(table[40:]),
		})
	}
	if f.Sections[names].Size > maxNames {
		return fmt.Errorf("%w: section names", ErrMalformed)
	}
	text := make([]byte, f.Sections[names].Size)
	if err := f.Read(text, f.Sections[names].Offset); err != nil {
		return fmt.Errorf("read section names: %w", err)
	}
	for i, from := range nameAt {
		if uint64(from) < uint64(len(text)) {
			name, _, _ := bytes.Cut(text[from:min(len(text), int(from)+longestOfOne)], []byte{0})
			f.Sections[i].Name = string(name)
		}
	}
	return nil
}

// Read fills p with the file's bytes from at on, or fails without reading where the file is too short, or where more than
// MaxRead would be read in all.
func (f *File) Read(p []byte, at uint64) error {
	if len(p) == 0 {
		return nil
	}
	if f.size < 0 || at > uint64(f.size) || uint64(len(p)) > uint64(f.size)-at {
		return fmt.Errorf("%w: %d bytes at %#x lie outside", ErrMalformed, len(p), at)
	}
	if uint64(len(p)) > f.left {
		return fmt.Errorf("read %d bytes at %#x: %w", len(p), at, ErrTooMuch)
	}
	f.left -= uint64(len(p))
	if n, err := f.from.ReadAt(p, int64(at)); n < len(p) {
		return fmt.Errorf("read %d bytes at %#x: %w", len(p), at, err)
	}
	return nil
}
