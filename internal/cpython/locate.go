// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync"

	"github.com/loopwatch/loopwatch/internal/elffile"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Locate finds the CPython runtime of a process. The error is or wraps ErrNotPython where there
// is none, ErrNotReady where it is just starting or ending, an *UnsupportedError where it is a
// Python that cannot be watched, and anything else where the process could not be read. It may
// be called from several goroutines, and remembers what it found in files.
func Locate(p *process.Process) (*Runtime, error) {
	maps, err := p.Maps()
	if err != nil {
		return nil, fmt.Errorf("look for Python: %w", err)
	}
	if len(maps) == 0 {
		return nil, ErrNotPython // a kernel thread or a zombie
	}
	files := candidates(maps, p)
	if len(files) == 0 {
		return nil, ErrNotPython
	}
	var refusal, unreadable error
	var program *image // of the executable
	starting := false
	for i, f := range files {
		img, err := images.get(p, f.maps[0])
		switch {
		case err == nil:
		case errors.Is(err, elffile.Err32Bit) && f.named:
			refusal = &UnsupportedError{"a 32-bit Python: only 64-bit ones are supported"}
			continue
		case errors.Is(err, errNoImage), errors.Is(err, elffile.ErrNotELF), errors.Is(err, elffile.Err32Bit), errors.Is(err, elffile.ErrMalformed):
			continue
		default:
			if i == 0 || f.named {
				unreadable = err
			}
			continue
		}
		if i == 0 {
			program = img
			starting = img.imports
		}
		switch {
		case img.symbols[symPyPy] != 0 || img.symbols[symRPython] != 0:
			refusal = &UnsupportedError{"PyPy: only CPython is supported"}
		case img.runtime != 0:
			rt, err := open(p.Memory(), img, program, f.maps, files[0].maps)
			if err == nil {
				rt.Path, rt.Image = f.maps[0].Path, f.maps[0]
				return rt, nil
			}
			refusal = err
		case img.symbols[symInit] != 0:
			var version Version
			if bias, ok := img.bias(f.maps, img.symbols[symInit]); ok {
				version = img.liveVersion(p.Memory(), bias, -1)
			}
			refusal = tooOld(version)
		}
	}
	switch {
	case refusal != nil:
		return nil, refusal
	case unreadable != nil:
		return nil, fmt.Errorf("look for Python: %w", unreadable)
	case starting: // libpython is not mapped yet
		return nil, ErrNotReady
	case files[0].named && interpreterName.MatchString(files[0].maps[0].Name()):
		return nil, &UnsupportedError{"no CPython runtime in " + files[0].maps[0].Name() + ": a wrapper, or stripped of all symbols"}
	}
	return nil, ErrNotPython
}

// Named tells whether a process that cannot be read looks like a Python from outside.
func Named(pid int) bool {
	p, err := process.Open(pid)
	if err != nil {
		return false
	}
	exe, _ := p.Exe() // may be as unreadable as the rest
	return strings.Contains(filepath.Base(exe), "python") || strings.Contains(p.Comm, "python")
}

// interpreterName matches what interpreters are called, and not tools written in Python.
var interpreterName = regexp.MustCompile(`^(python|pypy)[0-9.]*$`)

// file is a file with its mappings, in ascending order.
type file struct {
	maps  []process.Mapping
	named bool // it is called as an interpreter or its library is
}

// candidates lists the files that may hold the runtime: the executable first, then what is
// called so, then, if anything mapped has to do with Python, every other file with code.
func candidates(maps []process.Mapping, p *process.Process) []file {
	byID := map[process.FileID]*file{}
	var order []*file
	hint := false
	for _, m := range maps {
		if m.Inode == 0 {
			continue
		}
		f := byID[m.File()]
		if f == nil {
			f = &file{}
			name := strings.ToLower(m.Name())
			f.named = strings.HasPrefix(name, "python") || strings.HasPrefix(name, "libpython") ||
				strings.HasPrefix(name, "pypy") || strings.HasPrefix(name, "libpypy")
			hint = hint || f.named || strings.Contains(strings.ToLower(m.Path), "python")
			byID[m.File()] = f
			order = append(order, f)
		}
		f.maps = append(f.maps, m)
	}
	exe, _ := p.Exe() // without it the executable is tried like the rest
	rank := func(f *file) int {
		switch {
		case exe != "" && f.maps[0].Path == exe:
			return 0
		case f.named:
			return 1
		}
		return 2
	}
	sort.SliceStable(order, func(i, j int) bool { return rank(order[i]) < rank(order[j]) })
	var out []file
	for _, f := range order {
		if rank(f) == 2 && !hint {
			break
		}
		for _, m := range f.maps {
			if m.Executable() {
				out = append(out, *f)
				break
			}
		}
	}
	return out
}

// imageCache remembers what was found in files, nothing included. A host has some hundred
// different executables and libraries that get looked at.
type imageCache struct {
	mu sync.Mutex
	m  map[process.FileStamp]cached
}

type cached struct {
	img *image
	err error
}

const maxImages = 4096

var images imageCache

func (c *imageCache) get(p *process.Process, m process.Mapping) (*image, error) {
	stamp, err := p.StatMapping(m)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	known, ok := c.m[stamp]
	c.mu.Unlock()
	if ok {
		return known.img, known.err
	}
	f, err := p.OpenMapping(m)
	if err != nil {
		return nil, err // not remembered: it may be a matter of this process
	}
	defer f.Close()
	known.img, known.err = scanFile(f)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxImages {
		c.m = map[process.FileStamp]cached{}
	}
	c.m[stamp] = known
	return known.img, known.err
}

