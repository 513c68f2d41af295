// SPDX-License-Identifier: Apache-2.0

// Package usdt reads the static probes (SystemTap's, .note.stapsdt) out of an ELF file: where in
// the file each site is, which counter switches it on, and where its arguments are when it is
// hit. It takes the bytes of a file and attaches nothing; package probes does. The file is
// whatever a watched process has mapped, and root reads it, so all sizes are bounded and a site
// that is not what it has to be is refused and counted.
package usdt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Bounds. CPython has some twenty sites.
const (
	maxSegments = 128
	maxSections = 4096
	maxNames    = 1 << 20 // bytes of section names
	maxNotes    = 1 << 20 // bytes of notes
	maxSites    = 256     // of one provider
)

// Numbers of the ELF-64 format (System V gABI, and elf.h).
const (
	headerSize  = 64
	segmentSize = 56
	sectionSize = 64

	machineAMD64 = 62
	machineARM64 = 183

	segmentLoad = 1
	flagExecute = 1
	flagWrite   = 2

	sectionNotes = 7
	noteSTAPSDT  = 3 // NT_STAPSDT, of owner "stapsdt"
)

// Errors of Parse. A file without probes is none.
var (
	ErrNotELF  = errors.New("not an ELF-64 little-endian file")
	ErrMachine = errors.New("not for x86-64 or arm64")
	ErrBadELF  = errors.New("malformed ELF file")
)

// Site is one place where a probe may be hit. A probe can have several.
type Site struct {
	Name      string
	Addr      uint64 // as the file numbers addresses: without load bias
	Semaphore uint64 // address of the counter that switches the site on; 0: it is always on
	// Offset and SemaphoreOffset are where the two are in the file.
	Offset          uint64
	SemaphoreOffset uint64
	Args            []Arg
	RawArgs         string // as the note has them
}

// File is what Parse found.
type File struct {
	Sites   []Site
	Refused map[string]int // sites and arguments that cannot be used, by reason
}

// Reasons of File.Refused.
const (
	RefusedNote      = "note malformed"
	RefusedCode      = "site outside the code"
	RefusedNop       = "site is no nop"
	RefusedSemaphore = "semaphore outside the data"
	RefusedArgument  = "argument not understood"
	RefusedMany      = "too many sites"
)

type segment struct {
	flags                           uint32
	offset, addr, fileSize, memSize uint64
}

// place returns the offset in the file of the size bytes at addr, if a segment with these flags
// and without those holds them.
func place(segments []segment, addr, size uint64, with, without uint32) (uint64, bool) {
	for _, s := range segments {
		if s.flags&with == with && s.flags&without == 0 && addr >= s.addr && size <= s.fileSize && addr-s.addr <= s.fileSize-size {
			return s.offset + addr - s.addr, true
		}
	}
	return 0, false
}

// Parse returns the sites of one provider in an ELF file of size bytes, in the order of the notes.
func Parse(r io.ReaderAt, size int64, provider string) (*File, error) {
	head := make([]byte, headerSize)
	if err := readAt(r, head, 0, size); err != nil || !bytes.Equal(head[:6], []byte("\x7fELF\x02\x01")) {
		return nil, ErrNotELF
	}
	machine := binary.LittleEndian.Uint16(head[18:])
	if machine != machineAMD64 && machine != machineARM64 {
		return nil, ErrMachine
	}
	segments, err := readSegments(r, head, size)
	if err != nil {
		return nil, err
	}
	notes, base, err := readNotes(r, head, size)
	if err != nil {
		return nil, err
	}
	f := &File{Refused: map[string]int{}}
	for len(notes) > 0 {
		var n note
		if n, notes, err = nextNote(notes); err != nil {
			f.Refused[RefusedNote]++
			break
		}
		if n.owner != "stapsdt" || n.kind != noteSTAPSDT {
			continue
		}
		raw, ok := parseNote(n.desc)
		switch {
		case !ok:
			f.Refused[RefusedNote]++
		case raw.provider != provider:
		case len(f.Sites) >= maxSites:
			f.Refused[RefusedMany]++
		default:
			f.add(r, size, machine, segments, raw, base)
		}
	}
	return f, nil
}

