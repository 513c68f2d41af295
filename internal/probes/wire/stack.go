// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"unsafe"

	"github.com/loopwatch/loopwatch/internal/abi"
)

// Frame is one frame as the kernel saw it: code object, instruction in code units (-1 not yet
// started, math.MinInt32 unknown) and a check to notice a reused address.
type Frame struct {
	Code  uint64
	Instr int32
	Check uint32
}

// Stack is a Python stack, innermost frame first. Where Cut is not 0, so many frames are
// missing before Frames[CutAt]. Partial says that the walk ended before the root.
type Stack struct {
	Frames  []Frame
	Cut     int
	CutAt   int
	Partial bool
}

// framesAt is where the frames begin in a record whose stack is at the given offset.
func framesAt(stack uintptr) uintptr { return stack + unsafe.Offsetof(abi.Stack{}.Frames) }

// stackOf takes the stack of a record that held so many bytes of Frames.
func stackOf(c *abi.Stack, bytes int) Stack {
	if kept := bytes / int(unsafe.Sizeof(Frame{})); kept < min(int(c.Depth), abi.StackMax) { // a short record
		return unroll(c.Frames[:max(kept, 0)], max(kept, 0), abi.StackRoot, c.Failed != 0)
	}
	return unroll(c.Frames[:], int(c.Depth), abi.StackRoot, c.Failed != 0)
}

// unroll makes a stack of the frames of a walk: up to len(frames) of them as they come, then the
// last `root` of the places are a ring.
func unroll(from []abi.PyFrame, depth, root int, partial bool) Stack {
	frames := unsafe.Slice((*Frame)(unsafe.Pointer(unsafe.SliceData(from))), len(from))
	s := Stack{Partial: partial}
	if depth <= len(frames) {
		s.Frames = append(s.Frames, frames[:depth]...)
		return s
	}
	leaf := len(frames) - root
	next := (depth - leaf) % root // the oldest of the ring
	s.Cut, s.CutAt = depth-len(frames), leaf
	s.Frames = make([]Frame, 0, len(frames))
	s.Frames = append(s.Frames, frames[:leaf]...)
	s.Frames = append(s.Frames, frames[leaf+next:]...)
	s.Frames = append(s.Frames, frames[leaf:leaf+next]...)
	return s
}
