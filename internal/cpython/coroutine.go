// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"errors"
	"fmt"

	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// MaxAwaits bounds the coroutines that await one another which are followed.
const MaxAwaits = 1 << 10

// Suspended is a coroutine, or a generator or asynchronous generator on the way, that is at rest,
// seen from outside. Followed from a task, it shows where the task stands.
type Suspended struct {
	Frame RawFrame
	Addr  uint64 // of its frame in memory
	// Self is its first local variable, an object, 0 where that is unbound.
	Self uint64
}

// ErrExecuting says that a coroutine runs at this moment: its frames are those of the thread.
var ErrExecuting = errors.New("the coroutine is executing")

// Awaits follows a coroutine from what it is itself to what it awaits, and that awaits, and so on:
// outermost first, at most MaxAwaits, where there are more with ErrCut. leaf is the type of what is
// awaited last and has no frame, such as "_asyncio.FutureIter", "" where there is none. A coroutine
// that has not started has one frame, with InstrNotStarted; one that has ended none. With an error
// come the coroutines found that far.
func (r *Runtime) Awaits(m process.Memory, coroutine uint64) (chain []Suspended, leaf string, err error) {
	seen := map[uint64]bool{}
	types := map[uint64]string{}
	for object := coroutine; object != 0; {
		if seen[object] {
			return chain, "", fmt.Errorf("follow a coroutine: %w", errCircle)
		}
		if len(seen) >= MaxAwaits {
			return chain, "", ErrCut
		}
		seen[object] = true
		typ, err := r.TypeOf(m, object)
		if err != nil {
			return chain, "", fmt.Errorf("follow a coroutine: %w", err)
		}
		name, ok := types[typ]
		if !ok {
			var made bool
			if name, made, err = r.TypeName(m, typ); err != nil {
				return chain, "", fmt.Errorf("follow a coroutine: %w", err)
			}
			if made { // a program's class may have any name
				return chain, name, nil
			}
			types[typ] = name
		}
		switch awaitables[name] {
		case wraps: // what it wraps comes first
			if object, err = words.At(m, object+offWrapped); err != nil {
				return chain, "", fmt.Errorf("follow %s: %w", name, err)
			}
		case framed:
			s, next, err := r.suspended(m, object, name == "generator")
			if err != nil {
				return chain, "", fmt.Errorf("follow a coroutine: %w", err)
			}
			if s.Addr != 0 {
				chain = append(chain, s)
			}
			object = next
		default:
			return chain, name, nil
		}
	}
	return chain, "", nil
}

const (
	framed = iota + 1
	wraps
	offWrapped = 16 // the first field of what only wraps a coroutine: Objects/genobject.c
)

// awaitables tells which of the types that a coroutine may await have a frame.
var awaitables = map[string]int{
	"coroutine": framed, "generator": framed, "async_generator": framed,
	"coroutine_wrapper": wraps, "async_generator_asend": wraps, "async_generator_athrow": wraps, "anext_awaitable": wraps,
}

// States of a coroutine's frame: enum _framestate of pycore_frame.h.
const (
	frameCreated13, frameSuspended13, frameYieldFrom13 = -3, -2, -1 // 3.13 and 3.14
	frameCreated11, frameSuspended11                   = -2, -1     // 3.11 and 3.12
	frameExecuting                                     = 0          // to 3.14
	frameCreated15, frameSuspended15                   = 0, 1       // from 3.15 on
	frameYieldFrom15, frameYieldFromLocked15           = 2, 3
	frameExecuting15                                   = 4
)