// add checks a site and enters it.
func (f *File) add(r io.ReaderAt, size int64, machine uint16, segments []segment, raw rawNote, base uint64) {
	s := Site{Name: raw.name, Addr: raw.addr, Semaphore: raw.semaphore, RawArgs: raw.args}
	// Prelink moves a file's addresses and leaves its notes: the section .stapsdt.base moved
	// along, and where it was stands in the note.
	if base != 0 && raw.base != 0 {
		s.Addr += base - raw.base
		if s.Semaphore != 0 {
			s.Semaphore += base - raw.base
		}
	}
	nop := nops[machine]
	var ok bool
	if s.Offset, ok = place(segments, s.Addr, uint64(len(nop)), flagExecute, 0); !ok {
		f.Refused[RefusedCode]++
		return
	}
	there := make([]byte, len(nop))
	if err := readAt(r, there, s.Offset, size); err != nil || !bytes.Equal(there, nop) {
		f.Refused[RefusedNop]++ // a breakpoint is put on a nop and on nothing else
		return
	}
	if s.Semaphore != 0 {
		if s.SemaphoreOffset, ok = place(segments, s.Semaphore, 2, flagWrite, flagExecute); !ok || s.SemaphoreOffset == 0 {
			f.Refused[RefusedSemaphore]++
			return
		}
	}
	var refused int
	s.Args, refused = parseArgs(raw.args, machine)
	if refused > 0 {
		f.Refused[RefusedArgument] += refused
	}
	f.Sites = append(f.Sites, s)
}

// nops are what the compiler put where a probe is.
var nops = map[uint16][]byte{
	machineAMD64: {0x90},
	machineARM64: {0x1f, 0x20, 0x03, 0xd5},
}

func readSegments(r io.ReaderAt, head []byte, size int64) ([]segment, error) {
	at := binary.LittleEndian.Uint64(head[32:])
	each, count := binary.LittleEndian.Uint16(head[54:]), int(binary.LittleEndian.Uint16(head[56:]))
	if each != segmentSize || count > maxSegments {
		return nil, fmt.Errorf("%w: program headers", ErrBadELF)
	}
	table := make([]byte, count*segmentSize)
	if err := readAt(r, table, at, size); err != nil {
		return nil, fmt.Errorf("read program headers: %w", err)
	}
	var out []segment
	for ; len(table) > 0; table = table[segmentSize:] {
		if binary.LittleEndian.Uint32(table) == segmentLoad {
			out = append(out, segment{
				flags:    binary.LittleEndian.Uint32(table[4:]),
				offset:   binary.LittleEndian.Uint64(table[8:]),
				addr:     binary.LittleEndian.Uint64(table[16:]),
				fileSize: binary.LittleEndian.Uint64(table[32:]),
				memSize:  binary.LittleEndian.Uint64(table[40:]),
			})
		}
	}
	return out, nil
}

