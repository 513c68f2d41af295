// SPDX-License-Identifier: Apache-2.0

// Package cpython reads one CPython runtime inside another process. It takes a
// process.Process, finds the interpreter among its mappings and its version and layout, and
// hands out its layout, thread states, frames, and code objects with their names and lines.
// Nothing is ever written to the process, nothing stops it, and everything read from it is
// treated as hostile: it may be garbage, or change under the reader's hands.
package cpython

import (
	"errors"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Values of RawFrame.Instr that are no index.
const (
	InstrNotStarted = abi.InstrNotStarted // the frame has not executed an instruction yet
	InstrUnknown    = abi.InstrUnknown    // the frame's instruction lies outside its code object
)

// RawFrame is a frame as found in memory, not yet named. The kernel's walker emits the same.
type RawFrame struct {
	Code  uint64 // address of the code object
	Instr int32  // index of the instruction in 2-byte code units, or InstrNotStarted, InstrUnknown
	Check uint32 // CodeCheck of the code object, to notice that the address was used again
}

// CodeCheck makes RawFrame.Check from two fields of a code object: where its path lies in memory,
// and its first line. The line alone would not do: all modules begin in the first one, and the code
// of one is often followed by that of the next, at the same address. Their paths are in use at the
// same time and so differ by address.
func CodeCheck(file uint64, firstLine int32) uint32 {
	return uint32(file) ^ uint32(firstLine)<<24
}

// Thread is a PyThreadState.
type Thread struct {
	Addr     uint64 // of the PyThreadState
	ThreadID uint64 // pthread_self; on x86-64 the thread's fsbase
	NativeID uint64 // thread id in the process's own PID namespace; 0 before 3.11
	Interp   uint64 // address of its PyInterpreterState
}

// Runtime is a CPython runtime found in a process. It holds no reference to the process: the
// methods take its memory, and the caller sees to it that it is still the same process.
type Runtime struct {
	Version  Version
	Addr     uint64 // of _PyRuntime
	Layout   Layout
	CodeType uint64          // of PyCode_Type, 0 where it could not be found
	Path     string          // of the file that holds the runtime, as the process's maps name it
	Image    process.Mapping // one of that file
}

// UnsupportedError says that a process is a Python, but none that can be watched.
type UnsupportedError struct {
	Reason string // for the user: "CPython 3.7: too old, 3.8 is the oldest supported"
}

func (e *UnsupportedError) Error() string { return e.Reason }

var (
	// ErrNotPython says that no Python interpreter is mapped.
	ErrNotPython = errors.New("not a Python process")
	// ErrNotReady says that the interpreter is just starting or ending: try again later.
	ErrNotReady = errors.New("the Python runtime is not initialized")
)