// suspended reads the frame of one coroutine and what it awaits.
func (r *Runtime) suspended(m process.Memory, object uint64, generator bool) (s Suspended, awaits uint64, err error) {
	l := &r.Layout
	minor := r.Version.Minor()
	frame := object + uint64(l.CoroFrame)
	awaiting := true
	if minor >= 11 {
		var b [1]byte
		if err := m.Read(object+uint64(l.CoroState), b[:]); err != nil {
			return s, 0, err
		}
		state := int8(b[0])
		created, executing := int8(frameCreated13), int8(frameExecuting)
		yields := state == frameSuspended13
		ended := state > frameExecuting
		switch {
		case minor >= 15:
			created, executing = frameCreated15, frameExecuting15
			yields, ended = state == frameSuspended15, state > frameExecuting15
		case minor <= 12:
			created = frameCreated11
			yields = false // whether it yields or awaits does not stand there
		}
		switch {
		case ended:
			return s, 0, nil
		case state == executing:
			return s, 0, ErrExecuting
		}
		awaiting = state != created && !yields
	} else {
		if frame, err = words.At(m, frame); err != nil {
			return s, 0, err
		}
		if frame == 0 { // it has ended
			return s, 0, nil
		}
	}
	var buf [128]byte
	f, err := words.Read(m, frame, buf[:], l.FrameCode, l.FrameInstr, l.FrameStack)
	if err != nil {
		return s, 0, err
	}
	code := f.U64(l.FrameCode) &^ uint64(l.FrameCodeTag)
	one := []RawFrame{{Code: code, Instr: instr(&l.FrameLayout, code, f)}}
	readChecks(m, &l.FrameLayout, one)
	s = Suspended{Frame: one[0], Addr: frame}
	if self, err := words.At(m, frame+uint64(l.FrameLocals)); err == nil {
		s.Self = self &^ uint64(l.FrameCodeTag)
	}
	if s.Frame.Instr < 0 && s.Frame.Instr != InstrUnknown {
		s.Frame.Instr = InstrNotStarted
		return s, 0, nil
	}
	if !awaiting {
		return s, 0, nil
	}
	locals := frame + uint64(l.FrameLocals)
	var end uint64 // of the value stack
	switch l.FrameStackKind {
	case release.StackPointer:
		end = f.U64(l.FrameStack)
		if end == 0 {
			return s, 0, ErrExecuting
		}
	case release.StackDepth:
		depth := f.I32(l.FrameStack)
		if depth < 0 {
			return s, 0, ErrExecuting
		}
		base, err := words.At(m, frame+uint64(l.FrameStackBase))
		if err != nil {
			return s, 0, err
		}
		if depth == 0 {
			return s, 0, nil
		}
		end = base + 8*uint64(depth)
	case release.StackIndex:
		n := f.I32(l.FrameStack)
		if n < 0 {
			return s, 0, ErrExecuting
		}
		end = locals + 8*uint64(n)
	}
	if minor >= 15 { // on top lies what an iteration needs besides
		end -= 8
	}
	// The value stack lies behind the locals, and a frame has a bounded size.
	if end <= locals || end-locals > maxFrame || end%8 != 0 {
		return s, 0, nil
	}
	if generator && minor <= 12 && !r.delegates(m, code, s.Frame.Instr) {
		return s, 0, nil
	}
	top, err := words.At(m, end-8)
	if err != nil {
		return s, 0, err
	}
	return s, top &^ uint64(l.FrameCodeTag), nil
}

// maxFrame bounds the bytes of the locals and values of one frame.
const maxFrame = 1 << 20

// delegates reports whether a generator that is at rest at an instruction does so for another one
// that it yields from.
func (r *Runtime) delegates(m process.Memory, code uint64, instr int32) bool {
	const yieldFrom = 72 // of Include/opcode.h, to 3.10
	next := uint64(instr+1) * 2
	var b [2]byte
	if r.Version.Minor() >= 11 {
		// It goes on with RESUME, whose argument says what it has rested for: 2 yield from, 3 await.
		return m.Read(code+uint64(r.Layout.CodeInstrs)+next, b[:]) == nil && b[1]&3 >= 2
	}
	text, err := words.At(m, code+uint64(r.Layout.CodeBytes))
	return err == nil && m.Read(text+uint64(r.Layout.BytesData)+next, b[:]) == nil && b[0] == yieldFrom
}

// Local returns the object that a local variable of a frame holds, 0 where it is unbound. What
// stands at the address of the frame may change: the answer is as true as the thread is still.
func (r *Runtime) Local(m process.Memory, frame, code uint64, name string) (uint64, error) {
	l := &r.Layout
	names, err := words.At(m, code+uint64(l.CodeVarNames))
	if err != nil {
		return 0, fmt.Errorf("read names of variables: %w", err)
	}
	items, err := r.Items(m, names)
	if err != nil {
		return 0, fmt.Errorf("read names of variables: %w", err)
	}
	for i, item := range items {
		if r.IsText(m, item, name) {
			value, err := words.At(m, frame+uint64(l.FrameLocals)+8*uint64(i))
			if err == nil && value == 0 && r.Version.Minor() <= 10 { // an argument that inner functions share
				if shared, err := r.cellVariable(m, frame, code, len(items), name); err == nil {
					return shared, nil
				}
			}
			return value &^ uint64(l.FrameCodeTag), err
		}
	}
	return 0, fmt.Errorf("%w: %s", object.ErrNoKey, name)
}

// cellVariable returns what a variable holds that inner functions share (to 3.10): its cell follows the local variables.
func (r *Runtime) cellVariable(m process.Memory, frame, code uint64, locals int, name string) (uint64, error) {
	cells, err := words.At(m, code+uint64(r.Layout.CodeVarNames)+16) // co_cellvars
	if err != nil {
		return 0, fmt.Errorf("read names of variables: %w", err)
	}
	items, err := r.Items(m, cells)
	if err != nil {
		return 0, fmt.Errorf("read names of variables: %w", err)
	}
	for i, item := range items {
		if r.IsText(m, item, name) {
			cell, err := words.At(m, frame+uint64(r.Layout.FrameLocals)+8*uint64(locals+i))
			if err != nil || cell == 0 {
				return 0, err
			}
			return r.Cell(m, cell)
		}
	}
	return 0, fmt.Errorf("%w: %s", object.ErrNoKey, name)
}
