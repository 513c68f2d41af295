// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/elffile"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

// build compiles a C source to a shared object and returns its bytes.
func build(t testing.TB, source string, flags ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.so")
	require.NoError(t, os.WriteFile(in, []byte(source), 0o644))
	args := append([]string{"-shared", "-fPIC", "-nostdlib", "-o", out, in}, flags...)
	msg, err := exec.Command("cc", args...).CombinedOutput()
	require.NoError(t, err, "%s", msg)
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	return b
}

const (
	definesRuntime = `int _PyRuntime[4] = {1}; int my_PyRuntime[4] = {2}; int Py_Initialize(void) { return 0; }`
	importsRuntime = `extern int _PyRuntime[4]; int *f(void) { return _PyRuntime; }`
	hiddenRuntime  = `__attribute__((visibility("hidden"), section(".PyRuntime"))) int _PyRuntime[4] = {1}; int *f(void) { return _PyRuntime; }`
	pypy           = `int pypy_main_startup(void) { return 0; }`
)

func scan(b []byte) (*image, error) { return scanELF(bytes.NewReader(b), int64(len(b))) }

func TestScanELF(t *testing.T) {
	img, err := scan(build(t, definesRuntime))
	require.NoError(t, err)
	assert.NotZero(t, img.runtime)
	assert.NotEmpty(t, img.segments)

	_, err = scan(build(t, importsRuntime))
	assert.ErrorIs(t, err, errNoImage, "an extension module only imports the runtime")

	stripped, err := scan(build(t, definesRuntime, "-s"))
	require.NoError(t, err)
	assert.NotZero(t, stripped.runtime)

	section, err := scan(build(t, hiddenRuntime, "-s"))
	require.NoError(t, err)
	assert.Empty(t, section.symbols)
	assert.NotZero(t, section.runtime, "by its section where it has no symbol")

	symtab, err := scan(build(t, `__attribute__((visibility("hidden"))) int _PyRuntime[4] = {1}; int *f(void) { return _PyRuntime; }`))
	require.NoError(t, err)
	assert.NotZero(t, symtab.runtime, "by .symtab where .dynsym has it not")

	other, err := scan(build(t, pypy))
	require.NoError(t, err)
	assert.NotZero(t, other.symbols[symPyPy])

	_, err = scan([]byte("#!/bin/sh\n"))
	assert.ErrorIs(t, err, elffile.ErrNotELF)
	_, err = scan(nil)
	assert.ErrorIs(t, err, elffile.ErrNotELF)
	thirtyTwo := build(t, definesRuntime)
	thirtyTwo[4] = 1
	_, err = scan(thirtyTwo)
	assert.ErrorIs(t, err, elffile.Err32Bit)
}

func TestScanELFOfRealFiles(t *testing.T) {
	for _, py := range testpython.All(t) {
		f, err := os.Open(filepath.Join("/", py.Root, py.Path))
		require.NoError(t, err)
		defer f.Close()
		img, err := scanFile(f)
		require.NoError(t, err, py.Name)
		assert.True(t, img.runtime != 0 || img.imports, "%s holds the runtime or says that a library does", py)
	}
}

// TestScanELFIsBounded has headers promise more than there is: that is refused unread.
func TestScanELFIsBounded(t *testing.T) {
	good := build(t, definesRuntime)
	sections := binary.LittleEndian.Uint64(good[40:])
	count := int(binary.LittleEndian.Uint16(good[60:]))
	for i := range count {
		for _, field := range []int{24, 32} { // offset, size
			for _, value := range []uint64{1 << 63, ^uint64(0), 1 << 40, 1 << 28, uint64(len(good))} {
				b := bytes.Clone(good)
				binary.LittleEndian.PutUint64(b[int(sections)+i*64+field:], value)
				allocated := testing.AllocsPerRun(1, func() { _, _ = scan(b) })
				assert.Less(t, allocated, 1000.0)
			}
		}
	}
}

func FuzzScanELF(f *testing.F) {
	for _, source := range []string{definesRuntime, importsRuntime, hiddenRuntime, pypy} {
		f.Add(build(f, source))
	}
	f.Add([]byte("\x7fELF\x02\x01"))
	maps := []process.Mapping{
		{Start: 0x1000, End: 0x2000, Perms: "r--p"},
		{Start: 0x2000, End: 0x3000, Perms: "r-xp", Offset: 0x1000},
		{Start: 0xffffffffffffe000, End: 0xfffffffffffff000, Perms: "rw-p", Offset: 0x2000},
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		img, err := scan(b)
		if err != nil {
			require.Nil(t, img)
			return
		}
		require.LessOrEqual(t, len(img.segments), elffile.MaxSegments)
		_, _ = img.bias(maps, img.runtime)
		_ = img.minor()
	})
}

func FuzzDebugOffsets(f *testing.F) {
	for minor := range debugOffsets {
		f.Add(plausible(minor), uint8(minor))
	}
	f.Fuzz(func(t *testing.T, b []byte, minor uint8) {
		shape, ok := debugOffsets[int(minor)]
		if !ok || len(b) < 8*len(shape) {
			return
		}
		l, err := parseDebugOffsets(int(minor), b)
		if err != nil {
			return
		}
		for _, off := range []uint32{
			l.ThreadID, l.ThreadFrame, l.FrameCode, l.FrameBack, l.FrameInstr, l.FrameOwner, l.CodeLine,
			l.ThreadNext, l.ThreadInterp, l.ThreadNative, l.CodeName, l.CodeQualName, l.CodeFile, l.CodeLines, l.StrState,
		} {
			require.Less(t, off, uint32(maxOffset))
		}
	})
}

