// SPDX-License-Identifier: Apache-2.0

// Package cpython reads one live CPython runtime inside another process. In go its address, version and layout, as package
// locate finds them, and the memory of the process; out come its thread states, frames, code objects with their names and
// lines, coroutines and what they await. Package object reads all other objects. Nothing is ever written to the process, nothing
// stops it, and everything read from it is treated as hostile: it may be garbage, or change under the reader's hands.
package cpython

import (
	"errors"
	"fmt"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/cpython/image"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
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
	object.Reader
	Addr     uint64          // of _PyRuntime
	CodeType uint64          // of PyCode_Type, 0 where it could not be found
	Path     string          // of the file that holds the runtime, as the process's maps name it
	Image    process.Mapping // one of that file

	Images *image.Cache // what is known of files
}

// ErrNotReady says that the interpreter is just starting or ending: try again later.
var ErrNotReady = errors.New("the Python runtime is not initialized")

// Ready makes sure that the runtime is initialized, has an interpreter with a thread, and is not
// ending: otherwise the error is ErrNotReady.
func (r *Runtime) Ready(m process.Memory) error {
	l := &r.Layout
	if l.RuntimeInitialized != 0 {
		var b [4]byte
		if err := m.Read(r.Addr+uint64(l.RuntimeInitialized), b[:]); err != nil {
			return fmt.Errorf("read the Python runtime: %w", err)
		}
		if b == [4]byte{} {
			return ErrNotReady
		}
	}
	finalizing, err := words.At(m, r.Addr+uint64(l.RuntimeFinalizing))
	if err != nil {
		return fmt.Errorf("read the Python runtime: %w", err)
	}
	interp, err := words.At(m, r.Addr+uint64(l.RuntimeInterpreters))
	if err != nil {
		return fmt.Errorf("read the Python runtime: %w", err)
	}
	if interp == 0 || finalizing != 0 {
		return ErrNotReady
	}
	thread, err := words.At(m, interp+uint64(l.InterpThreads))
	if err != nil {
		return fmt.Errorf("read the Python interpreter: %w", err)
	}
	if thread == 0 {
		return ErrNotReady
	}
	return nil
}
