// SPDX-License-Identifier: Apache-2.0

package usdt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/elffile"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

// Of the ELF-64 format.
const (
	segmentSize = 56
	sectionSize = 64
	segmentLoad = 1
)

// distributed lists the interpreters of this machine and its Debian trees that come from Debian:
// they have probes.
func distributed(t *testing.T) (files []string) {
	t.Helper()
	for _, python := range testpython.All(t) {
		if path := filepath.Join("/", python.Root, python.Path); strings.HasPrefix(python.Path, "/usr/bin/") {
			real, err := filepath.EvalSymlinks(path)
			require.NoError(t, err)
			files = append(files, real)
		}
	}
	require.NotEmpty(t, files, "no interpreter of a distribution: apt-get install python3")
	return files
}

func parseFile(t *testing.T, path string) *File {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	out, err := Parse(f, info.Size(), "python")
	require.NoError(t, err)
	return out
}

// readelf's way to print a note, in the order of our Site.
var noteText = regexp.MustCompile(`Name: (\S+)\s+Location: (\S+), Base: (\S+), Semaphore: (\S+)\s+Arguments:(.*)`)

// TestAgainstReadelf: the sites are those binutils sees, each of them.
func TestAgainstReadelf(t *testing.T) {
	for _, path := range distributed(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := exec.Command("readelf", "--notes", "--wide", path).Output()
			require.NoError(t, err, "readelf is in Debian's binutils")
			var want, got []string
			for _, part := range strings.Split(string(text), "Provider: ")[1:] {
				provider, _, _ := strings.Cut(part, "\n")
				if m := noteText.FindStringSubmatch(part); provider == "python" {
					require.NotNil(t, m, part)
					addr, err := strconv.ParseUint(m[2], 0, 64)
					require.NoError(t, err)
					semaphore, err := strconv.ParseUint(m[4], 0, 64)
					require.NoError(t, err)
					want = append(want, fmt.Sprintf("%s %#x %#x %s", m[1], addr, semaphore, strings.TrimSpace(m[5])))
				}
			}
			f := parseFile(t, path)
			names := map[string]int{}
			for _, s := range f.Sites {
				names[s.Name]++
				got = append(got, fmt.Sprintf("%s %#x %#x %s", s.Name, s.Addr, s.Semaphore, s.RawArgs))
				for _, a := range s.Args {
					assert.NotEqual(t, Unknown, a.How, "%s %s", s.Name, s.RawArgs)
				}
			}
			assert.Equal(t, want, got)
			assert.Empty(t, f.Refused)
			for _, name := range []string{"gc__start", "gc__done", "import__find__load__start", "import__find__load__done", "audit"} {
				assert.Positive(t, names[name], name)
			}
		})
	}
}

// TestNone: most builds have no probes, and that is no error.
func TestNone(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	assert.Empty(t, parseFile(t, self).Sites)
}

func TestArgs(t *testing.T) {
	for text, want := range map[string]Arg{
		"-4@%eax":               {How: Register, Size: 4, Signed: true, Register: 80},
		"8@%rdi":                {How: Register, Size: 8, Register: 112},
		"4@%r10d":               {How: Register, Size: 4, Register: 56},
		"2@%r8w":                {How: Register, Size: 2, Register: 72},
		"1@%sil":                {How: Register, Size: 1, Register: 104},
		"1@%bpl":                {How: Register, Size: 1, Register: 32},
		"1@%al":                 {How: Register, Size: 1, Register: 80},
		"-2@%si":                {How: Register, Size: 2, Signed: true, Register: 104},
		"8@-16(%rbp)":           {How: Memory, Size: 8, Register: 32, Offset: -16},
		"-4@112(%rsp)":          {How: Memory, Size: 4, Signed: true, Register: 152, Offset: 112},
		"8@(%r15)":              {How: Memory, Size: 8, Register: 0},
		"8@$5":                  {How: Constant, Size: 8, Offset: 5},
		"-4@$-1":                {How: Constant, Size: 4, Signed: true, Offset: -1},
		"8@$0xffffffffffffffff": {How: Constant, Size: 8, Offset: -1},
	} {
		args, refused := parseArgs(text, machineAMD64)
		assert.Equal(t, []Arg{want}, args, text)
		assert.Zero(t, refused, text)
	}
	for text, want := range map[string]Arg{
		"8@x0":        {How: Register, Size: 8, Register: 0},
		"-4@w19":      {How: Register, Size: 4, Signed: true, Register: 152},
		"8@[sp]":      {How: Memory, Size: 8, Register: 248},
		"8@[sp, 16]":  {How: Memory, Size: 8, Register: 248, Offset: 16},
		"8@[x29, -8]": {How: Memory, Size: 8, Register: 232, Offset: -8},
		"4@5":         {How: Constant, Size: 4, Offset: 5},
		"8@xzr":       {How: Constant, Size: 8},
	} {
		args, refused := parseArgs(text, machineARM64)
		assert.Equal(t, []Arg{want}, args, text)
		assert.Zero(t, refused, text)
	}
}

