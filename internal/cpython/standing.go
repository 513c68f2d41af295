// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// StandSize is how many bytes Stands wants to see of a suspended coroutine.
func (r *Runtime) StandSize() int {
	from, to := r.standSpan()
	return int(to - from)
}

// StandPlace returns where those bytes are. They are to be read into p, which has that size.
func (r *Runtime) StandPlace(s Suspended, p []byte) process.Place {
	from, _ := r.standSpan()
	return process.Place{Addr: s.Addr + uint64(from), P: p}
}

// Stands reports whether a coroutine is still at the instruction, with the same first variable, as when it was read. seen is
// what StandPlace asks for, as it is now.
func (r *Runtime) Stands(s Suspended, seen []byte) bool {
	from, to := r.standSpan()
	if len(seen) != int(to-from) {
		return false
	}
	l := &r.Layout
	f := words.Seen(from, seen)
	code := f.U64(l.FrameCode) &^ uint64(l.FrameCodeTag)
	if code != s.Frame.Code || f.U64(l.FrameLocals)&^uint64(l.FrameCodeTag) != s.Self {
		return false
	}
	at := instr(&l.FrameLayout, code, f)
	if s.Frame.Instr == InstrNotStarted {
		return at < 0 && at != InstrUnknown
	}
	return at == s.Frame.Instr
}

// standSpan is where in a frame Stands looks.
func (r *Runtime) standSpan() (from, to uint32) {
	l := &r.Layout
	return words.Span([]uint32{l.FrameCode, l.FrameInstr, l.FrameLocals})
}
