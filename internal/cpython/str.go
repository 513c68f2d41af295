// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/loopwatch/loopwatch/internal/process"
)

// MaxString bounds the code points of a name or path that are read. What is longer ends in
// an ellipsis.
const MaxString = 4096

const ellipsis = "…"

var errBadStr = errors.New("not a str object")

// readStr reads a str object as UTF-8. Code points that UTF-8 has no form for (lone
// surrogates, by which Python keeps undecodable bytes of a path) become U+FFFD. cut says that
// the string was longer than MaxString and ends in an ellipsis.
func (r *Runtime) readStr(m process.Memory, addr uint64) (s string, cut bool, err error) {
	l := &r.Layout
	var buf [128]byte
	f, err := readFields(m, addr, buf[:], l.StrLength, l.StrState)
	if err != nil {
		return "", false, err
	}
	state := uint32(f.i32(l.StrState))
	kind := state >> l.StrKindBit & 7 // bytes of a character
	if kind != 1 && kind != 2 && kind != 4 {
		return "", false, errBadStr
	}
	at := addr
	switch compact, ascii := state>>l.StrCompactBit&1 == 1, state>>l.StrASCIIBit&1 == 1; {
	case compact && ascii:
		at += uint64(l.StrASCII)
	case compact:
		at += uint64(l.StrCompact)
	default: // an instance of a subclass, or made by the old C API
		if at, err = readU64(m, addr+uint64(l.StrData)); err != nil {
			return "", false, err
		}
	}
	length := f.u64(l.StrLength)
	if int64(length) < 0 {
		return "", false, errBadStr
	}
	n := min(length, MaxString)
	chars := make([]byte, n*uint64(kind))
	if err := m.Read(at, chars); err != nil {
		return "", false, err
	}
	if s, err = decode(chars, kind); err != nil {
		return "", false, err
	}
	if length > n {
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
				return "", fmt.Errorf("%w: character %#x", errBadStr, v)
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