// TestArgsRefused: what is not understood keeps its place, so that those behind it are right.
func TestArgsRefused(t *testing.T) {
	for _, bad := range []string{
		"4@sym(%rip)", "4@8(%rip)", "8@(%rax,%rbx,8)", "1@%ah", "3@%eax", "@%eax", "8@", "8", "8@%", "8@%xmm0", "8@%r99", "8@%rip",
		"8@99999999999(%rax)", "8@$", "8@$x", "8@%fs:0x28", "16@%rax", "8@-(%rax)",
	} {
		args, refused := parseArgs(bad+" -4@%edx", machineAMD64)
		assert.Equal(t, []Arg{{}, {How: Register, Size: 4, Signed: true, Register: 96}}, args, bad)
		assert.Equal(t, 1, refused, bad)
	}
	for _, bad := range []string{"8@[x0, x1]", "8@x31", "8@q0", "8@[x99]", "8@w", "8@[sp, 16", "8@[x0], #8"} {
		args, refused := parseArgs(bad, machineARM64)
		assert.NotContains(t, args, Arg{How: Register, Size: 8}, bad)
		assert.Positive(t, refused, bad)
	}
	args, refused := parseArgs(strings.Repeat("8@%rax ", 1000), machineAMD64)
	assert.Len(t, args, maxArgs)
	assert.Equal(t, 1, refused)
	args, refused = parseArgs("", machineAMD64)
	assert.Empty(t, args)
	assert.Zero(t, refused)
}

// model is a file made by hand: code at 0x1000 of the file, data at 0x2000, loaded at bias.
type model struct {
	code, data uint64 // addresses the segments are linked at
	base       uint64 // of .stapsdt.base, 0 none
	notes      []byte
	machine    uint16
}

const (
	codeAt, dataAt = 0x1000, 0x2000
	modelSize      = 0x4000
)

func (m model) bytes() []byte {
	b := make([]byte, modelSize)
	le := binary.LittleEndian
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[18:], m.machine)
	le.PutUint64(b[32:], 64)     // program headers
	le.PutUint64(b[40:], 0x3000) // section headers
	le.PutUint16(b[54:], segmentSize)
	le.PutUint16(b[56:], 2)
	le.PutUint16(b[58:], sectionSize)
	le.PutUint16(b[60:], 4)
	le.PutUint16(b[62:], 3)
	segment := func(n int, flags uint32, offset, addr, size uint64) {
		p := b[64+n*segmentSize:]
		le.PutUint32(p, segmentLoad)
		le.PutUint32(p[4:], flags)
		le.PutUint64(p[8:], offset)
		le.PutUint64(p[16:], addr)
		le.PutUint64(p[32:], size)
		le.PutUint64(p[40:], size)
	}
	segment(0, 4|flagExecute, codeAt, m.code, 0x1000)
	segment(1, 4|flagWrite, dataAt, m.data, 0x800)
	names := "\x00.note.stapsdt\x00.stapsdt.base\x00"
	copy(b[0x2f00:], names)
	section := func(n int, name, kind uint32, addr, offset, size uint64) {
		p := b[0x3000+n*sectionSize:]
		le.PutUint32(p, name)
		le.PutUint32(p[4:], kind)
		le.PutUint64(p[16:], addr)
		le.PutUint64(p[24:], offset)
		le.PutUint64(p[32:], size)
	}
	section(1, 1, sectionNotes, 0, 0x3200, uint64(len(m.notes)))
	section(2, 15, 1, m.base, 0, 1)
	section(3, 0, 3, 0, 0x2f00, uint64(len(names)))
	copy(b[0x3200:], m.notes)
	for i := codeAt; i < codeAt+0x800; i++ {
		b[i] = 0x90
	}
	return b
}

