// SPDX-License-Identifier: Apache-2.0

// Package safetext makes strings of foreign origin fit for a terminal line. Names, paths and
// command lines of watched processes come in; text without anything a terminal would obey
// goes out, measured and cut by display columns. The text writer and the command line use it
// for every string they did not make themselves.
package safetext

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"
)

// Ellipsis stands where Cut and Middle left something out.
const Ellipsis = "…"

// maxBytes bounds the work per string: no terminal line shows more, and a watched process
// chooses how long its names are.
const maxBytes = 16 << 10

// Line returns s as one printable line. Control characters, line and paragraph separators,
// format characters that reorder or hide text, unassigned and private code points, and bytes
// that are no UTF-8 are spelled out as escapes (\n, \x1b, \u202e); every space is a plain
// one. What is longer than 16 KiB loses its middle.
func Line(s string) string {
	s = middleBytes(s, maxBytes)
	if clean(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	marks := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case r == utf8.RuneError && n == 1:
			escapeByte(&b, s[i])
		case r == ' ' || unicode.Is(unicode.Zs, r):
			b.WriteByte(' ')
		case printable(r) && marks <= maxMarks:
			b.WriteRune(r)
		default:
			escapeRune(&b, r)
		}
		i += n
	}
	return middleBytes(b.String(), maxBytes) // what is spelled out is longer
}

// maxMarks is how many combining marks in a row are shown: no script in use stacks more,
// and a longer pile paints over the neighbouring lines.
const maxMarks = 4

// clean reports whether s, being plain printable ASCII, needs no look at its runes.
func clean(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// printable reports whether a terminal shows r as a glyph and does nothing else with it.
// unicode.IsPrint leaves out all of Cc, Cf, Cs, Co, Cn, Zl and Zp, which covers the
// bidirectional marks and isolates (U+200E-F, U+202A-E, U+2066-9), zero-width characters
// and the byte order mark. Variation selectors and fillers are marks and letters by
// category, yet invisible.
func printable(r rune) bool {
	return unicode.IsPrint(r) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) &&
		!unicode.Is(unicode.Variation_Selector, r)
}

const hexDigits = "0123456789abcdef"

func escapeByte(b *strings.Builder, c byte) {
	b.WriteString(`\x`)
	b.WriteByte(hexDigits[c>>4])
	b.WriteByte(hexDigits[c&15])
}

func escapeRune(b *strings.Builder, r rune) {
	switch {
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == '\t':
		b.WriteString(`\t`)
	case r < 0x80:
		escapeByte(b, byte(r))
	case r > 0xffff:
		b.WriteString(`\U`)
		escapeDigits(b, r, 8)
	default:
		b.WriteString(`\u`)
		escapeDigits(b, r, 4)
	}
}

func escapeDigits(b *strings.Builder, r rune, digits int) {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b.WriteByte(hexDigits[(r>>shift)&15])
	}
}

// Width returns how many terminal columns s takes; s should be a result of Line.
func Width(s string) int { return displaywidth.String(s) }

// Cut returns s in at most columns display columns, ending in an ellipsis where something
// was left out. s should be a result of Line.
func Cut(s string, columns int) string {
	if columns <= 0 {
		return ""
	}
	if Width(s) <= columns {
		return s
	}
	return head(s, columns-1) + Ellipsis
}

// Middle returns s in at most columns display columns, an ellipsis in its middle where
// something was left out: the ends of a path or a qualified name tell most. s should be a
// result of Line.
func Middle(s string, columns int) string {
	if columns <= 0 {
		return ""
	}
	if Width(s) <= columns {
		return s
	}
	left := (columns - 1) / 2
	return head(s, left) + Ellipsis + tail(s, columns-1-left)
}

// Pad returns s filled with spaces to columns display columns, or s itself where it is wider.
func Pad(s string, columns int) string {
	if missing := columns - Width(s); missing > 0 {
		return s + strings.Repeat(" ", missing)
	}
	return s
}

// head returns the longest start of s, in whole graphemes, of at most columns columns.
func head(s string, columns int) string {
	used, end := 0, 0
	for g := displaywidth.StringGraphemes(s); g.Next(); {
		if used+g.Width() > columns {
			break
		}
		used += g.Width()
		end += len(g.Value())
	}
	return s[:end]
}

// tail returns the longest end of s, in whole graphemes, of at most columns columns.
func tail(s string, columns int) string {
	drop, start := Width(s)-columns, 0
	for g := displaywidth.StringGraphemes(s); drop > 0 && g.Next(); {
		drop -= g.Width()
		start += len(g.Value())
	}
	return s[start:]
}

// JSON returns encoded JSON that says the same and does nothing to a terminal: what Line would spell
// out is written as \u escapes. encoding/json does so for ASCII's control characters alone.
func JSON(encoded []byte) []byte {
	if plainASCII(encoded) {
		return encoded
	}
	out := make([]byte, 0, len(encoded)+64)
	marks := 0
	for len(encoded) > 0 {
		r, n := utf8.DecodeRune(encoded)
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case marks <= maxMarks && (r < 0x7f || r != utf8.RuneError && (printable(r) || unicode.Is(unicode.Zs, r))):
			out = append(out, encoded[:n]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		encoded = encoded[n:]
	}
	return out
}

func plainASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x7f {
			return false
		}
	}
	return true
}

// Bound returns s as valid UTF-8 of at most limit bytes, an ellipsis in its middle where
// something was left out. Unlike Line it keeps control characters: machine formats escape
// them themselves, or by JSON.
func Bound(s string, limit int) string {
	if len(s) <= limit && utf8.ValidString(s) {
		return s
	}
	// Every invalid byte becomes three, so the cut comes after the repair; the first cut
	// only bounds the repair.
	s = strings.ToValidUTF8(middleBytes(s, limit), "\uFFFD")
	return middleBytes(s, limit)
}

// middleBytes returns s in at most limit bytes, cut in the middle between runes.
func middleBytes(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	room := limit - len(Ellipsis)
	if room <= 0 {
		return ""
	}
	left, right := room/2, len(s)-(room-room/2)
	for i := 0; i < utf8.UTFMax && left > 0 && !utf8.RuneStart(s[left]); i++ {
		left--
	}
	for i := 0; i < utf8.UTFMax && right < len(s) && !utf8.RuneStart(s[right]); i++ {
		right++
	}
	return s[:left] + Ellipsis + s[right:]
}
