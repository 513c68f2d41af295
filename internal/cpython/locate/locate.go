// SPDX-License-Identifier: Apache-2.0

// Package locate finds the CPython runtime in a process. In goes a process.Process; out comes a cpython.Runtime, with
// version and layout, or why there is none that can be watched. Which file holds the runtime, and where it is loaded, is
// told by package image, and what a release looks like by package release.
package locate

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/image"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/elffile"
	"github.com/loopwatch/loopwatch/internal/process"
)

// ErrNotPython says that no Python interpreter is mapped.
var ErrNotPython = errors.New("not a Python process")

// Locator locates runtimes, and remembers what it found in files. It is safe for concurrent use.
type Locator struct {
	images *image.Cache
	hints  *object.Hints
}

// New returns a locator that knows no file yet.
func New() *Locator { return &Locator{images: &image.Cache{}, hints: &object.Hints{}} }

// maxRuntimes bounds the files of one process in which a runtime is looked for. There is one, as a rule.
const maxRuntimes = 16

// Locate finds the CPython runtime of a process. The error is or wraps ErrNotPython where there
// is none, cpython.ErrNotReady where it is just starting or ending, a *release.UnsupportedError where it is a
// Python that cannot be watched, and anything else where the process could not be read.
func (l *Locator) Locate(p *process.Process) (*cpython.Runtime, error) {
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
	var program *image.Image // of the executable
	starting := false
	runtimes := 0
	images := l.images.Files(p)
	for i, f := range files {
		img, err := images.Get(f.first)
		switch {
		case err == nil:
		case errors.Is(err, elffile.Err32Bit) && f.named:
			refusal = &release.UnsupportedError{Reason: "a 32-bit Python: only 64-bit ones are supported"}
			continue
		case errors.Is(err, image.ErrNothing), errors.Is(err, elffile.ErrNotELF), errors.Is(err, elffile.Err32Bit), errors.Is(err, elffile.ErrMalformed):
			continue
		case errors.Is(err, image.ErrTooMuch): // what is known of the others still counts
			unreadable = cmp.Or(unreadable, err)
			continue
		default:
			if i == 0 || f.named {
				unreadable = err
			}
			continue
		}
		if i == 0 {
			program = img
			starting = img.Imports
		}
		if img.Runtime != 0 || img.Symbol(image.SymbolInit) != 0 {
			if runtimes++; runtimes > maxRuntimes {
				break
			}
		}
		switch {
		case img.IsPyPy():
			refusal = &release.UnsupportedError{Reason: "PyPy: only CPython is supported"}
		case img.Runtime != 0:
			rt, err := open(p.Memory(), img, program, f.places, files[0].places)
			if err == nil {
				rt.Path, rt.Image = f.first.Path, f.first
				rt.Images, rt.Hints = l.images, l.hints
				return rt, nil
			}
			refusal = err
		case img.Symbol(image.SymbolInit) != 0:
			var version release.Version
			if bias, ok := img.Bias(f.places, img.Symbol(image.SymbolInit)); ok {
				version = img.LiveVersion(p.Memory(), bias, -1)
			}
			refusal = release.TooOld(version)
		}
	}
	switch {
	case refusal != nil:
		return nil, refusal
	case unreadable != nil:
		return nil, fmt.Errorf("look for Python: %w", unreadable)
	case starting: // libpython is not mapped yet
		return nil, cpython.ErrNotReady
	case files[0].named && interpreterName.MatchString(files[0].first.Name()):
		return nil, &release.UnsupportedError{Reason: "no CPython runtime in " + files[0].first.Name() + ": a wrapper, or stripped of all symbols"}
	}
	return nil, ErrNotPython
}

// open reads the runtime that img has, with the mappings of its file. The program's own image
// and mappings are asked first for what it may have a copy of: a program that names a
// library's variable gets that variable into its own data, and the library uses it there.
func open(m process.Memory, img, program *image.Image, maps, programMaps image.Mappings) (*cpython.Runtime, error) {
	bias, ok := img.Bias(maps, img.Runtime)
	if !ok {
		return nil, fmt.Errorf("the Python runtime's data is not mapped: %w", cpython.ErrNotReady)
	}
	find := func(name string) uint64 {
		if program != nil && program != img && program.Symbol(name) != 0 {
			if b, ok := program.Bias(programMaps, program.Symbol(name)); ok {
				return b + program.Symbol(name)
			}
		}
		if img.Symbol(name) != 0 {
			return bias + img.Symbol(name)
		}
		return 0
	}
	rt := &cpython.Runtime{Addr: find(image.SymbolRuntime), CodeType: find(image.SymbolCodeType)}
	if rt.Addr == 0 {
		rt.Addr = bias + img.Runtime
	}
	var err error
	if rt.Version, rt.Layout, err = identify(m, rt.Addr, img, bias, find(image.SymbolVersion)); err != nil {
		return nil, err
	}
	if err := rt.Ready(m); err != nil {
		return nil, err
	}
	rt.Version = img.WithPatch(m, bias, rt.Version) // by now sys.version is there
	return rt, nil
}

// identify tells version and layout of the runtime at addr. The patch release may be left open.
func identify(m process.Memory, addr uint64, img *image.Image, bias, versionAt uint64) (release.Version, release.Layout, error) {
	version, layout, err := release.ReadDebugOffsets(m, addr)
	if !errors.Is(err, release.ErrNoDebugOffsets) {
		return version, layout, err
	}
	minor := img.Minor()
	switch {
	case versionAt != 0:
		var hex [8]byte
		if err := m.Read(versionAt, hex[:]); err != nil {
			return 0, layout, fmt.Errorf("read the version: %w", err)
		}
		version = release.Version(binary.LittleEndian.Uint64(hex[:]))
	case minor >= 0:
		version = release.MakeMinor(3, uint8(minor))
	default:
		version = img.LiveVersion(m, bias, -1)
	}
	if version == 0 {
		return 0, layout, &release.UnsupportedError{Reason: "a CPython whose version cannot be told: its file has no symbols"}
	}
	if layout, err = release.Measured(version); err != nil {
		_, err = release.Measured(img.WithPatch(m, bias, version)) // the user gets to know which it is
		return version, layout, err
	}
	if img.Symbol(image.SymbolTraceRefs) != 0 {
		return version, layout, &release.UnsupportedError{Reason: fmt.Sprintf("CPython %s built with Py_TRACE_REFS", version)}
	}
	return version, layout, nil
}
