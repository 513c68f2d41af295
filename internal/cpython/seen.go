// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/loopwatch/loopwatch/internal/process"
)

// Seen is an object of which somebody has copied the beginning at a moment that counts. What
// stands at its address by now may be another one.
type Seen struct {
	Addr   uint64
	Object []byte // its first bytes
}

// minSeen is how much there must be of an object: a small int has 32 bytes.
const minSeen = 32

// Bits of PyTypeObject.tp_flags, the same in all releases.
const (
	flagLong = 1 << 24 // Py_TPFLAGS_LONG_SUBCLASS
	flagStr  = 1 << 28 // Py_TPFLAGS_UNICODE_SUBCLASS
)

var (
	errShort   = errors.New("too little of the object was seen")
	errChanged = errors.New("another object has taken its place")
	errNoText  = errors.New("neither a str nor an int")
)

// TextOrNumber reads a str or a small int that is not negative: then isNumber is set.
func (r *Runtime) TextOrNumber(m process.Memory, o Seen) (text string, number uint64, isNumber bool, err error) {
	if len(o.Object) < minSeen {
		return "", 0, false, errShort
	}
	flags, err := readU64(m, o.word(r.Layout.ObjectType)+uint64(r.Layout.TypeFlags))
	switch {
	case err != nil:
		return "", 0, false, fmt.Errorf("read type: %w", err)
	case flags&flagStr != 0:
		text, err = r.seenStr(m, o)
		return text, 0, false, err
	case flags&flagLong != 0:
		number, err = r.seenInt(o)
		return "", number, true, err
	}
	return "", 0, false, errNoText
}

func (o Seen) word(offset uint32) uint64 { return binary.LittleEndian.Uint64(o.Object[offset:]) }

// seenInt reads an int of at most two digits, which is below 2^60, of 3.12 or later.
func (r *Runtime) seenInt(o Seen) (uint64, error) {
	// From 3.12 on the low three bits say sign and more, the others how many digits there are.
	const signMask, negative = 3, 2
	tag := o.word(r.Layout.LongSize)
	if tag>>3 > 2 || tag&signMask == negative {
		return 0, fmt.Errorf("an int of %d digits", tag>>3)
	}
	digits := o.word(r.Layout.LongDigits)
	switch tag >> 3 {
	case 0:
		return 0, nil
	case 1:
		return digits & 0xffffffff, nil
	}
	return digits&0xffffffff | digits>>32<<30, nil
}

// seenStr takes the text from what was seen, where that is all of it. Otherwise it reads the
// object, if it is still the one that was seen.
func (r *Runtime) seenStr(m process.Memory, o Seen) (string, error) {
	l := &r.Layout
	if len(o.Object) < int(l.StrState)+4 {
		return "", errShort
	}
	h, err := l.strHead(o.word(l.StrLength), binary.LittleEndian.Uint32(o.Object[l.StrState:]))
	if err != nil {
		return "", err
	}
	if end := uint64(h.text) + h.bytes(); h.text != 0 && end <= uint64(len(o.Object)) {
		s, _, err := h.decode(o.Object[h.text:end])
		return s, err
	}
	s, _, err := r.readStr(m, o.Addr)
	if err != nil {
		return "", err
	}
	now := Seen{o.Addr, make([]byte, len(o.Object))}
	if err := m.Read(o.Addr, now.Object); err != nil {
		return "", err
	}
	again, err := l.strHead(now.word(l.StrLength), binary.LittleEndian.Uint32(now.Object[l.StrState:]))
	text := min(int(h.text), len(o.Object))
	if err != nil || again != h || now.word(l.ObjectType) != o.word(l.ObjectType) ||
		h.text != 0 && !bytes.Equal(now.Object[text:], o.Object[text:]) {
		return "", errChanged
	}
	return s, nil
}
