// SPDX-License-Identifier: Apache-2.0

package object

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython/release"
)

// image of memory that begins at base.
type region struct {
	base uint64
	b    []byte
}

var errUnmapped = errors.New("not mapped")

func (r region) Read(addr uint64, p []byte) error {
	if addr < r.base || addr-r.base > uint64(len(r.b)) || uint64(len(p)) > uint64(len(r.b))-(addr-r.base) {
		return errUnmapped
	}
	copy(p, r.b[addr-r.base:])
	return nil
}

func (r region) put(addr, value uint64) { binary.LittleEndian.PutUint64(r.b[addr-r.base:], value) }

const (
	base    = 0x10000
	strType = 0x100
	intType = 0x200
)

var testTypes = TextTypes{Str: strType, Int: intType}

// str puts a compact str at addr.
func (r region) str(l *release.Layout, addr uint64, text string) {
	r.put(addr+uint64(l.ObjectType), strType)
	ascii := strings.IndexFunc(text, func(c rune) bool { return c >= utf8.RuneSelf }) < 0
	chars := []rune(text)
	r.put(addr+uint64(l.StrLength), uint64(len(chars)))
	state := uint32(1) << l.StrCompactBit
	if ascii {
		copy(r.b[addr-r.base+uint64(l.StrASCII):], text)
		state |= 1<<l.StrASCIIBit | 1<<l.StrKindBit
	} else {
		for i, c := range chars {
			binary.LittleEndian.PutUint32(r.b[addr-r.base+uint64(l.StrCompact)+4*uint64(i):], uint32(c))
		}
		state |= 4 << l.StrKindBit
	}
	binary.LittleEndian.PutUint32(r.b[addr-r.base+uint64(l.StrState):], state)
}

func (r region) seen(addr uint64, n int) Seen {
	return Seen{addr, append([]byte(nil), r.b[addr-r.base:][:n]...)}
}

// measured returns the layout of a release that does not describe itself.
func measured(t testing.TB, minor uint8) release.Layout {
	layout, err := release.Measured(release.MakeVersion(3, minor, 0))
	require.NoError(t, err)
	return layout
}

func TestSeenText(t *testing.T) {
	for minor := uint8(8); minor <= 12; minor++ {
		layout := measured(t, minor)
		r := &Reader{Layout: layout}
		for _, text := range []string{"Task-1", "", strings.Repeat("long", 100), "größe", strings.Repeat("☃", 300), "\x1b[31m"} {
			m := region{base, make([]byte, 8192)}
			const at = base + 64
			m.str(&layout, at, text)
			seen := m.seen(at, 128)
			got, _, isNumber, err := r.TextOrNumber(m, testTypes, seen)
			require.NoError(t, err)
			require.False(t, isNumber)
			require.Equal(t, text, got, "3.%d", minor)

			// The object is gone, or its memory.
			for _, now := range []region{{base, make([]byte, 8192)}, {}} {
				got, _, _, err = r.TextOrNumber(now, testTypes, seen)
				require.NoError(t, err)
				before, _, cut := strings.Cut(got, ellipsis)
				require.True(t, strings.HasPrefix(text, before))
				require.Equal(t, len(text) > 60, cut, "%q", got)
			}
			// Another one is there.
			m.str(&layout, at, strings.Repeat("else", len(text)/4+1))
			got, _, _, err = r.TextOrNumber(m, testTypes, seen)
			require.NoError(t, err)
			before, _, _ := strings.Cut(got, ellipsis)
			require.True(t, strings.HasPrefix(text, before), "%q", got)
		}
	}
}

func TestSeenNumber(t *testing.T) {
	layout := measured(t, 12)
	r := &Reader{Layout: layout}
	m := region{base, make([]byte, 64)}
	m.put(base+uint64(layout.ObjectType), intType)
	for _, test := range []struct{ tag, digits, want uint64 }{
		{0<<3 | 1, 99, 0}, {1 << 3, 17, 17}, {1 << 3, 1<<30 - 1, 1<<30 - 1}, {2 << 3, 5 | 7<<32, 7<<30 | 5},
	} {
		m.put(base+uint64(layout.LongSize), test.tag)
		m.put(base+uint64(layout.LongDigits), test.digits)
		_, got, isNumber, err := r.TextOrNumber(m, testTypes, m.seen(base, 32))
		require.NoError(t, err)
		require.True(t, isNumber)
		require.Equal(t, test.want, got)
	}
	for _, tag := range []uint64{1<<3 | 2, 3 << 3, 1 << 63} { // negative, long, absurd
		m.put(base+uint64(layout.LongSize), tag)
		_, _, _, err := r.TextOrNumber(m, testTypes, m.seen(base, 32))
		require.Error(t, err)
	}
}

// FuzzForeignObjects reads whatever there is as what it should be: it must end, in bounds.
func FuzzForeignObjects(f *testing.F) {
	m := region{base, make([]byte, 512)}
	layout := measured(f, 12)
	m.str(&layout, base, "Task-1")
	f.Add(12, m.b, 128)
	f.Add(8, m.b[:100], 56)
	m.put(base+uint64(layout.ObjectType), intType)
	f.Add(12, m.b, 32)
	f.Fuzz(func(t *testing.T, minor int, memory []byte, n int) {
		layout, err := release.Measured(release.MakeVersion(3, uint8(minor), 0))
		if err != nil {
			return
		}
		r := &Reader{Layout: layout}
		m := region{base, memory}
		seen := Seen{base, memory[:min(max(n, 0), len(memory), 128)]}
		text, _, _, err := r.TextOrNumber(m, testTypes, seen)
		if err == nil {
			assert.True(t, utf8.ValidString(text))
			assert.LessOrEqual(t, utf8.RuneCountInString(text), MaxString+1)
		}
		entries, err := r.Dict(m, base)
		if err == nil {
			assert.LessOrEqual(t, len(entries), MaxDict)
			_, _ = r.Item(m, base, "key")
		}
		_, _ = r.Module(m, base, "asyncio.tasks")
	})
}

// TestLayoutsOfTheProcesssOwnMaking: a process may say that its objects keep things anywhere.
func TestLayoutsOfTheProcesssOwnMaking(t *testing.T) {
	m := region{base, make([]byte, 8192)}
	for _, field := range []func(l *release.Layout) *uint32{
		func(l *release.Layout) *uint32 { return &l.StrLength }, func(l *release.Layout) *uint32 { return &l.StrState },
		func(l *release.Layout) *uint32 { return &l.LongSize }, func(l *release.Layout) *uint32 { return &l.LongDigits },
		func(l *release.Layout) *uint32 { return &l.ObjectType },
	} {
		for _, at := range []uint32{24, 56, 60, 120, 124, 4088} {
			layout := measured(t, 12)
			m.put(base+uint64(layout.ObjectType), intType)
			*field(&layout) = at
			r := &Reader{Layout: layout}
			assert.False(t, r.IsText(m, base, "key"))
			for _, types := range []TextTypes{{Str: intType}, {Int: intType}, {Str: 0}, {Int: 0}} {
				_, _, _, _ = r.TextOrNumber(m, types, m.seen(base, 64))
			}
		}
	}
}