func scanFile(f *os.File) (*image, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return scanELF(f, info.Size())
}

// bias returns what has to be added to an address of the file. The loader maps every segment
// at one distance, and maps can hold pieces of the file that it did not load: a copy that
// something reads as data, or the trampolines of libffi, which maps the text it is part of
// once more. So the bias that most segments agree on is taken, and the segment of the wanted
// address must agree.
func (img *image) bias(maps []process.Mapping, wanted uint64) (uint64, bool) {
	page := uint64(os.Getpagesize())
	votes := map[uint64]int{}
	for _, s := range img.segments {
		for _, m := range maps {
			if s.FileSize > 0 && m.Offset == s.Offset&^(page-1) {
				votes[m.Start-s.Addr&^(page-1)]++
			}
		}
	}
	best, most := uint64(0), 0
	for bias, n := range votes {
		if !img.mapped(maps, bias, wanted) {
			continue
		}
		if n > most || n == most && bias < best {
			best, most = bias, n
		}
	}
	return best, most > 0
}

// mapped tells whether with this bias the segment that holds addr is where maps have it.
func (img *image) mapped(maps []process.Mapping, bias, addr uint64) bool {
	page := uint64(os.Getpagesize())
	for _, s := range img.segments {
		if addr < s.Addr || addr-s.Addr >= s.MemSize {
			continue
		}
		for _, m := range maps {
			if m.Start == bias+s.Addr&^(page-1) && m.Offset == s.Offset&^(page-1) {
				return true
			}
		}
	}
	return false
}

// open reads the runtime that img has, with the mappings of its file. The program's own image
// and mappings are asked first for what it may have a copy of: a program that names a
// library's variable gets that variable into its own data, and the library uses it there.
func open(m process.Memory, img, program *image, maps, programMaps []process.Mapping) (*Runtime, error) {
	bias, ok := img.bias(maps, img.runtime)
	if !ok {
		return nil, fmt.Errorf("the Python runtime's data is not mapped: %w", ErrNotReady)
	}
	find := func(name string) uint64 {
		if program != nil && program != img && program.symbols[name] != 0 {
			if b, ok := program.bias(programMaps, program.symbols[name]); ok {
				return b + program.symbols[name]
			}
		}
		if img.symbols[name] != 0 {
			return bias + img.symbols[name]
		}
		return 0
	}
	rt := &Runtime{Addr: find(symRuntime), CodeType: find(symCodeType)}
	if rt.Addr == 0 {
		rt.Addr = bias + img.runtime
	}
	var err error
	if rt.Version, rt.Layout, err = identify(m, rt.Addr, img, bias, find(symVersion)); err != nil {
		return nil, err
	}
	if err := rt.ready(m); err != nil {
		return nil, err
	}
	rt.Version = img.withPatch(m, bias, rt.Version) // by now sys.version is there
	return rt, nil
}

// identify tells version and layout of the runtime at addr. The patch release may be left open.
func identify(m process.Memory, addr uint64, img *image, bias, versionAt uint64) (Version, Layout, error) {
	version, layout, err := readDebugOffsets(m, addr)
	if !errors.Is(err, errNoDebugOffsets) {
		return version, layout, err
	}
	minor := img.minor()
	switch {
	case versionAt != 0:
		hex, err := readU64(m, versionAt)
		if err != nil {
			return 0, layout, fmt.Errorf("read the version: %w", err)
		}
		version = Version(hex)
	case minor >= 0:
		version = Version(3<<24|uint32(minor)<<16) | patchUnknown
	default:
		version = img.liveVersion(m, bias, -1)
	}
	if version == 0 {
		return 0, layout, &UnsupportedError{"a CPython whose version cannot be told: its file has no symbols"}
	}
	layout, ok := layouts[version.Minor()]
	switch {
	case version.Major() != 3 || version.Minor() < oldestRelease:
		return version, layout, tooOld(img.withPatch(m, bias, version))
	case !ok:
		return version, layout, &UnsupportedError{fmt.Sprintf("CPython %s: it has no debug offsets", version)}
	case img.symbols[symTrace] != 0:
		return version, layout, &UnsupportedError{fmt.Sprintf("CPython %s built with Py_TRACE_REFS", version)}
	}
	return version, layout, nil
}

func tooOld(v Version) error {
	name := "CPython"
	if v != 0 {
		name += " " + v.String()
	}
	return &UnsupportedError{fmt.Sprintf("%s: too old, 3.%d is the oldest supported", name, oldestRelease)}
}

// ready tells whether the runtime is initialized, has an interpreter with a thread, and is not
// ending.
func (r *Runtime) ready(m process.Memory) error {
	l := &r.Layout
	if l.RuntimeInitialized != 0 {
		var b [4]byte
		if err := m.Read(r.Addr+uint64(l.RuntimeInitialized), b[:]); err != nil {
			return fmt.Errorf("read the Python runtime: %w", err)
		}
		if b == [4]byte{} {
			return ErrNotReady
		}
	}
	finalizing, err := readU64(m, r.Addr+uint64(l.RuntimeFinalizing))
	if err != nil {
		return fmt.Errorf("read the Python runtime: %w", err)
	}
	interp, err := readU64(m, r.Addr+uint64(l.RuntimeInterpreters))
	if err != nil {
		return fmt.Errorf("read the Python runtime: %w", err)
	}
	if interp == 0 || finalizing != 0 {
		return ErrNotReady
	}
	thread, err := readU64(m, interp+uint64(l.InterpThreads))
	if err != nil {
		return fmt.Errorf("read the Python interpreter: %w", err)
	}
	if thread == 0 {
		return ErrNotReady
	}
	return nil
}
