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

	"github.com/loopwatch/loopwatch/internal/elffile"
)

// Bounds. CPython has some twenty sites.
const (
	maxNotes = 1 << 20 // bytes of notes
	maxSites = 256     // of one provider
)

// Numbers of the ELF-64 format (System V gABI, and elf.h).
const (
	machineAMD64 = 62
	machineARM64 = 183

	flagExecute = 1
	flagWrite   = 2

	sectionNotes = 7
	noteSTAPSDT  = 3 // NT_STAPSDT, of owner "stapsdt"
)

// ErrMachine is an error of Parse, as are those of elffile. A file without probes is none.
var ErrMachine = errors.New("not for x86-64 or arm64")

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

// place returns the offset in the file of the size bytes at addr, if a segment with these flags
// and without those holds them.
func place(segments []elffile.Segment, addr, size uint64, with, without uint32) (uint64, bool) {
	for _, s := range segments {
		if s.Flags&with == with && s.Flags&without == 0 && addr >= s.Addr && size <= s.FileSize && addr-s.Addr <= s.FileSize-size {
			return s.Offset + addr - s.Addr, true
		}
	}
	return 0, false
}

// Parse returns the sites of one provider in an ELF file of size bytes, in the order of the notes.
func Parse(r io.ReaderAt, size int64, provider string) (*File, error) {
	file, err := elffile.Open(r, size)
	if err != nil {
		return nil, err
	}
	if file.Machine != machineAMD64 && file.Machine != machineARM64 {
		return nil, ErrMachine
	}
	notes, base, err := readNotes(file)
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
			f.add(file, raw, base)
		}
	}
	return f, nil
}

// add checks a site and enters it.
func (f *File) add(file *elffile.File, raw rawNote, base uint64) {
	s := Site{Name: raw.name, Addr: raw.addr, Semaphore: raw.semaphore, RawArgs: raw.args}
	// Prelink moves a file's addresses and leaves its notes: the section .stapsdt.base moved
	// along, and where it was stands in the note.
	if base != 0 && raw.base != 0 {
		s.Addr += base - raw.base
		if s.Semaphore != 0 {
			s.Semaphore += base - raw.base
		}
	}
	nop := nops[file.Machine]
	var ok bool
	if s.Offset, ok = place(file.Segments, s.Addr, uint64(len(nop)), flagExecute, 0); !ok {
		f.Refused[RefusedCode]++
		return
	}
	there := make([]byte, len(nop))
	if err := file.Read(there, s.Offset); err != nil || !bytes.Equal(there, nop) {
		f.Refused[RefusedNop]++ // a breakpoint is put on a nop and on nothing else
		return
	}
	if s.Semaphore != 0 {
		if s.SemaphoreOffset, ok = place(file.Segments, s.Semaphore, 2, flagWrite, flagExecute); !ok || s.SemaphoreOffset == 0 {
			f.Refused[RefusedSemaphore]++
			return
		}
	}
	var refused int
	s.Args, refused = parseArgs(raw.args, file.Machine)
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

// readNotes returns the contents of .note.stapsdt, nothing where there is none, and the address of
// .stapsdt.base, 0 where there is none.
func readNotes(file *elffile.File) (notes []byte, base uint64, err error) {
	for _, s := range file.Sections {
		switch s.Name {
		case ".stapsdt.base":
			base = s.Addr
		case ".note.stapsdt":
			if s.Kind != sectionNotes || notes != nil {
				continue
			}
			if s.Size > maxNotes {
				return nil, 0, fmt.Errorf("%w: %d bytes of notes", elffile.ErrMalformed, s.Size)
			}
			notes = make([]byte, s.Size)
			if err := file.Read(notes, s.Offset); err != nil {
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
		return note{}, nil, elffile.ErrMalformed
	}
	ownerSize, descSize := uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[4:]))
	n := note{kind: binary.LittleEndian.Uint32(b[8:])}
	b = b[12:]
	padded := func(n uint64) uint64 { return (n + 3) &^ 3 }
	if ownerSize > uint64(len(b)) || padded(ownerSize)+descSize > uint64(len(b)) {
		return note{}, nil, elffile.ErrMalformed
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
