// SPDX-License-Identifier: Apache-2.0

package native

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/elffile"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/process"
)

type symbol struct {
	name       string
	addr, size uint64
	kind       byte // typeFunction if 0
	undefined  bool
}

// Where a made file has its code: the offset, and the address it says that this is.
const codeOffset, codeAddr = 0x1000, 0x401000

// made makes an ELF file with symbols in a table of a kind.
func made(kind uint32, symbols ...symbol) []byte {
	var head, table, names bytes.Buffer
	names.WriteByte(0)
	table.Write(make([]byte, elffile.SymbolSize))
	for _, s := range symbols {
		b := make([]byte, elffile.SymbolSize)
		binary.LittleEndian.PutUint32(b, uint32(names.Len()))
		if b[4] = s.kind; s.kind == 0 {
			b[4] = typeFunction
		}
		if !s.undefined {
			b[6] = 1
		}
		binary.LittleEndian.PutUint64(b[8:], s.addr)
		binary.LittleEndian.PutUint64(b[16:], s.size)
		table.Write(b)
		names.WriteString(s.name + "\x00")
	}
	section := func(kind, link uint32, offset, size int) {
		s := elf.Section64{Type: kind, Link: link, Off: uint64(offset), Size: uint64(size)}
		_ = binary.Write(&head, binary.LittleEndian, s)
	}
	const tableAt = 0x4000
	namesAt := tableAt + table.Len()
	_ = binary.Write(&head, binary.LittleEndian, elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Phoff: 64, Phentsize: 56, Phnum: 1, Shoff: 64 + 56, Shentsize: 64, Shnum: 4, Shstrndx: 3,
	})
	_ = binary.Write(&head, binary.LittleEndian, elf.Prog64{Type: 1, Flags: 5, Off: codeOffset, Vaddr: codeAddr, Filesz: 0x2000, Memsz: 0x2000})
	section(0, 0, 0, 0)
	section(kind, 2, tableAt, table.Len())
	section(3, 0, namesAt, names.Len())
	section(3, 0, 0, 0)
	out := make([]byte, namesAt+names.Len())
	copy(out, head.Bytes())
	copy(out[tableAt:], table.Bytes())
	copy(out[namesAt:], names.Bytes())
	return out
}

// ask names what stands at an address of a file's own.
func ask(b []byte, addr uint64) string {
	r := bytes.NewReader(b)
	t, _ := readTable(r, int64(len(b)))
	return t.answer(r, addr-codeAddr+codeOffset)
}

func TestFunctionThatCovers(t *testing.T) {
	const at = codeAddr
	symbols := []symbol{
		{name: "second", addr: at + 0x200, size: 0x80}, {name: "first", addr: at + 0x100, size: 0x80},
		{name: "data", addr: at + 0x300, size: 0x80, kind: 1}, {name: "elsewhere", addr: at + 0x400, size: 0x80, undefined: true},
		{name: "endless", addr: at + 0x500, size: 1 << 40}, {name: "label", addr: at + 0x600},
		{name: "__memcpy_fast", addr: at + 0x700, size: 0x10}, {name: "memcpy", addr: at + 0x700, size: 0x10}, {name: "memcpy_short", addr: at + 0x700, size: 4},
		{name: "indirect", addr: at + 0x800, size: 0x10, kind: typeIndirect},
		{name: "__pyx_pw_4shop_5views_1render", addr: at + 0x900, size: 0x10},
		{name: string(bytes.Repeat([]byte("x"), maxName+1)), addr: at + 0xa00, size: 0x10},
	}
	for _, kind := range []uint32{elffile.SectionSymbols, elffile.SectionDynamic} {
		b := made(kind, symbols...)
		for addr, want := range map[uint64]string{
			at: "", at + 0xff: "", at + 0x100: "first", at + 0x17f: "first", at + 0x180: "", at + 0x1ff: "", at + 0x200: "second", at + 0x27f: "second",
			at + 0x280: "", at + 0x300: "", at + 0x400: "", at + 0x500: "", at + 0x600: "", at + 0x700: "memcpy", at + 0x708: "memcpy", at + 0x710: "",
			at + 0x800: "indirect", at + 0x90f: "shop.views.render", at + 0xa00: "", at + 0x5000: "", at - 0x1000: "", 0: "",
		} {
			assert.Equal(t, want, ask(b, addr), "%#x", addr)
		}
	}
}

// A file may say anything of itself: it is read within bounds or not at all.
func TestHostileFiles(t *testing.T) {
	good := made(elffile.SectionSymbols, symbol{name: "f", addr: codeAddr, size: 0x100}, symbol{name: "__pyx_pf_4shop_5views_4ab_f", addr: codeAddr + 0x100, size: 0x100})
	require.Equal(t, "f", ask(good, codeAddr))
	const tableHeader, namesHeader = 64 + 56 + 64, 64 + 56 + 128
	for _, at := range []int{64 + 8, 64 + 32, tableHeader + 24, tableHeader + 32, tableHeader + 40, namesHeader + 24, namesHeader + 32, 0x4000 + elffile.SymbolSize, 0x4000 + elffile.SymbolSize + 16} {
		for _, value := range []uint64{0, 1, 1 << 20, 1 << 31, 1 << 40, 1<<64 - 1} {
			b := bytes.Clone(good)
			binary.LittleEndian.PutUint64(b[at:], value)
			assert.Contains(t, []string{"", "f"}, ask(b, codeAddr), "%#x at %#x", value, at)
			ask(b, codeAddr+0x100)
		}
	}
	for n := 0; n < len(good); n += 7 {
		ask(good[:n], codeAddr)
	}
	assert.Empty(t, ask([]byte("#!/bin/sh"), codeAddr))
}