func noteOf(addr, base, semaphore uint64, provider, name, args string) []byte {
	le := binary.LittleEndian
	desc := le.AppendUint64(le.AppendUint64(le.AppendUint64(nil, addr), base), semaphore)
	desc = append(desc, provider+"\x00"+name+"\x00"+args+"\x00"...)
	b := le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, 8), uint32(len(desc))), noteSTAPSDT)
	b = append(b, "stapsdt\x00"...)
	b = append(b, desc...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func parseModel(t *testing.T, m model) *File {
	t.Helper()
	b := m.bytes()
	f, err := Parse(bytes.NewReader(b), int64(len(b)), "python")
	require.NoError(t, err)
	return f
}

// TestOffsets: the offset in the file is what counts, however the file is linked and whether or
// not prelink has moved it since.
func TestOffsets(t *testing.T) {
	for name, m := range map[string]model{
		"fixed":       {code: 0x400000, data: 0x600000},
		"independent": {code: 0x1000, data: 0x3000},
		"far":         {code: 0x7f0000001000, data: 0x7f0000005000},
	} {
		for _, moved := range []uint64{0, 0x10000, ^uint64(0xfff) + 1} {
			m.machine, m.base = machineAMD64, m.data+0x700
			m.notes = append(noteOf(m.code+0x123-moved, m.base-moved, m.data+0x46-moved, "python", "gc__start", "-4@%eax"),
				noteOf(m.code+0x200-moved, m.base-moved, 0, "python", "line", "")...)
			f := parseModel(t, m)
			assert.Equal(t, []Site{
				{Name: "gc__start", Addr: m.code + 0x123, Semaphore: m.data + 0x46, Offset: codeAt + 0x123, SemaphoreOffset: dataAt + 0x46,
					Args: []Arg{{How: Register, Size: 4, Signed: true, Register: 80}}, RawArgs: "-4@%eax"},
				{Name: "line", Addr: m.code + 0x200, Offset: codeAt + 0x200},
			}, f.Sites, "%s moved by %#x", name, moved)
			assert.Empty(t, f.Refused)
		}
	}
}

// TestHostile: a site has to be a nop in the code and its counter has to be data.
func TestHostile(t *testing.T) {
	m := model{code: 0x1000, data: 0x8000, machine: machineAMD64}
	for _, test := range []struct {
		name   string
		notes  []byte
		reason string
	}{
		{"site in the data", noteOf(m.data, 0, m.data, "python", "a", ""), RefusedCode},
		{"site nowhere", noteOf(^uint64(0), 0, m.data, "python", "a", ""), RefusedCode},
		{"site at the end", noteOf(m.code+0x1000, 0, m.data, "python", "a", ""), RefusedCode},
		{"site is another instruction", noteOf(m.code+0x900, 0, m.data, "python", "a", ""), RefusedNop},
		{"counter in the code", noteOf(m.code, 0, m.code, "python", "a", ""), RefusedSemaphore},
		{"counter nowhere", noteOf(m.code, 0, ^uint64(0), "python", "a", ""), RefusedSemaphore},
		{"counter half outside", noteOf(m.code, 0, m.data+0x7ff, "python", "a", ""), RefusedSemaphore},
		{"no name", noteOf(m.code, 0, 0, "python", "", ""), RefusedNote},
		{"cut", noteOf(m.code, 0, 0, "python", "a", "")[:50], RefusedNote},
		{"longer than it is", append(binary.LittleEndian.AppendUint64(nil, ^uint64(0)), 3, 0, 0, 0), RefusedNote},
	} {
		m.notes = test.notes
		f := parseModel(t, m)
		assert.Empty(t, f.Sites, test.name)
		assert.Equal(t, map[string]int{test.reason: 1}, f.Refused, test.name)
	}
	m.notes = noteOf(m.code, 0, 0, "other", "a", "")
	assert.Empty(t, parseModel(t, m).Sites, "of another provider")
	assert.Empty(t, parseModel(t, m).Refused)

	whole := model{code: 0x1000, data: 0x8000, machine: machineAMD64, notes: noteOf(0x1000, 0, 0, "python", "a", "8@%rax")}.bytes()
	for n := range whole { // cut anywhere, it ends with an error or without sites
		if f, err := Parse(bytes.NewReader(whole[:n]), int64(n), "python"); err == nil {
			assert.LessOrEqual(t, len(f.Sites), 1)
		}
	}
	_, err := Parse(strings.NewReader("#!/bin/sh\n"), 10, "python")
	assert.ErrorIs(t, err, elffile.ErrNotELF)
	m.machine = 8
	b := m.bytes()
	_, err = Parse(bytes.NewReader(b), int64(len(b)), "python")
	assert.ErrorIs(t, err, ErrMachine)
}

// TestManySites: the number of sites is bounded.
func TestManySites(t *testing.T) {
	m := model{code: 0x1000, data: 0x8000, machine: machineAMD64}
	m.notes = bytes.Repeat(noteOf(m.code, 0, 0, "python", "a", ""), maxSites+7)
	b := m.bytes()
	copy(b[0x3100:], make([]byte, 0x100))
	b = append(b[:0x3200], m.notes...) // the notes may reach behind the model's size
	f, err := Parse(bytes.NewReader(b), int64(len(b)), "python")
	require.NoError(t, err)
	assert.Len(t, f.Sites, maxSites)
	assert.Equal(t, map[string]int{RefusedMany: 7}, f.Refused)
}

func FuzzParse(f *testing.F) {
	m := model{code: 0x1000, data: 0x8000, base: 0x8700, machine: machineAMD64}
	m.notes = append(noteOf(0x1000, 0x8700, 0x8010, "python", "gc__start", "-4@112(%rsp)"), noteOf(0x1010, 0x8700, 0, "python", "audit", "8@%rbx 8@%r15")...)
	f.Add(m.bytes())
	m.machine = machineARM64
	f.Add(m.bytes())
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(bytes.NewReader(b), int64(len(b)), "python")
		if err != nil {
			return
		}
		if len(file.Sites) > maxSites {
			t.Fatalf("%d sites", len(file.Sites))
		}
		for _, s := range file.Sites {
			if s.Offset >= uint64(len(b)) || b[s.Offset] != 0x90 && b[s.Offset] != 0x1f {
				t.Fatalf("site %+v is no nop of the file", s)
			}
			if s.SemaphoreOffset != 0 && s.Semaphore == 0 || len(s.Args) > maxArgs {
				t.Fatalf("site %+v", s)
			}
		}
	})
}

func FuzzArgs(f *testing.F) {
	for _, s := range []string{"-4@%eax 8@16(%rsp)", "8@[sp, 16] 4@5", "8@$0x10 4@sym(%rip)", "8@(%rax,%rbx,8)", "] ] 8@%rax"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, text string, arm bool) {
		machine, last := uint16(machineAMD64), uint16(160)
		if arm {
			machine, last = machineARM64, 248
		}
		args, refused := parseArgs(text, machine)
		if len(args) > maxArgs {
			t.Fatalf("%d arguments", len(args))
		}
		unknown := 0
		for _, a := range args {
			switch {
			case a.How == Unknown:
				unknown++
			case a.Size == 0 || a.Size > 8 || a.Register > last || a.Register%8 != 0:
				t.Fatalf("argument %+v", a)
			}
		}
		if unknown > refused {
			t.Fatalf("%d refused of %+v", refused, args)
		}
	})
}
