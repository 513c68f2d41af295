// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/loopwatch/loopwatch/internal/process"
)

// MaxDict bounds the entries of a dict that are read, deleted ones included. sys.modules of a
// large program has some thousand.
const MaxDict = 1 << 16

// ErrNoKey says that a dict has no such key.
var ErrNoKey = errors.New("no such key")

var errBadDict = errors.New("not a dict, or one that changes")

// Entry is one entry of a dict: addresses of objects.
type Entry struct{ Key, Value uint64 }

// Dict returns the entries of a dict in the order of their insertion. Where there are more than
// MaxDict it fails. The dict can change while it is read: what was read is to be checked.
func (r *Runtime) Dict(m process.Memory, dict uint64) ([]Entry, error) {
	keys, err := readU64(m, dict+uint64(r.Layout.DictKeys))
	if err != nil {
		return nil, fmt.Errorf("read dict: %w", err)
	}
	entries, shared, err := r.table(m, keys)
	if err == nil && shared { // by the instances of a class: it has no values
		err = errBadDict
	}
	return slices.DeleteFunc(entries, func(e Entry) bool { return e.Key == 0 || e.Value == 0 }), err
}

// table returns all entries of a dict's table, and whether it says that it is shared by several
// dicts and so has no values.
func (r *Runtime) table(m process.Memory, keys uint64) (out []Entry, shared bool, err error) {
	l := &r.Layout
	head := make([]byte, l.KeysIndex)
	if err := m.Read(keys, head); err != nil {
		return nil, false, fmt.Errorf("read dict: %w", err)
	}
	count := binary.LittleEndian.Uint64(head[l.KeysCount:])
	var index uint64 // bytes of it
	width := uint64(24)
	if l.KeysLog2 != 0 {
		log2, kind := head[l.KeysLog2], head[l.KeysKind]
		if log2 > 32 || kind > 2 {
			return nil, false, errBadDict
		}
		shared = kind == 2
		if index = 1 << log2; kind != 0 { // all keys are str, which know their hash
			width = 16
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
			return nil, false, errBadDict
		}
	}
	if count > MaxDict {
		return nil, false, fmt.Errorf("%w: %d entries", errBadDict, count)
	}
	b := make([]byte, count*width)
	if err := m.Read(keys+uint64(l.KeysIndex)+index, b); err != nil {
		return nil, false, fmt.Errorf("read dict: %w", err)
	}
	for ; len(b) > 0; b = b[width:] {
		out = append(out, Entry{binary.LittleEndian.Uint64(b[width-16:]), binary.LittleEndian.Uint64(b[width-8:])})
	}
	return out, shared, nil
}

// Item returns the value that a dict has under a key of ASCII text.
func (r *Runtime) Item(m process.Memory, dict uint64, key string) (uint64, error) {
	entries, err := r.Dict(m, dict)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if r.isText(m, e.Key, key) {
			return e.Value, nil
		}
	}
	return 0, fmt.Errorf("%w: %s", ErrNoKey, key)
}

// isText tells whether an object is a compact str of this ASCII text. Little is read of others.
func (r *Runtime) isText(m process.Memory, addr uint64, text string) bool {
	l := &r.Layout
	b := make([]byte, int(l.StrASCII)+len(text))
	if m.Read(addr, b) != nil {
		return false
	}
	state := binary.LittleEndian.Uint32(b[l.StrState:])
	return binary.LittleEndian.Uint64(b[l.StrLength:]) == uint64(len(text)) && state>>l.StrCompactBit&1 == 1 &&
		state>>l.StrASCIIBit&1 == 1 && string(b[l.StrASCII:]) == text
}

// Module returns the dict of an imported module. The error matches ErrNoKey where there is none.
func (r *Runtime) Module(m process.Memory, interp uint64, name string) (uint64, error) {
	modules, err := readU64(m, interp+uint64(r.Layout.InterpModules))
	if err != nil {
		return 0, fmt.Errorf("read interpreter: %w", err)
	}
	module, err := r.Item(m, modules, name)
	if err != nil {
		return 0, fmt.Errorf("look for module %s: %w", name, err)
	}
	dict, err := readU64(m, module+uint64(r.Layout.ModuleDict))
	if err != nil {
		return 0, fmt.Errorf("read module %s: %w", name, err)
	}
	return dict, nil
}

// InstanceSize returns the size that a type says its instances have.
func (r *Runtime) InstanceSize(m process.Memory, typ uint64) (uint64, error) {
	return readU64(m, typ+uint64(r.Layout.TypeSize))
}
