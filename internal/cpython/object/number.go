// SPDX-License-Identifier: Apache-2.0

package object

import (
	"encoding/binary"

	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Unsigned reads an int of at most three digits, which are 64 bits and more, that is not negative.
func (r *Reader) Unsigned(m process.Memory, object uint64) (n uint64, ok bool) {
	l := &r.Layout
	size, err := words.At(m, object+uint64(l.LongSize))
	if err != nil {
		return 0, false
	}
	if r.Version.Minor() >= 12 { // the low three bits say sign and more: 2 is negative
		if size&3 == 2 {
			return 0, false
		}
		size >>= 3
	}
	const most = 3
	switch {
	case size == 0:
		return 0, true
	case size > most:
		return 0, false
	}
	var b [4 * most]byte
	if m.Read(object+uint64(l.LongDigits), b[:4*size]) != nil {
		return 0, false
	}
	for i := range size {
		n |= uint64(binary.LittleEndian.Uint32(b[4*i:])) << (30 * i)
	}
	return n, true
}
