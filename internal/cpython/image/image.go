// SPDX-License-Identifier: Apache-2.0

// Package image reads what an executable or a library says of Python. In goes a file that is mapped into a process; out
// come the addresses of what is Python's in it, the release it belongs to, and where it is loaded. A Cache remembers what
// it has read. Nothing that a file says is believed before it is checked, and all sizes are bounded.
package image

import (
	"os"
	"slices"

	"github.com/loopwatch/loopwatch/internal/elffile"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Image is what was found in one ELF file. Addresses are the file's own, without load bias.
type Image struct {
	Imports bool   // Python's API is used and not defined: libpython is another file
	Runtime uint64 // of _PyRuntime, by symbol or section; 0 where there is none
	Asyncio uint64 // of what _asyncio says of itself (3.14 on), 0 where there is none

	segments []elffile.Segment
	symbols  map[string]uint64 // of wantedSymbols those the file defines
}

// Symbol returns the address of one of the Symbol constants, 0 where the file does not define it.
func (img *Image) Symbol(name string) uint64 { return img.symbols[name] }

// IsPyPy reports whether the file is PyPy.
func (img *Image) IsPyPy() bool {
	return img.symbols[symbolPyPy] != 0 || img.symbols[symbolRPython] != 0
}

// Minor tells the minor release by the functions that the file defines, -1 where it cannot.
func (img *Image) Minor() int {
	has := func(name string) bool { return img.symbols[name] != 0 }
	switch {
	case has(SymbolVersion) || !has(SymbolInit):
		return -1 // 3.11 or later, or stripped so far that nothing can be said
	case has(symbolNewRef):
		return 10
	case has(symbolGetBack):
		return 9
	case has(symbolPosOnly):
		return 8
	case has(SymbolRuntime):
		return 7
	}
	return -1
}

// Mappings are those of one file: by the offset at which they begin in it, where they are, in ascending order.
type Mappings map[uint64][]uint64

// NewMappings sorts the mappings of one file.
func NewMappings(maps []process.Mapping) Mappings {
	out := make(Mappings)
	for _, m := range maps {
		out.Add(m)
	}
	for _, starts := range out {
		slices.Sort(starts)
	}
	return out
}

// Add adds a mapping that lies behind those that are there.
func (m Mappings) Add(next process.Mapping) { m[next.Offset] = append(m[next.Offset], next.Start) }

// maxVotes bounds the mappings of one segment that are asked where the file is loaded. There are two or three.
const maxVotes = 32

// Bias returns what has to be added to an address of the file. The loader maps every segment
// at one distance, and maps can hold pieces of the file that it did not load: a copy that
// something reads as data, or the trampolines of libffi, which maps the text it is part of
// once more. So the bias that most segments agree on is taken, and the segment of the wanted
// address must agree.
func (img *Image) Bias(maps Mappings, wanted uint64) (uint64, bool) {
	best, most := uint64(0), 0
	for bias, n := range img.votes(maps) {
		if n < most || n == most && bias >= best || !img.mapped(maps, bias, wanted) {
			continue
		}
		best, most = bias, n
	}
	return best, most > 0
}

// votes counts the segments that are where they are with a bias.
func (img *Image) votes(maps Mappings) map[uint64]int {
	page := uint64(os.Getpagesize())
	votes := map[uint64]int{}
	for _, s := range img.segments {
		if s.FileSize == 0 {
			continue
		}
		starts := maps[s.Offset&^(page-1)]
		for _, start := range starts[:min(len(starts), maxVotes)] {
			votes[start-s.Addr&^(page-1)]++
		}
	}
	return votes
}

// mapped reports whether with this bias the segment that holds addr is where maps have it.
func (img *Image) mapped(maps Mappings, bias, addr uint64) bool {
	page := uint64(os.Getpagesize())
	for _, s := range img.segments {
		if addr < s.Addr || addr-s.Addr >= s.MemSize {
			continue
		}
		if _, ok := slices.BinarySearch(maps[s.Offset&^(page-1)], bias+s.Addr&^(page-1)); ok {
			return true
		}
	}
	return false
}
