// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"encoding/binary"

	"github.com/loopwatch/loopwatch/internal/process"
)

// ThreadNames returns the names that threading has for the threads of an interpreter, by Thread.ThreadID; before
// 3.14 the kernel does not know them. Names that cannot be read are left out, and all of them where the
// program has not imported threading.
func (r *Runtime) ThreadNames(m process.Memory, interp uint64) map[uint64]string {
	module, err := r.Module(m, interp, "threading")
	if err != nil {
		return nil
	}
	active, err := r.Item(m, module, "_active")
	if err != nil {
		return nil
	}
	entries, err := r.Dict(m, active)
	if err != nil {
		return nil
	}
	out := make(map[uint64]string)
	for _, e := range entries[:min(len(entries), maxThreads)] {
		ident, ok := r.unsigned(m, e.Key)
		if !ok {
			continue
		}
		object, err := r.Attribute(m, e.Value, "_name")
		if err != nil {
			continue
		}
		typ, err := r.TypeOf(m, object)
		if err != nil {
			continue
		}
		flags, err := readU64(m, typ+uint64(r.Layout.TypeFlags))
		if err != nil || flags&flagStr == 0 {
			continue
		}
		if name, _, err := r.readStr(m, object); err == nil {
			out[ident] = name
		}
	}
	return out
}

// unsigned reads an int of at most three digits, which are 64 bits and more, that is not negative.
func (r *Runtime) unsigned(m process.Memory, object uint64) (n uint64, ok bool) {
	l := &r.Layout
	size, err := readU64(m, object+uint64(l.LongSize))
	if err != nil {
		return 0, false
	}
	if r.Version.Minor() >= 12 { // the low three bits say sign and more: 2 is negative
		if size&3 == 2 {
			return 0, false
		}
		size >>= 3
	}
	const most = 3
	if size == 0 || size > most {
		return 0, false
	}
	var b [4 * most]byte
	if m.Read(object+uint64(l.LongDigits), b[:4*size]) != nil {
		return 0, false
	}
	for i := range size {
		n |= uint64(binary.LittleEndian.Uint32(b[4*i:])) << (30 * i)
	}
	return n, true
}
