// SPDX-License-Identifier: Apache-2.0

package elffile

// Kinds of sections with symbols, and numbers in a symbol (System V gABI, and elf.h).
const (
	SectionSymbols = 2  // SHT_SYMTAB
	SectionDynamic = 11 // SHT_DYNSYM

	SymbolSize      = 24
	SymbolUndefined = 0      // SHN_UNDEF
	SymbolReserved  = 0xff00 // SHN_LORESERVE: absolute, common and other non-sections
)

// Symbols returns the symbol table of a kind and its names. There is one of each kind: where a file names several, the first
// counts.
func (f *File) Symbols(kind uint32) (table, names Section, ok bool) {
	for _, s := range f.Sections {
		if s.Kind == kind {
			if int(s.Link) >= len(f.Sections) {
				return Section{}, Section{}, false
			}
			return s, f.Sections[s.Link], true
		}
	}
	return Section{}, Section{}, false
}

// PieceSize is how many bytes of a section Pieces hands out at a time, overlaps not counted.
const PieceSize = 256 << 10

// Pieces reads a section bit by bit. Each piece but the last is a multiple of unit long, with overlap bytes more that the next
// one begins with. It stops when use returns false.
func (f *File) Pieces(s Section, unit, overlap uint64, use func([]byte) bool) error {
	step := PieceSize / unit * unit
	buf := make([]byte, min(step+overlap, s.Size))
	for at := uint64(0); at < s.Size; at += step {
		piece := buf[:min(step+overlap, s.Size-at)]
		if err := f.Read(piece, s.Offset+at); err != nil {
			return err
		}
		if !use(piece) {
			return nil
		}
	}
	return nil
}
