// SPDX-License-Identifier: Apache-2.0

package cpython

import (
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
		ident, ok := r.Unsigned(m, e.Key)
		if !ok {
			continue
		}
		object, err := r.Attribute(m, e.Value, "_name")
		if err != nil {
			continue
		}
		if name, err := r.Name(m, object); err == nil {
			out[ident] = name
		}
	}
	return out
}
