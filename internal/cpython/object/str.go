// SPDX-License-Identifier: Apache-2.0

package object

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// MaxString bounds the code points of a name or path that are read. What is longer ends in
// an ellipsis.
const MaxString = 4096

const ellipsis = "…"

// ErrNotText says that an object is no str.
var ErrNotText = errors.New("not a str object")

// Str reads a str object as UTF-8. Code points that UTF-8 has no form for (lone
// surrogates, by which Python keeps undecodable bytes of a path) become U+FFFD. cut says that
// the string was longer than MaxString and ends in an ellipsis.
func (r *Reader) Str(m process.Memory, addr uint64) (s string, cut bool, err error) {
	var room [Glance]byte
	if m.Read(addr, room[:]) != nil {
		return r.StrFrom(m, addr, nil)
	}
	return r.StrFrom(m, addr, room[:])
}

// Glance is how much is read of an object before its size is known: most often all of it. Where less is
// mapped, only what is needed is read.
const Glance = 192

// StrFrom is Str where the beginning of the object has been read, or nothing.
func (r *Reader) StrFrom(m process.Memory, addr uint64, seen []byte) (s string, cut bool, err error) {
	h, err := r.readHead(m, addr, seen)
	if err != nil {
		return "", false, err
	}
	if h.text != 0 && uint64(h.text)+h.bytes() <= uint64(len(seen)) {
		return h.decode(seen[h.text:][:h.bytes()])
	}
	chars, err := r.readChars(m, addr, h, h.bytes())
	if err != nil {
		return "", false, err
	}
	return h.decode(chars)
}

// readHead reads the head of a str object, of which the beginning has been read, or nothing.
func (r *Reader) readHead(m process.Memory, addr uint64, seen []byte) (strHead, error) {
	l := &r.Layout
	if uint32(len(seen)) >= max(l.StrLength+8, l.StrState+4) {
		return headOf(l, binary.LittleEndian.Uint64(seen[l.StrLength:]), binary.LittleEndian.Uint32(seen[l.StrState:]))
	}
	var buf [128]byte
	f, err := words.Read(m, addr, buf[:], l.StrLength, l.StrState)
	if err != nil {
		return strHead{}, err
	}
	return headOf(l, f.U64(l.StrLength), uint32(f.I32(l.StrState)))
}

// readChars reads the first n bytes of the text of a str object.
func (r *Reader) readChars(m process.Memory, addr uint64, h strHead, n uint64) ([]byte, error) {
	at := addr + uint64(h.text)
	if h.text == 0 { // an instance of a subclass, or made by the old C API
		var err error
		if at, err = words.At(m, addr+uint64(r.Layout.StrData)); err != nil {
			return nil, err
		}
	}
	chars := make([]byte, n)
	return chars, m.Read(at, chars)
}

// strHead is what a str object says of its text.
type strHead struct {
	length uint64 // in characters
	kind   uint32 // bytes of one
	text   uint32 // offset of the text in the object, 0 where it is elsewhere
}

func headOf(l *release.Layout, length uint64, state uint32) (strHead, error) {
	h := strHead{length: length, kind: state >> l.StrKindBit & 7}
	if h.kind != 1 && h.kind != 2 && h.kind != 4 || int64(length) < 0 {
		return h, ErrNotText
	}
	switch compact, ascii := state>>l.StrCompactBit&1 == 1, state>>l.StrASCIIBit&1 == 1; {
	case compact && ascii:
		h.text = l.StrASCII
	case compact:
		h.text = l.StrCompact
	}
	return h, nil
}

// bytes is how many bytes of text are to be read.
func (h strHead) bytes() uint64 { return min(h.length, MaxString) * uint64(h.kind) }

func (h strHead) decode(chars []byte) (s string, cut bool, err error) {
	if s, err = decode(chars, h.kind); err != nil {
		return "", false, err
	}
	if h.length > MaxString {
		return s + ellipsis, true, nil
	}
	return s, false, nil
}

// decode makes UTF-8 of characters of kind bytes each.
func decode(chars []byte, kind uint32) (string, error) {
	out := make([]byte, 0, len(chars)+len(chars)/2)
	for ; len(chars) > 0; chars = chars[kind:] {
		var c rune
		switch kind {
		case 1:
			c = rune(chars[0])
		case 2:
			c = rune(binary.LittleEndian.Uint16(chars))
		default:
			v := binary.LittleEndian.Uint32(chars)
			if v > utf8.MaxRune {
				return "", fmt.Errorf("%w: character %#x", ErrNotText, v)
			}
			c = rune(v)
		}
		if utf16.IsSurrogate(c) {
			c = utf8.RuneError
		}
		out = utf8.AppendRune(out, c)
	}
	return string(out), nil
}

var errLongText = errors.New("the str is too long")

// Text reads a str object of at most limit characters.
func (r *Reader) Text(m process.Memory, object uint64, limit uint64) (string, error) {
	if err := r.checkStr(m, object); err != nil {
		return "", fmt.Errorf("read str: %w", err)
	}
	h, err := r.readHead(m, object, nil)
	if err != nil {
		return "", fmt.Errorf("read str: %w", err)
	}
	if h.length > limit {
		return "", errLongText
	}
	chars, err := r.readChars(m, object, h, h.length*uint64(h.kind))
	if err != nil {
		return "", fmt.Errorf("read str: %w", err)
	}
	return decode(chars, h.kind)
}

// Name reads a str object as Str does, after a look at its type.
func (r *Reader) Name(m process.Memory, object uint64) (string, error) {
	if err := r.checkStr(m, object); err != nil {
		return "", err
	}
	name, _, err := r.Str(m, object)
	return name, err
}

// flagStr is Py_TPFLAGS_UNICODE_SUBCLASS of PyTypeObject.tp_flags, the same in all releases.
const flagStr = 1 << 28

// checkStr makes sure that an object is a str, or of a class derived from that.
func (r *Reader) checkStr(m process.Memory, object uint64) error {
	typ, err := r.TypeOf(m, object)
	if err != nil {
		return err
	}
	flags, err := words.At(m, typ+uint64(r.Layout.TypeFlags))
	if err == nil && flags&flagStr == 0 {
		return ErrNotText
	}
	return err
}
