// SPDX-License-Identifier: Apache-2.0

// Package words reads structures of known layout out of another process's memory. In go an address and the offsets of what is
// wanted; out come words, read with as few calls as can be: each costs a system call. Numbers are little-endian.
package words

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/loopwatch/loopwatch/internal/process"
)

// At reads the word at an address.
func At(m process.Memory, addr uint64) (uint64, error) {
	var b [8]byte
	err := m.Read(addr, b[:])
	return binary.LittleEndian.Uint64(b[:]), err
}

// Fields is the part of a structure that some offsets span. Layouts keep offsets below release.MaxOffset, so it stays small.
type Fields struct {
	from uint32
	b    []byte
}

// Read reads from the structure at addr the 8 bytes at each of the offsets, and what lies between. buf is made use of if it is
// large enough.
func Read(m process.Memory, addr uint64, buf []byte, offsets ...uint32) (Fields, error) {
	from, to := Span(offsets)
	f := Fields{from, slices.Grow(buf[:0], int(to-from))[:to-from]}
	return f, m.Read(addr+uint64(from), f.b)
}

// Seen returns the fields of a structure of which what begins at the offset from has been read.
func Seen(from uint32, b []byte) Fields { return Fields{from, b} }

// Span returns the range of offsets that the 8 bytes at each of these lie in.
func Span(offsets []uint32) (from, to uint32) { return slices.Min(offsets), slices.Max(offsets) + 8 }

// U64 returns the word at an offset.
func (f Fields) U64(offset uint32) uint64 { return binary.LittleEndian.Uint64(f.b[offset-f.from:]) }

// I32 returns the 32 bits at an offset.
func (f Fields) I32(offset uint32) int32 {
	return int32(binary.LittleEndian.Uint32(f.b[offset-f.from:]))
}

// U8 returns the byte at an offset.
func (f Fields) U8(offset uint32) uint8 { return f.b[offset-f.from] }

// Window reads a page at a time, and keeps the last one: what is read one after the other often lies side by side. It is for
// one moment only.
type Window struct {
	Memory process.Memory
	page   [windowSize]byte
	addr   uint64 // of page
	ok     bool
}

const windowSize = 4096 // no page is smaller

// Read reads as process.Memory says.
func (w *Window) Read(addr uint64, p []byte) error {
	page := addr &^ (windowSize - 1)
	if addr+uint64(len(p)) > page+windowSize {
		return w.Memory.Read(addr, p)
	}
	if !w.ok || w.addr != page {
		w.addr, w.ok = page, w.Memory.Read(page, w.page[:]) == nil
	}
	if !w.ok {
		return w.Memory.Read(addr, p)
	}
	copy(p, w.page[addr-page:])
	return nil
}

// Array reads n words that lie side by side.
func Array(m process.Memory, addr, n uint64) ([]uint64, error) {
	b := make([]byte, 8*n)
	if err := m.Read(addr, b); err != nil {
		return nil, err
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return out, nil
}

var errUnread = errors.New("it cannot be read")

// AtEach reads the word at an offset from each address, some at a time.
func AtEach(m process.Memory, addrs []uint64, offset uint64) ([]uint64, error) {
	const some = 512
	out := make([]uint64, 0, len(addrs))
	room := make([]byte, 8*min(some, len(addrs)))
	places := make([]process.Place, 0, min(some, len(addrs)))
	for ; len(addrs) > 0; addrs = addrs[min(some, len(addrs)):] {
		places = places[:0]
		for i, addr := range addrs[:min(some, len(addrs))] {
			places = append(places, process.Place{Addr: addr + offset, P: room[8*i : 8*i+8]})
		}
		process.ReadEach(m, places)
		for _, p := range places {
			if !p.OK {
				return nil, errUnread
			}
			out = append(out, binary.LittleEndian.Uint64(p.P))
		}
	}
	return out, nil
}
