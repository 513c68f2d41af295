// SPDX-License-Identifier: Apache-2.0

package object

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// MaxDict bounds the entries of a dict that are read, deleted ones included. sys.modules of a
// large program has some thousand.
const MaxDict = 1 << 16

// ErrNoKey says that a dict has no such key.
var ErrNoKey = errors.New("no such key")

// maxKeysHead bounds what stands before the index of a dict's table.
const maxKeysHead = 64

var errBadDict = errors.New("not a dict, or one that changes")

// Entry is one entry of a dict: addresses of objects.
type Entry struct{ Key, Value uint64 }

// Dict returns the entries of a dict in the order of their insertion. Where there are more than
// MaxDict it fails. The dict can change while it is read: what was read is to be checked.
func (r *Reader) Dict(m process.Memory, dict uint64) ([]Entry, error) {
	t, err := r.tableOf(m, dict)
	if err != nil {
		return nil, err
	}
	entries, err := t.all(m)
	return slices.DeleteFunc(entries, Entry.none), err
}

// none tells the place of an entry that was deleted.
func (e Entry) none() bool { return e.Key == 0 || e.Value == 0 }

// table is where a dict has its entries.
type table struct {
	at     uint64 // the first
	width  uint64 // bytes of each
	count  uint64 // MaxDict at most
	shared bool   // by the instances of a class: it has no values
}

// tableOf finds the table of a dict that has one of its own.
func (r *Reader) tableOf(m process.Memory, dict uint64) (table, error) {
	keys, err := words.At(m, dict+uint64(r.Layout.DictKeys))
	if err != nil {
		return table{}, fmt.Errorf("read dict: %w", err)
	}
	t, err := r.tableAt(m, keys)
	if err == nil && t.shared {
		err = errBadDict
	}
	return t, err
}

func (r *Reader) tableAt(m process.Memory, keys uint64) (table, error) {
	l := &r.Layout
	var room [maxKeysHead]byte
	head := room[:min(l.KeysIndex, maxKeysHead)]
	if err := m.Read(keys, head); err != nil {
		return table{}, fmt.Errorf("read dict: %w", err)
	}
	t := table{width: 24, count: binary.LittleEndian.Uint64(head[l.KeysCount:])}
	var index uint64 // bytes of it
	if l.KeysLog2 != 0 {
		log2, kind := head[l.KeysLog2], head[l.KeysKind]
		if log2 > 32 || kind > 2 {
			return table{}, errBadDict
		}
		t.shared = kind == 2
		if index = 1 << log2; kind != 0 { // all keys are str, which know their hash
			t.width = 16
		}
	} else {
		slots := binary.LittleEndian.Uint64(head[l.KeysSize:])
		switch {
		case slots <= 0xff:
			index = slots
		case slots <= 0xffff:
			index = 2 * slots
		case slots <= 0xffffffff:
			index = 4 * slots
		default:
			return table{}, errBadDict
		}
	}
	if t.count > MaxDict {
		return table{}, fmt.Errorf("%w: %d entries", errBadDict, t.count)
	}
	t.at = keys + uint64(l.KeysIndex) + index
	return t, nil
}

// some reads n entries from the first on.
func (t table) some(m process.Memory, first, n uint64) ([]Entry, error) {
	b := make([]byte, n*t.width)
	if err := m.Read(t.at+first*t.width, b); err != nil {
		return nil, fmt.Errorf("read dict: %w", err)
	}
	out := make([]Entry, 0, n)
	for w := t.width; len(b) > 0; b = b[w:] {
		out = append(out, Entry{binary.LittleEndian.Uint64(b[w-16:]), binary.LittleEndian.Uint64(b[w-8:])})
	}
	return out, nil
}

func (t table) all(m process.Memory) ([]Entry, error) { return t.some(m, 0, t.count) }

