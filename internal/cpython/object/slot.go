// SPDX-License-Identifier: Apache-2.0

package object

import (
	"fmt"

	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Where a slot's descriptor says which one it is: PyMemberDescrObject.d_member of descrobject.h, and PyMemberDef.offset.
const (
	offDescrMember  = 40
	offMemberOffset = 16
)

// Slot returns where the instances of a class keep what the class has declared in __slots__ under an ASCII name: an offset in bytes.
func (r *Reader) Slot(m process.Memory, class uint64, name string) (uint64, error) {
	descriptor, err := r.ClassAttribute(m, class, name)
	if err != nil {
		return 0, err
	}
	if !r.IsBuiltin(m, descriptor, "member_descriptor") {
		return 0, fmt.Errorf("read slot %s: %w", name, errBadObject)
	}
	member, err := words.At(m, descriptor+offDescrMember)
	if err != nil {
		return 0, err
	}
	offset, err := words.At(m, member+offMemberOffset)
	if err == nil && offset > release.MaxOffset {
		err = errBadObject
	}
	return offset, err
}

// Length returns how many items an object says that it has: a list, a tuple, a deque or a dict.
func (r *Reader) Length(m process.Memory, object uint64) (uint64, error) {
	return words.At(m, object+offSize)
}
