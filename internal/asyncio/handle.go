// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"encoding/binary"
	"errors"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Where a handle keeps what it calls, and where that was scheduled. Its class has slots, which stand in the order of their names:
// _args, _callback, _cancelled, _context, _loop, _repr, _source_traceback.
const (
	offHandleArgs     = 16
	offHandleCallback = 24
	offHandleSource   = 64
)

var errNoHandle = errors.New("not a handle of asyncio's")

// checkHandle makes sure that an object is a handle of an event loop.
func checkHandle(rt *cpython.Runtime, m process.Memory, object uint64) error {
	typ, err := rt.TypeOf(m, object)
	if err != nil {
		return err
	}
	if name, made, err := rt.TypeName(m, typ); err != nil || !made || name != "Handle" && name != "TimerHandle" {
		return errNoHandle
	}
	return nil
}

// Calls returns the name of what a handle of an event loop calls, where that is no function of Python's.
func Calls(rt *cpython.Runtime, m process.Memory, handle uint64) (string, error) {
	if err := checkHandle(rt, m, handle); err != nil {
		return "", err
	}
	var slots [offHandleCallback + 8 - offHandleArgs]byte
	if err := m.Read(handle+offHandleArgs, slots[:]); err != nil {
		return "", err
	}
	args, err := rt.TypeOf(m, binary.NativeEndian.Uint64(slots[:]))
	if err != nil {
		return "", err
	}
	if name, _, err := rt.TypeName(m, args); err != nil || name != "tuple" {
		return "", errNoHandle
	}
	return rt.Callable(m, binary.NativeEndian.Uint64(slots[offHandleCallback-offHandleArgs:]))
}