// Item returns the value that a dict has under a key of ASCII text, one that loopwatch knows: where it was found is
// remembered.
func (r *Reader) Item(m process.Memory, dict uint64, key string) (uint64, error) {
	t, err := r.tableOf(m, dict)
	if err != nil {
		return 0, err
	}
	hint := hintKey{r.Version.Minor(), key}
	if n := r.Hints.get(hint); n < t.count {
		if e, err := t.some(m, n, 1); err == nil && !e[0].none() && r.IsText(m, e[0].Key, key) {
			return e[0].Value, nil
		}
	}
	n, value, err := r.scan(m, t, key)
	if err == nil {
		r.Hints.put(hint, uint64(n))
	}
	return value, err
}

// ItemOf is Item for a key of the process's own making.
func (r *Reader) ItemOf(m process.Memory, dict uint64, key string) (uint64, error) {
	t, err := r.tableOf(m, dict)
	if err != nil {
		return 0, err
	}
	_, value, err := r.scan(m, t, key)
	return value, err
}

func (r *Reader) scan(m process.Memory, t table, key string) (n int, value uint64, err error) {
	entries, err := t.all(m)
	if err != nil {
		return 0, 0, err
	}
	n, ok := r.find(m, entries, key)
	if !ok {
		return 0, 0, fmt.Errorf("%w: %s", ErrNoKey, key)
	}
	return n, entries[n].Value, nil
}

// find returns which of some entries has a key of this ASCII text.
func (r *Reader) find(m process.Memory, entries []Entry, key string) (n int, ok bool) {
	const piece = 256
	size := int(r.Layout.StrASCII) + len(key)
	text := make([]byte, size*min(piece, len(entries)))
	places := make([]process.Place, 0, min(piece, len(entries)))
	which := make([]int, 0, cap(places))
	for from := 0; from < len(entries); from += piece {
		places, which = places[:0], which[:0]
		for i, e := range entries[from:min(from+piece, len(entries))] {
			if !e.none() {
				places = append(places, process.Place{Addr: e.Key, P: text[i*size : (i+1)*size]})
				which = append(which, from+i)
			}
		}
		process.ReadEach(m, places)
		for i, p := range places {
			if p.OK && hasText(&r.Layout, p.P, key) {
				return which[i], true
			}
		}
	}
	return 0, false
}

// IsText reports whether an object is a compact str of this ASCII text. Little is read of others.
func (r *Reader) IsText(m process.Memory, addr uint64, text string) bool {
	b := make([]byte, int(r.Layout.StrASCII)+len(text))
	return m.Read(addr, b) == nil && hasText(&r.Layout, b, text)
}

// hasText reports whether a str object that is seen as far as such a text would go has it.
func hasText(l *release.Layout, b []byte, text string) bool {
	if max(l.StrState+4, l.StrLength+8) > l.StrASCII {
		return false // a process may say anything of how its objects are laid out
	}
	state := binary.LittleEndian.Uint32(b[l.StrState:])
	return binary.LittleEndian.Uint64(b[l.StrLength:]) == uint64(len(text)) && state>>l.StrCompactBit&1 == 1 &&
		state>>l.StrASCIIBit&1 == 1 && string(b[l.StrASCII:]) == text
}

// Module returns the dict of an imported module. The error matches ErrNoKey where there is none.
func (r *Reader) Module(m process.Memory, interp uint64, name string) (uint64, error) {
	modules, err := words.At(m, interp+uint64(r.Layout.InterpModules))
	if err != nil {
		return 0, fmt.Errorf("read interpreter: %w", err)
	}
	module, err := r.Item(m, modules, name)
	if err != nil {
		return 0, fmt.Errorf("look for module %s: %w", name, err)
	}
	dict, err := words.At(m, module+uint64(r.Layout.ModuleDict))
	if err != nil {
		return 0, fmt.Errorf("read module %s: %w", name, err)
	}
	return dict, nil
}

// InstanceSize returns the size that a type says its instances have.
func (r *Reader) InstanceSize(m process.Memory, typ uint64) (uint64, error) {
	return words.At(m, typ+uint64(r.Layout.TypeSize))
}
