// SPDX-License-Identifier: Apache-2.0

package object

import (
	"iter"
	"slices"

	"github.com/loopwatch/loopwatch/internal/process"
)

// maxBases bounds the classes between an object's own and one that it may be derived from.
const maxBases = 16

// Lineage yields the types that an object is an instance of: its own, the one that this is derived from first, and so on, as far as they
// can be read.
func (r *Reader) Lineage(m process.Memory, object uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		typ, err := r.TypeOf(m, object)
		for range maxBases {
			if err != nil || typ == 0 || !yield(typ) {
				return
			}
			typ, err = r.Base(m, typ)
		}
	}
}

// IsA reports whether an object is an instance of a class, or of one that is derived from it.
func (r *Reader) IsA(m process.Memory, object, class uint64) bool {
	if class == 0 {
		return false
	}
	for typ := range r.Lineage(m, object) {
		if typ == class {
			return true
		}
	}
	return false
}

// IsBuiltin reports whether an object's type has one of these names, and no program has made it.
func (r *Reader) IsBuiltin(m process.Memory, object uint64, names ...string) bool {
	name, made, ok := r.typeNameOf(m, object)
	return ok && !made && slices.Contains(names, name)
}

// IsMade reports whether an object's type has one of these names, and may be a program's.
func (r *Reader) IsMade(m process.Memory, object uint64, names ...string) bool {
	name, made, ok := r.typeNameOf(m, object)
	return ok && made && slices.Contains(names, name)
}

func (r *Reader) typeNameOf(m process.Memory, object uint64) (name string, made, ok bool) {
	typ, err := r.TypeOf(m, object)
	if err != nil {
		return "", false, false
	}
	name, made, err = r.TypeName(m, typ)
	return name, made, err == nil
}

// TypeNames tells the names of objects' types. It remembers types, so it is for one moment only.
type TypeNames struct {
	reader *Reader
	known  map[uint64]typeName
}

type typeName struct {
	name string
	made bool
}

// maxTypeNames bounds the types that are remembered.
const maxTypeNames = 1 << 12

// NewTypeNames returns a TypeNames that knows no type yet.
func (r *Reader) NewTypeNames() *TypeNames { return &TypeNames{r, make(map[uint64]typeName)} }

// Of returns the name of an object's type, and whether a program could have made the type; "" where it cannot be read.
func (n *TypeNames) Of(m process.Memory, object uint64) (name string, made bool) {
	if object == 0 {
		return "", false
	}
	typ, err := n.reader.TypeOf(m, object)
	if err != nil {
		return "", false
	}
	known, ok := n.known[typ]
	if !ok {
		if known.name, known.made, err = n.reader.TypeName(m, typ); err != nil {
			return "", false
		}
		if len(n.known) < maxTypeNames {
			n.known[typ] = known
		}
	}
	return known.name, known.made
}
