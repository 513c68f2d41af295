// SPDX-License-Identifier: Apache-2.0

// Package object reads the objects of one live CPython runtime. In go the memory of its process, the address of an object, and how
// the release lays objects out; out come strings, numbers, the items of sequences, sets and dicts, and what an object refers to.
// What is read may be garbage, or change meanwhile: every length is bounded.
package object

import (
	"errors"
	"fmt"
	"math"

	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Reader reads objects as one release lays them out.
type Reader struct {
	Version release.Version
	Layout  release.Layout
	Hints   *Hints // where names were found in other dicts; nil: nothing is remembered
}

// MaxItems bounds the items of a list, tuple or set that are read.
const MaxItems = 1 << 16

// Where objects of all supported releases keep what they have: the structures of
// cpython/{listobject,setobject,floatobject,cellobject,classobject,weakrefobject}.h.
const (
	offSize     = 16 // PyVarObject.ob_size
	offListItem = 24 // PyListObject.ob_item, a pointer
	offSetMask  = 32 // PySetObject.mask
	offSetTable = 40 // PySetObject.table
	offFloat    = 16 // PyFloatObject.ob_fval
	offCell     = 16 // PyCellObject.ob_ref
	offMethod   = 24 // PyMethodObject.im_self
	offWeakref  = 16 // PyWeakReference.wr_object
	offValues   = 8  // _dictvalues.values of pycore_dict.h, 3.13 on
)

// Bits of tp_flags, the same in all releases that have them.
const (
	flagHeapType     = 1 << 9
	flagInlineValues = 1 << 2 // 3.13 on
	flagManagedDict  = 1 << 4 // 3.11 on
	flagTuple        = 1 << 26
	flagList         = 1 << 25
)

var errBadObject = errors.New("not an object of that kind, or one that changes")

// TypeOf returns the address of an object's type.
func (r *Reader) TypeOf(m process.Memory, object uint64) (uint64, error) {
	return words.At(m, object+uint64(r.Layout.ObjectType))
}

// maxTypeName bounds the bytes of a type's name.
const maxTypeName = 64

// Base returns the type that a type is derived from first, 0 where there is none.
func (r *Reader) Base(m process.Memory, typ uint64) (uint64, error) {
	return words.At(m, typ+uint64(r.Layout.TypeDict)-32) // tp_base, in all releases
}

// TypeName returns tp_name, cut at 64 bytes, and whether a program could have made the type.
func (r *Reader) TypeName(m process.Memory, typ uint64) (name string, made bool, err error) {
	l := &r.Layout
	flags, err := words.At(m, typ+uint64(l.TypeFlags))
	if err != nil {
		return "", false, fmt.Errorf("read type: %w", err)
	}
	at, err := words.At(m, typ+uint64(l.TypeName))
	if err != nil {
		return "", false, fmt.Errorf("read type: %w", err)
	}
	text, err := cString(m, at)
	if err != nil {
		return "", false, fmt.Errorf("read name of type: %w", err)
	}
	return text, flags&flagHeapType != 0, nil
}

// Float reads a float object. Its type is not looked at.
func (r *Reader) Float(m process.Memory, object uint64) (float64, error) {
	bits, err := words.At(m, object+offFloat)
	return math.Float64frombits(bits), err
}

// Items returns the items of a tuple or a list, at most MaxItems; where there are more it fails.
func (r *Reader) Items(m process.Memory, object uint64) ([]uint64, error) {
	typ, err := r.TypeOf(m, object)
	if err != nil {
		return nil, fmt.Errorf("read sequence: %w", err)
	}
	flags, err := words.At(m, typ+uint64(r.Layout.TypeFlags))
	if err != nil {
		return nil, fmt.Errorf("read sequence: %w", err)
	}
	size, err := words.At(m, object+offSize)
	if err != nil {
		return nil, fmt.Errorf("read sequence: %w", err)
	}
	at := object + uint64(r.Layout.TupleItems)
	switch {
	case size > MaxItems:
		return nil, fmt.Errorf("%w: %d items", errBadObject, size)
	case flags&flagList != 0:
		if at, err = words.At(m, object+offListItem); err != nil {
			return nil, fmt.Errorf("read sequence: %w", err)
		}
	case flags&flagTuple == 0:
		return nil, errBadObject
	}
	return words.Array(m, at, size)
}

// maxPlaces bounds the places of a set's table: it may have four for each member.
const maxPlaces = 4 * MaxItems

// Set returns the members of a set, in no order. Where its table has more than maxPlaces places
// it fails.
func (r *Reader) Set(m process.Memory, set uint64) ([]uint64, error) {
	mask, err := words.At(m, set+offSetMask)
	if err != nil {
		return nil, fmt.Errorf("read set: %w", err)
	}
	table, err := words.At(m, set+offSetTable)
	if err != nil {
		return nil, fmt.Errorf("read set: %w", err)
	}
	if mask >= maxPlaces {
		return nil, fmt.Errorf("%w: a table of %d places", errBadObject, mask)
	}
	words, err := words.Array(m, table, 2*(mask+1)) // key and hash
	if err != nil {
		return nil, fmt.Errorf("read set: %w", err)
	}
	var out []uint64
	for i := 0; i < len(words); i += 2 {
		// What was removed has left a dummy, with -1 for a hash; 3.14 and later mark keys.
		if words[i] != 0 && words[i+1] != math.MaxUint64 {
			out = append(out, words[i])
		}
	}
	return out, nil
}

// WeakSet returns what the members of a weakref.WeakSet refer to, those that are gone left out.
func (r *Reader) WeakSet(m process.Memory, set uint64) ([]uint64, error) {
	data, err := r.Attribute(m, set, "data")
	if err != nil {
		return nil, fmt.Errorf("read WeakSet: %w", err)
	}
	typ, err := r.TypeOf(m, data)
	if err != nil {
		return nil, fmt.Errorf("read WeakSet: %w", err)
	}
	if name, made, err := r.TypeName(m, typ); err != nil || made || name != "set" {
		return nil, errors.Join(fmt.Errorf("read WeakSet: %w", errBadObject), err)
	}
	refs, err := r.Set(m, data)
	if err != nil {
		return nil, err
	}
	objects, err := words.AtEach(m, refs, offWeakref)
	if err != nil {
		return nil, fmt.Errorf("read weak references: %w", err)
	}
	types, err := words.AtEach(m, objects, uint64(r.Layout.ObjectType))
	if err != nil {
		return nil, fmt.Errorf("read what weak references refer to: %w", err)
	}
	var none uint64 // the type of None, which a dead reference has for its object
	names := map[uint64]bool{}
	var out []uint64
	for i, typ := range types {
		if none == 0 && !names[typ] {
			names[typ] = true
			if name, made, err := r.TypeName(m, typ); err == nil && !made && name == "NoneType" {
				none = typ
			}
		}
		if typ != none {
			out = append(out, objects[i])
		}
	}
	return out, nil
}

// Attribute returns an attribute of an instance of a class without slots, by an ASCII name.
func (r *Reader) Attribute(m process.Memory, object uint64, name string) (uint64, error) {
	l := &r.Layout
	minor := r.Version.Minor()
	typ, err := r.TypeOf(m, object)
	if err != nil {
		return 0, err
	}
	if minor <= 10 {
		offset, err := words.At(m, typ+uint64(l.TypeDict))
		if err != nil {
			return 0, err
		}
		if offset == 0 || offset > release.MaxOffset {
			return 0, errBadObject
		}
		dict, err := words.At(m, object+offset)
		if err != nil {
			return 0, err
		}
		return r.itemOf(m, dict, name)
	}
	flags, err := words.At(m, typ+uint64(l.TypeFlags))
	if err != nil {
		return 0, err
	}
	if flags&flagManagedDict == 0 || flags&flagHeapType == 0 {
		return 0, errBadObject
	}
	var values uint64
	// What stands before the object itself: pycore_object.h of each release.
	switch minor {
	case 11: // the values at -4 words or, once somebody has asked for it, the dict at -3
		if values, err = words.At(m, object-32); err != nil {
			return 0, err
		}
	case 12: // the one or the other at -3, the values with the lowest bit set and one less
		if values, err = words.At(m, object-24); err != nil {
			return 0, err
		}
		if values&1 == 0 {
			values = 0
		} else {
			values++
		}
	default: // values behind the object, with whether they count in their fourth byte
		size, err := words.At(m, typ+uint64(l.TypeSize))
		if err != nil {
			return 0, err
		}
		if flags&flagInlineValues != 0 && size <= release.MaxOffset {
			var head [4]byte
			if err := m.Read(object+size, head[:]); err != nil {
				return 0, err
			}
			if head[3] == 1 {
				values = object + size
			}
		}
	}
	if values != 0 {
		keys, err := words.At(m, typ+uint64(l.TypeKeys))
		if err != nil {
			return 0, err
		}
		return r.valueOf(m, keys, values, name)
	}
	dict, err := words.At(m, object-24)
	if err != nil {
		return 0, err
	}
	return r.itemOf(m, dict, name)
}

// ClassAttribute returns what a class that a program made has under an ASCII name, itself and not by inheritance.
func (r *Reader) ClassAttribute(m process.Memory, class uint64, name string) (uint64, error) {
	dict, err := words.At(m, class+uint64(r.Layout.TypeDict)-24) // tp_dict, in all releases
	if err != nil {
		return 0, fmt.Errorf("read class: %w", err)
	}
	return r.itemOf(m, dict, name)
}

// Referent returns the object that a weak reference refers to.
func (r *Reader) Referent(m process.Memory, reference uint64) (uint64, error) {
	return words.At(m, reference+offWeakref)
}

// errLongText says that a str is longer than its reader takes.

// itemOf looks a name up in a dict, whose table may be shared.
func (r *Reader) itemOf(m process.Memory, dict uint64, name string) (uint64, error) {
	values, err := words.At(m, dict+uint64(r.Layout.DictValues))
	if err != nil {
		return 0, err
	}
	if values == 0 {
		return r.Item(m, dict, name)
	}
	keys, err := words.At(m, dict+uint64(r.Layout.DictKeys))
	if err != nil {
		return 0, err
	}
	return r.valueOf(m, keys, values, name)
}

// maxShared bounds the keys of a shared table: SHARED_KEYS_MAX_SIZE is 30, before 3.11 there was none.
const maxShared = 1 << 10

// valueOf looks a name up in a shared table, whose values are elsewhere.
func (r *Reader) valueOf(m process.Memory, keys, values uint64, name string) (uint64, error) {
	t, err := r.tableAt(m, keys)
	if err != nil {
		return 0, err
	}
	t.count = min(t.count, maxShared)
	entries, err := t.all(m)
	if err != nil {
		return 0, err
	}
	if r.Version.Minor() >= 13 {
		values += offValues
	}
	for i, e := range entries {
		if r.IsText(m, e.Key, name) {
			value, err := words.At(m, values+8*uint64(i))
			if err == nil && value == 0 {
				break
			}
			return value, err
		}
	}
	return 0, fmt.Errorf("%w: %s", ErrNoKey, name)
}

// Closure returns what the cells of a function's closure hold, nil where it has none.
func (r *Reader) Closure(m process.Memory, function uint64) ([]uint64, error) {
	closure, err := words.At(m, function+uint64(r.Layout.FuncClosure))
	if err != nil || closure == 0 {
		return nil, err
	}
	cells, err := r.Items(m, closure)
	if err != nil {
		return nil, err
	}
	if len(cells) > 64 {
		return nil, errBadObject
	}
	var out []uint64
	for _, cell := range cells {
		value, err := r.Cell(m, cell)
		if err != nil {
			return out, err
		}
		out = append(out, value)
	}
	return out, nil
}

// Cell returns the object that a cell holds, 0 where it is empty.
func (r *Reader) Cell(m process.Memory, cell uint64) (uint64, error) {
	return words.At(m, cell+offCell)
}

// Self returns the object that a bound method is bound to.
func (r *Reader) Self(m process.Memory, method uint64) (uint64, error) {
	return words.At(m, method+offMethod)
}