// readNotes returns the contents of .note.stapsdt, nothing where there is none, and the address of
// .stapsdt.base, 0 where there is none.
func readNotes(r io.ReaderAt, head []byte, size int64) (notes []byte, base uint64, err error) {
	at := binary.LittleEndian.Uint64(head[40:])
	each, count := binary.LittleEndian.Uint16(head[58:]), int(binary.LittleEndian.Uint16(head[60:]))
	names := int(binary.LittleEndian.Uint16(head[62:]))
	if at == 0 || count == 0 {
		return nil, 0, nil
	}
	if each != sectionSize || count > maxSections || names >= count {
		return nil, 0, fmt.Errorf("%w: section headers", ErrBadELF)
	}
	table := make([]byte, count*sectionSize)
	if err := readAt(r, table, at, size); err != nil {
		return nil, 0, fmt.Errorf("read section headers: %w", err)
	}
	extent := func(header []byte) (offset, length uint64) {
		return binary.LittleEndian.Uint64(header[24:]), binary.LittleEndian.Uint64(header[32:])
	}
	namesAt, namesSize := extent(table[names*sectionSize:])
	if namesSize > maxNames {
		return nil, 0, fmt.Errorf("%w: section names", ErrBadELF)
	}
	text := make([]byte, namesSize)
	if err := readAt(r, text, namesAt, size); err != nil {
		return nil, 0, fmt.Errorf("read section names: %w", err)
	}
	for ; len(table) > 0; table = table[sectionSize:] {
		switch name, _ := cString(text, uint64(binary.LittleEndian.Uint32(table))); name {
		case ".stapsdt.base":
			base = binary.LittleEndian.Uint64(table[16:])
		case ".note.stapsdt":
			if binary.LittleEndian.Uint32(table[4:]) != sectionNotes || notes != nil {
				continue
			}
			offset, length := extent(table)
			if length > maxNotes {
				return nil, 0, fmt.Errorf("%w: %d bytes of notes", ErrBadELF, length)
			}
			notes = make([]byte, length)
			if err := readAt(r, notes, offset, size); err != nil {
				return nil, 0, fmt.Errorf("read notes: %w", err)
			}
		}
	}
	return notes, base, nil
}

type note struct {
	owner string
	kind  uint32
	desc  []byte
}

// nextNote takes the first note off b: three lengths and kinds of four bytes, the owner and the
// descriptor, each padded to four bytes.
func nextNote(b []byte) (note, []byte, error) {
	if len(b) < 12 {
		return note{}, nil, ErrBadELF
	}
	ownerSize, descSize := uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[4:]))
	n := note{kind: binary.LittleEndian.Uint32(b[8:])}
	b = b[12:]
	padded := func(n uint64) uint64 { return (n + 3) &^ 3 }
	if ownerSize > uint64(len(b)) || padded(ownerSize)+descSize > uint64(len(b)) {
		return note{}, nil, ErrBadELF
	}
	n.owner = string(bytes.TrimRight(b[:ownerSize], "\x00"))
	b = b[padded(ownerSize):]
	n.desc = b[:descSize]
	return n, b[min(padded(descSize), uint64(len(b))):], nil
}

type rawNote struct {
	addr, base, semaphore uint64
	provider, name, args  string
}

// parseNote reads a descriptor: three addresses, then provider, name and arguments, each ended by
// a NUL.
func parseNote(b []byte) (n rawNote, ok bool) {
	if len(b) < 24 {
		return n, false
	}
	n.addr, n.base, n.semaphore = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
	at := uint64(24)
	for _, to := range []*string{&n.provider, &n.name, &n.args} {
		if *to, ok = cString(b, at); !ok {
			return n, false
		}
		at += uint64(len(*to)) + 1
	}
	return n, n.provider != "" && n.name != ""
}

// cString returns the bytes at offset at up to a NUL; ok is false where there is none.
func cString(b []byte, at uint64) (s string, ok bool) {
	if at >= uint64(len(b)) {
		return "", false
	}
	head, _, ok := bytes.Cut(b[at:], []byte{0})
	if !ok {
		return "", false
	}
	return string(head), true
}

// readAt fills p from offset at of a file of size bytes, or fails.
func readAt(r io.ReaderAt, p []byte, at uint64, size int64) error {
	if len(p) == 0 {
		return nil
	}
	if size < 0 || at > uint64(size) || uint64(len(p)) > uint64(size)-at {
		return fmt.Errorf("%w: %d bytes at %#x lie outside", ErrBadELF, len(p), at)
	}
	if n, err := r.ReadAt(p, int64(at)); n < len(p) {
		return fmt.Errorf("read %d bytes at %#x: %w", len(p), at, err)
	}
	return nil
}