func FuzzTable(f *testing.F) {
	f.Add(made(elffile.SectionSymbols, symbol{name: "f", addr: codeAddr, size: 0x100}), uint64(codeAddr))
	f.Fuzz(func(t *testing.T, b []byte, addr uint64) {
		assert.LessOrEqual(t, len(ask(b, addr)), maxName)
	})
}

// TestMappedFile names a function through a mapping, and remembers the file.
func TestMappedFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "made.so"))
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Write(made(elffile.SectionSymbols, symbol{name: "f", addr: codeAddr + 0x40, size: 0x100}))
	require.NoError(t, err)
	code, err := unix.Mmap(int(f.Fd()), codeOffset, 0x1000, unix.PROT_READ, unix.MAP_PRIVATE)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Munmap(code)) }()
	at := uint64(uintptr(unsafe.Pointer(&code[0])))

	p, err := process.Open(os.Getpid())
	require.NoError(t, err)
	maps, err := p.Maps()
	require.NoError(t, err)
	i := slices.IndexFunc(maps, func(m process.Mapping) bool { return m.Contains(at) })
	require.GreaterOrEqual(t, i, 0)
	var c Cache
	named := func(m process.Mapping, ip uint64) string {
		name, err := c.Function(p, m, ip)
		require.NoError(t, err)
		return name
	}
	for range 2 {
		assert.Equal(t, "f", named(maps[i], at+0x40))
		assert.Equal(t, "f", named(maps[i], at+0x13f))
		assert.Empty(t, named(maps[i], at+0x140))
	}
	assert.Empty(t, named(maps[i], maps[i].End), "outside")
	assert.Empty(t, named(process.Mapping{Start: at, End: at + 1}, at), "no file")
	assert.Len(t, c.tables, 1)
	assert.Equal(t, 1, c.kept)
	// Where there is no more room, all is forgotten.
	c.keep(process.FileStamp{Inode: 1}, &table{functions: make([]function, maxKept)})
	assert.Len(t, c.tables, 1)
	assert.Equal(t, maxKept, c.kept)
}

// TestOneTableIsRead has a file name one symbol table over and over: it is read once.
func TestOneTableIsRead(t *testing.T) {
	const sections, size = elffile.MaxSections, 32 << 20
	var head bytes.Buffer
	_ = binary.Write(&head, binary.LittleEndian, elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Phoff: 64, Phentsize: 56, Shoff: 64, Shentsize: 64, Shnum: sections,
	})
	_ = binary.Write(&head, binary.LittleEndian, elf.Section64{})
	for range sections - 1 {
		_ = binary.Write(&head, binary.LittleEndian, elf.Section64{Type: elffile.SectionSymbols, Off: 1 << 20, Size: size})
	}
	r := &elffile.Counter{From: zeros(head.Bytes())}
	table, _ := readTable(r, 1<<40)
	assert.Empty(t, table.functions)
	assert.Less(t, r.Bytes, int64(size+1<<20))
}

// zeros is a file that begins with some bytes and goes on with zeros.
type zeros []byte

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(z)) {
		copy(p, z[off:])
	}
	return len(p), nil
}

// TestNamesAreSearchedWithinBounds asks for names that need a search through all others, again and again.
func TestNamesAreSearchedWithinBounds(t *testing.T) {
	const size = 16 << 20
	r := &elffile.Counter{From: zeros(nil)}
	table := &table{names: elffile.Section{Size: size}, left: maxSearched}
	for range 1000 {
		names{table, r}.beginning(cythonWrapper, 8)
	}
	assert.LessOrEqual(t, r.Bytes, int64(maxSearched+maxSearched/size*(size/elffile.PieceSize)*(maxName+1)))
}

// TestChangingFileWaits changes a file all the time: it is not read all the time.
func TestChangingFileWaits(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "made.so"))
	require.NoError(t, err)
	defer f.Close()
	b := made(elffile.SectionSymbols, symbol{name: "f", addr: codeAddr, size: 0x100})
	_, err = f.Write(b)
	require.NoError(t, err)
	code, err := unix.Mmap(int(f.Fd()), codeOffset, 0x1000, unix.PROT_READ, unix.MAP_PRIVATE)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Munmap(code)) }()
	at := uint64(uintptr(unsafe.Pointer(&code[0])))
	p, err := process.Open(os.Getpid())
	require.NoError(t, err)
	maps, err := p.Maps()
	require.NoError(t, err)
	m := maps[slices.IndexFunc(maps, func(m process.Mapping) bool { return m.Contains(at) })]
	var c Cache
	name, err := c.Function(p, m, at)
	require.NoError(t, err)
	require.Equal(t, "f", name)
	stamp, err := p.StatMapping(m)
	require.NoError(t, err)
	c.reads.Charge(elffile.FileOf(stamp), 1<<40, time.Now()) // as if much had been read
	name, err = c.Function(p, m, at)
	require.NoError(t, err, "what is known of it needs no reading")
	require.Equal(t, "f", name)
	require.NoError(t, os.Chtimes(f.Name(), time.Now(), time.Now().Add(time.Hour)))
	_, err = c.Function(p, m, at)
	assert.ErrorIs(t, err, ErrTooMuch)
}
