// SPDX-License-Identifier: Apache-2.0

package elffile

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func open(b []byte) (*File, error) { return Open(bytes.NewReader(b), int64(len(b))) }

// own is the program that runs this test.
func own(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	return b
}

// TestOpen holds what is read of a real file against debug/elf.
func TestOpen(t *testing.T) {
	b := own(t)
	f, err := open(b)
	require.NoError(t, err)
	want, err := elf.NewFile(bytes.NewReader(b))
	require.NoError(t, err)
	assert.EqualValues(t, want.Machine, f.Machine)
	var loads []Segment
	for _, p := range want.Progs {
		if p.Type == elf.PT_LOAD {
			loads = append(loads, Segment{Flags: uint32(p.Flags), Offset: p.Off, Addr: p.Vaddr, FileSize: p.Filesz, MemSize: p.Memsz})
		}
	}
	require.NotEmpty(t, loads)
	assert.Equal(t, loads, f.Segments)
	require.Len(t, f.Sections, len(want.Sections))
	for i, s := range want.Sections {
		assert.Equal(t, Section{Name: s.Name, Kind: uint32(s.Type), Link: s.Link, Addr: s.Addr, Offset: s.Offset, Size: s.FileSize}, f.Sections[i])
	}
	got := make([]byte, 4)
	require.NoError(t, f.Read(got, uint64(len(b)-4)))
	assert.Equal(t, b[len(b)-4:], got)
	for _, at := range []uint64{uint64(len(b) - 3), uint64(len(b)), 1 << 40, ^uint64(0)} {
		assert.ErrorIs(t, f.Read(got, at), ErrMalformed)
	}
}

func TestRefused(t *testing.T) {
	for _, b := range [][]byte{nil, []byte("#!/bin/sh\n"), bytes.Repeat([]byte{0x7f}, 100)} {
		_, err := open(b)
		assert.ErrorIs(t, err, ErrNotELF)
	}
	changed := func(at int, value ...byte) error {
		b := bytes.Clone(own(t)[:4096])
		copy(b[at:], value)
		_, err := open(b)
		return err
	}
	assert.ErrorIs(t, changed(4, 1), Err32Bit)
	assert.ErrorIs(t, changed(5, 2), ErrNotELF, "big-endian")
	assert.ErrorIs(t, changed(54, 1), ErrMalformed, "size of a program header")
	assert.ErrorIs(t, changed(56, 0xff, 0xff), ErrMalformed, "number of program headers")
	assert.ErrorIs(t, changed(40, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), ErrMalformed, "place of the section headers")
	assert.NoError(t, changed(40, 0, 0, 0, 0, 0, 0, 0, 0), "without sections")
}

// FuzzOpen: whatever a file says, what is read of it is bounded.
func FuzzOpen(f *testing.F) {
	b := make([]byte, headerSize+segmentSize+2*sectionSize+16)
	copy(b, "\x7fELF\x02\x01")
	for at, value := range map[int]uint16{54: segmentSize, 56: 1, 58: sectionSize, 60: 2, 62: 1} {
		binary.LittleEndian.PutUint16(b[at:], value)
	}
	binary.LittleEndian.PutUint64(b[32:], headerSize)
	binary.LittleEndian.PutUint64(b[40:], headerSize+segmentSize)
	binary.LittleEndian.PutUint32(b[headerSize:], segmentLoad)
	names := b[headerSize+segmentSize+sectionSize:]
	binary.LittleEndian.PutUint64(names[24:], uint64(len(b)-16))
	binary.LittleEndian.PutUint64(names[32:], 16)
	copy(b[len(b)-16:], "\x00.note\x00")
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := open(b)
		if err != nil {
			require.Nil(t, file)
			return
		}
		require.LessOrEqual(t, len(file.Segments), MaxSegments)
		require.LessOrEqual(t, len(file.Sections), MaxSections)
		for _, s := range file.Sections {
			require.LessOrEqual(t, len(s.Name), longestOfOne)
		}
	})
}
