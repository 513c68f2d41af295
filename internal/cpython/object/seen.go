// SPDX-License-Identifier: Apache-2.0

package object

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/loopwatch/loopwatch/internal/cpython/words"
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

var (
	errShort   = errors.New("too little of the object was seen")
	errChanged = errors.New("another object has taken its place")
	errNoText  = errors.New("neither a str nor an int")
)

// TextTypes are the types whose instances are read as text or number, by address. They are told
// beforehand because an object is often read when its process has ended.
type TextTypes struct{ Str, Int uint64 }

// TextTypes finds the types of an interpreter.
func (r *Reader) TextTypes(m process.Memory, interp uint64) (TextTypes, error) {
	var types TextTypes
	builtins, err := r.Module(m, interp, "builtins")
	if err != nil {
		return types, err
	}
	if types.Str, err = r.Item(m, builtins, "str"); err != nil {
		return types, err
	}
	types.Int, err = r.Item(m, builtins, "int")
	return types, err
}

// TextOrNumber reads a str or a small int that is not negative: then isNumber is set.
func (r *Reader) TextOrNumber(m process.Memory, types TextTypes, o Seen) (text string, number uint64, isNumber bool, err error) {
	if len(o.Object) < minSeen || !o.has(r.Layout.ObjectType) {
		return "", 0, false, errShort
	}
	switch typ := o.word(r.Layout.ObjectType); {
	case typ == types.Str:
		text, err = r.seenStr(m, o)
		return text, 0, false, err
	case typ == types.Int:
		number, err = r.seenInt(o)
		return "", number, true, err
	default: // of a subclass
		flags, err := words.At(m, typ+uint64(r.Layout.TypeFlags))
		if err != nil {
			return "", 0, false, fmt.Errorf("read type: %w", err)
		}
		if flags&flagStr == 0 {
			return "", 0, false, errNoText
		}
		text, err = r.seenStr(m, o)
		return text, 0, false, err
	}
}

// has reports whether the word at an offset was seen: a process may say anything of how its objects are laid out.
func (o Seen) has(offset uint32) bool { return uint64(offset)+8 <= uint64(len(o.Object)) }

func (o Seen) word(offset uint32) uint64 { return binary.LittleEndian.Uint64(o.Object[offset:]) }

// seenInt reads an int of at most two digits, which is below 2^60, of 3.12 or later.
func (r *Reader) seenInt(o Seen) (uint64, error) {
	// From 3.12 on the low three bits say sign and more, the others how many digits there are.
	const signMask, negative = 3, 2
	if !o.has(r.Layout.LongSize) || !o.has(r.Layout.LongDigits) {
		return 0, errShort
	}
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
// object; if that is no longer the one that was seen, what was seen of the text has to do, with an
// ellipsis behind it.
func (r *Reader) seenStr(m process.Memory, o Seen) (string, error) {
	l := &r.Layout
	if len(o.Object) < int(l.StrState)+4 || !o.has(l.StrLength) {
		return "", errShort
	}
	h, err := headOf(l, o.word(l.StrLength), binary.LittleEndian.Uint32(o.Object[l.StrState:]))
	if err != nil {
		return "", err
	}
	var text []byte // as far as it was seen
	if h.text != 0 && int(h.text) < len(o.Object) {
		text = o.Object[h.text:]
		text = text[:min(uint64(len(text)), h.bytes())/uint64(h.kind)*uint64(h.kind)]
	}
	if h.text != 0 && uint64(len(text)) == h.bytes() {
		s, _, err := h.decode(text)
		return s, err
	}
	if s, err := r.stillStr(m, o, h, text); err == nil || len(text) == 0 {
		return s, err
	}
	s, err := decode(text, h.kind)
	return s + ellipsis, err
}

// stillStr reads a str of which the head and the beginning of the text are known.
func (r *Reader) stillStr(m process.Memory, o Seen, h strHead, text []byte) (string, error) {
	l := &r.Layout
	s, _, err := r.Str(m, o.Addr)
	if err != nil {
		return "", err
	}
	now := Seen{o.Addr, make([]byte, len(o.Object))}
	if err := m.Read(o.Addr, now.Object); err != nil {
		return "", err
	}
	again, err := headOf(l, now.word(l.StrLength), binary.LittleEndian.Uint32(now.Object[l.StrState:]))
	if err != nil || again != h || now.word(l.ObjectType) != o.word(l.ObjectType) ||
		len(text) > 0 && !bytes.Equal(now.Object[h.text:int(h.text)+len(text)], text) {
		return "", errChanged
	}
	return s, nil
}
