// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/process"
)

// MaxString bounds the code points of a name or path that are read. What is longer ends in
// an ellipsis.
const MaxString = 4096

const ellipsis = "…"

// ErrNotText says that an object is no str.
var ErrNotText = errors.New("not a str object")

// readStr reads a str object as UTF-8. Code points that UTF-8 has no form for (lone
// surrogates, by which Python keeps undecodable bytes of a path) become U+FFFD. cut says that
// the string was longer than MaxString and ends in an ellipsis.
func (r *Runtime) readStr(m process.Memory, addr uint64) (s string, cut bool, err error) {
	var room [glance]byte
	if m.Read(addr, room[:]) != nil {
		return r.readStrFrom(m, addr, nil)
	}
	return r.readStrFrom(m, addr, room[:])
}

// glance is how much is read of an object before its size is known: most often all of it. Where less is
// mapped, only what is needed is read.
const glance = 192

// readStrFrom is readStr where the beginning of the object has been read, or nothing.
func (r *Runtime) readStrFrom(m process.Memory, addr uint64, seen []byte) (s string, cut bool, err error) {
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
func (r *Runtime) readHead(m process.Memory, addr uint64, seen []byte) (strHead, error) {
	l := &r.Layout
	if uint32(len(seen)) >= max(l.StrLength+8, l.StrState+4) {
		return headOf(l, binary.LittleEndian.Uint64(seen[l.StrLength:]), binary.LittleEndian.Uint32(seen[l.StrState:]))
	}
	var buf [128]byte
	f, err := readFields(m, addr, buf[:], l.StrLength, l.StrState)
	if err != nil {
		return strHead{}, err
	}
	return headOf(l, f.u64(l.StrLength), uint32(f.i32(l.StrState)))
}

// readChars reads the first n bytes of the text of a str object.
func (r *Runtime) readChars(m process.Memory, addr uint64, h strHead, n uint64) ([]byte, error) {
	at := addr + uint64(h.text)
	if h.text == 0 { // an instance of a subclass, or made by the old C API
		var err error
		if at, err = readU64(m, addr+uint64(r.Layout.StrData)); err != nil {
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
