// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"encoding/binary"
	"slices"

	"github.com/loopwatch/loopwatch/internal/process"
)

func readU64(m process.Memory, addr uint64) (uint64, error) {
	var b [8]byte
	err := m.Read(addr, b[:])
	return binary.LittleEndian.Uint64(b[:]), err
}

// fields reads the part of a structure that some offsets span, in one go: a read of foreign
// memory costs a system call. Layouts keep offsets below release.MaxOffset, so it stays small.
type fields struct {
	from uint32
	b    []byte
}

// readFields reads from the structure at addr the 8 bytes at each of the offsets, and what
// lies between.
func readFields(m process.Memory, addr uint64, buf []byte, offsets ...uint32) (fields, error) {
	from, to := span(offsets)
	f := fields{from, slices.Grow(buf[:0], int(to-from))[:to-from]}
	return f, m.Read(addr+uint64(from), f.b)
}

// span returns the range of offsets that the 8 bytes at each of these lie in.
func span(offsets []uint32) (from, to uint32) { return slices.Min(offsets), slices.Max(offsets) + 8 }

func (f fields) u64(offset uint32) uint64 { return binary.LittleEndian.Uint64(f.b[offset-f.from:]) }
func (f fields) i32(offset uint32) int32 {
	return int32(binary.LittleEndian.Uint32(f.b[offset-f.from:]))
}
func (f fields) u8(offset uint32) uint8 { return f.b[offset-f.from] }

// window reads a page at a time, and keeps the last one: what is read one after the other often lies side by side. It is for
// one moment only.
type window struct {
	memory process.Memory
	page   [windowSize]byte
	addr   uint64 // of page
	ok     bool
}

const windowSize = 4096 // no page is smaller

// Read reads as process.Memory says.
func (w *window) Read(addr uint64, p []byte) error {
	page := addr &^ (windowSize - 1)
	if addr+uint64(len(p)) > page+windowSize {
		return w.memory.Read(addr, p)
	}
	if !w.ok || w.addr != page {
		w.addr, w.ok = page, w.memory.Read(page, w.page[:]) == nil
	}
	if !w.ok {
		return w.memory.Read(addr, p)
	}
	copy(p, w.page[addr-page:])
	return nil
}
