// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython/release"
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

func scanBytes(b []byte) (*Image, error) { return scan(bytes.NewReader(b), int64(len(b))) }

func TestScan(t *testing.T) {
	img, err := scanBytes(build(t, definesRuntime))
	require.NoError(t, err)
	assert.NotZero(t, img.Runtime)
	assert.NotEmpty(t, img.segments)

	_, err = scanBytes(build(t, importsRuntime))
	assert.ErrorIs(t, err, ErrNothing, "an extension module only imports the runtime")

	stripped, err := scanBytes(build(t, definesRuntime, "-s"))
	require.NoError(t, err)
	assert.NotZero(t, stripped.Runtime)

	section, err := scanBytes(build(t, hiddenRuntime, "-s"))
	require.NoError(t, err)
	assert.Empty(t, section.symbols)
	assert.NotZero(t, section.Runtime, "by its section where it has no symbol")

	symtab, err := scanBytes(build(t, `__attribute__((visibility("hidden"))) int _PyRuntime[4] = {1}; int *f(void) { return _PyRuntime; }`))
	require.NoError(t, err)
	assert.NotZero(t, symtab.Runtime, "by .symtab where .dynsym has it not")

	other, err := scanBytes(build(t, pypy))
	require.NoError(t, err)
	assert.NotZero(t, other.symbols[symbolPyPy])

	_, err = scanBytes([]byte("#!/bin/sh\n"))
	assert.ErrorIs(t, err, elffile.ErrNotELF)
	_, err = scanBytes(nil)
	assert.ErrorIs(t, err, elffile.ErrNotELF)
	thirtyTwo := build(t, definesRuntime)
	thirtyTwo[4] = 1
	_, err = scanBytes(thirtyTwo)
	assert.ErrorIs(t, err, elffile.Err32Bit)
}

func TestScanOfRealFiles(t *testing.T) {
	for _, py := range testpython.All(t) {
		f, err := os.Open(filepath.Join("/", py.Root, py.Path))
		require.NoError(t, err)
		defer f.Close()
		info, err := f.Stat()
		require.NoError(t, err)
		img, err := scan(f, info.Size())
		require.NoError(t, err, py.Name)
		assert.True(t, img.Runtime != 0 || img.Imports, "%s holds the runtime or says that a library does", py)
	}
}

// TestScanIsBounded has headers promise more than there is: that is refused unread.
func TestScanIsBounded(t *testing.T) {
	good := build(t, definesRuntime)
	sections := binary.LittleEndian.Uint64(good[40:])
	count := int(binary.LittleEndian.Uint16(good[60:]))
	for i := range count {
		for _, field := range []int{24, 32} { // offset, size
			for _, value := range []uint64{1 << 63, ^uint64(0), 1 << 40, 1 << 28, uint64(len(good))} {
				b := bytes.Clone(good)
				binary.LittleEndian.PutUint64(b[int(sections)+i*64+field:], value)
				allocated := testing.AllocsPerRun(1, func() { _, _ = scanBytes(b) })
				assert.Less(t, allocated, 1000.0)
			}
		}
	}
}

func FuzzScan(f *testing.F) {
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
		img, err := scanBytes(b)
		if err != nil {
			require.Nil(t, img)
			return
		}
		require.LessOrEqual(t, len(img.segments), elffile.MaxSegments)
		_, _ = img.Bias(NewMappings(maps), img.Runtime)
		_ = img.Minor()
	})
}

func TestVersionText(t *testing.T) {
	for text, want := range map[string]release.Version{
		"\x003.9.2 (default, Feb 28 2021, 17:03:44) \n":                         release.MakeVersion(3, 9, 2),
		"\x003.9.18 | packaged by conda-forge | (main, Aug 30 2023, 03:49:32) ": release.MakeVersion(3, 9, 18),
		"\x003.10.0rc2+ (heads/3.10:1234) \n":                                   0x030a00c2,
		"x3.9.2 (default":                                                       0, "\x003.9.2\x00": 0,
	} {
		memory := fakeMemory(append(make([]byte, 100), text...))
		img := &Image{segments: []elffile.Segment{{Addr: 0, FileSize: 0, MemSize: uint64(len(memory))}}}
		assert.Equal(t, want, img.LiveVersion(memory, 0, -1), "%q", text)
		assert.Zero(t, img.LiveVersion(memory, 0, 8))
	}
	twice := fakeMemory("\x003.9.2 (a\x003.9.3 (b\x00")
	img := &Image{segments: []elffile.Segment{{MemSize: uint64(len(twice))}}}
	assert.Zero(t, img.LiveVersion(twice, 0, -1), "two different ones say nothing")
}

type fakeMemory []byte

func (m fakeMemory) Read(addr uint64, p []byte) error {
	if addr > uint64(len(m)) || uint64(len(p)) > uint64(len(m))-addr {
		return os.ErrInvalid
	}
	copy(p, m[addr:])
	return nil
}

// FuzzLiveVersion looks for a version in whatever a process has where a file promises zeros.
func FuzzLiveVersion(f *testing.F) {
	f.Add([]byte("\x003.9.2 (default, Feb 28 2021, 17:03:44) \n"), uint64(0), uint64(64), -1)
	f.Add([]byte("\x003.10.0rc2+ (heads/3.10:1234) \n\x00"), uint64(8), uint64(1<<40), 10)
	f.Fuzz(func(t *testing.T, b []byte, addr, size uint64, minor int) {
		img := &Image{segments: []elffile.Segment{{MemSize: uint64(len(b))}, {Addr: addr, MemSize: size}}}
		if v := img.LiveVersion(fakeMemory(b), 0, minor); v != 0 && minor >= 0 {
			require.Equal(t, minor, v.Minor())
		}
	})
}