// plausible makes debug offsets that pass: each structure of 1024 bytes, each field at 16.
func plausible(minor int) []byte {
	var b []byte
	for _, name := range debugOffsets[minor] {
		value := uint64(16)
		if strings.HasSuffix(name, ".size") {
			value = 1024
		}
		b = binary.LittleEndian.AppendUint64(b, value)
	}
	return b
}

func TestDebugOffsetsAreChecked(t *testing.T) {
	for minor, shape := range debugOffsets {
		_, err := parseDebugOffsets(minor, plausible(minor))
		require.NoError(t, err)
		for i, name := range shape {
			switch name {
			case "-", "version", "free_threaded", "gc.size":
				continue
			}
			b := plausible(minor)
			binary.LittleEndian.PutUint64(b[8*i:], 1<<60)
			_, err := parseDebugOffsets(minor, b)
			assert.Error(t, err, "3.%d %s", minor, name)
		}
	}
}

func TestDebugOffsetsOfOthersAreRefused(t *testing.T) {
	runtime := func(version Version, free byte) fakeMemory {
		b := append([]byte(debugCookie), make([]byte, 8)...)
		binary.LittleEndian.PutUint64(b[8:], uint64(version))
		b = append(b, free, 0, 0, 0, 0, 0, 0, 0)
		return append(b, make([]byte, 888)...) // the size of the largest structure known, 3.15's
	}
	newest := newestRelease()
	tooNew := func(version string) string {
		return fmt.Sprintf("CPython %s: too new, 3.%d is the newest supported", version, newest)
	}
	for reason, m := range map[string]fakeMemory{
		tooNew(fmt.Sprintf("3.%d.0", newest+1)): runtime(0x030000f0|Version(newest+1)<<16, 0),
		tooNew("4.0.0"):                         runtime(0x040000f0, 0),
		"CPython 3.15.0b3, a pre-release: only candidates and final releases are supported":         runtime(0x030f00b3, 0),
		"CPython 3.14.2, a free-threaded build: only builds with the GIL are supported":             runtime(0x030e02f0, 1),
		"CPython 3.13.1: its debug offsets make no sense: thread_id is out of bounds: 0 in 0 bytes": runtime(0x030d01f0, 0),
	} {
		_, _, err := readDebugOffsets(m, 0)
		assert.EqualError(t, err, reason)
		var unsupported *UnsupportedError
		assert.ErrorAs(t, err, &unsupported)
	}
	_, _, err := readDebugOffsets(make(fakeMemory, 100), 0)
	assert.ErrorIs(t, err, errNoDebugOffsets)
}

func TestDebugOffsetsHaveTheirSize(t *testing.T) {
	for minor, size := range map[int]int{13: 584, 14: 760, 15: 888} {
		assert.Equal(t, size, 8+8*len(debugOffsets[minor]), "3.%d", minor)
	}
}

func TestVersion(t *testing.T) {
	for v, want := range map[Version]string{
		0x030b02f0: "3.11.2", 0x030f00b1: "3.15.0b1", 0x030e00c2: "3.14.0rc2", 0x030f00a7: "3.15.0a7",
		MakeVersion(3, 9, 18): "3.9.18", 0x03090000 | patchUnknown: "3.9",
	} {
		assert.Equal(t, want, v.String())
	}
	v := Version(0x030c01f0)
	assert.Equal(t, []int{3, 12, 1}, []int{v.Major(), v.Minor(), v.Patch()})
}

func TestVersionText(t *testing.T) {
	for text, want := range map[string]Version{
		"\x003.9.2 (default, Feb 28 2021, 17:03:44) \n":                         MakeVersion(3, 9, 2),
		"\x003.9.18 | packaged by conda-forge | (main, Aug 30 2023, 03:49:32) ": MakeVersion(3, 9, 18),
		"\x003.10.0rc2+ (heads/3.10:1234) \n":                                   0x030a00c2,
		"x3.9.2 (default":                                                       0, "\x003.9.2\x00": 0,
	} {
		memory := fakeMemory(append(make([]byte, 100), text...))
		img := &image{segments: []elffile.Segment{{Addr: 0, FileSize: 0, MemSize: uint64(len(memory))}}}
		assert.Equal(t, want, img.liveVersion(memory, 0, -1), "%q", text)
		assert.Zero(t, img.liveVersion(memory, 0, 8))
	}
	twice := fakeMemory("\x003.9.2 (a\x003.9.3 (b\x00")
	img := &image{segments: []elffile.Segment{{MemSize: uint64(len(twice))}}}
	assert.Zero(t, img.liveVersion(twice, 0, -1), "two different ones say nothing")
}

type fakeMemory []byte

func (m fakeMemory) Read(addr uint64, p []byte) error {
	if addr > uint64(len(m)) || uint64(len(p)) > uint64(len(m))-addr {
		return os.ErrInvalid
	}
	copy(p, m[addr:])
	return nil
}
