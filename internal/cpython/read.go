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
	from, to := slices.Min(offsets), slices.Max(offsets)+8
	f := fields{from, slices.Grow(buf[:0], int(to-from))[:to-from]}
	return f, m.Read(addr+uint64(from), f.b)
}

func (f fields) u64(offset uint32) uint64 { return binary.LittleEndian.Uint64(f.b[offset-f.from:]) }
func (f fields) i32(offset uint32) int32 {
	return int32(binary.LittleEndian.Uint32(f.b[offset-f.from:]))
}
func (f fields) u8(offset uint32) uint8 { return f.b[offset-f.from] }
