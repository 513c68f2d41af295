// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"errors"
	"fmt"

	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// ErrNotRunning says that no frame of a code object is on a stack.
var ErrNotRunning = errors.New("no frame of that code is on the stack")

// Globals returns the dict of the globals of the innermost frame of a code object on the stack of the thread state at
// tstate, and how many frames it has looked at, at most most. The frame may end meanwhile: the answer is as true as the thread
// is still.
func (r *Runtime) Globals(m process.Memory, tstate, code uint64, most int) (dict uint64, looked int, err error) {
	type found struct {
		dict   uint64
		looked int
	}
	out, err := process.ReadTogether(m, func(m process.Memory) (out found, err error) {
		out.dict, out.looked, err = r.globals(m, tstate, code, most)
		return out, err
	})
	return out.dict, out.looked, err
}

func (r *Runtime) globals(m process.Memory, tstate, code uint64, most int) (dict uint64, looked int, err error) {
	l := &r.Layout.FrameLayout
	err = r.walk(m, tstate, func(addr uint64, f words.Fields) bool {
		if looked++; looked > most {
			return false
		}
		if f.U64(l.FrameCode)&^uint64(l.FrameCodeTag) != code {
			return true
		}
		var buf [256]byte
		at := r.frameGlobals()
		again, err := words.Read(m, addr, buf[:], l.FrameCode, at)
		if err == nil && again.U64(l.FrameCode) == f.U64(l.FrameCode) {
			dict = again.U64(at)
		}
		return false
	})
	switch {
	case dict != 0:
		return dict, looked, nil
	case err != nil && !errors.Is(err, ErrCut):
		return 0, looked, fmt.Errorf("look for a frame: %w", err)
	}
	return 0, looked, ErrNotRunning
}

// frameGlobals is where a frame has f_globals: struct _frame of frameobject.h to 3.10, _PyInterpreterFrame of
// pycore_frame.h in 3.11 to 3.13, of pycore_interpframe_structs.h from 3.14 on.
func (r *Runtime) frameGlobals() uint32 {
	l := &r.Layout.FrameLayout
	switch minor := r.Version.Minor(); {
	case minor <= 10:
		return l.FrameCode + 16 // f_code, f_builtins, f_globals
	case minor == 11:
		return max(l.FrameCode, 24) - 24 // f_globals, f_builtins, f_locals, f_code
	}
	return l.FrameBack + 16 // previous, f_funcobj, f_globals
}
