// SPDX-License-Identifier: Apache-2.0

package model

import "unsafe"

// longName is from where on a name counts however often it occurs: most are in several stacks of a block, and kept once.
const longName = 256

// Size returns about how much memory a block takes, in bytes: the process that it is of decides how deep its stacks are and how
// long its names.
func (b *Block) Size() int {
	size := int(unsafe.Sizeof(*b)) + len(b.Task)
	for i := range b.Stacks {
		size += framesSize(b.Stacks[i].Frames, i == 0)
	}
	if h := b.Detail.Holder; h != nil {
		size += framesSize(h.Frames, true)
	}
	for _, a := range b.Detail.Audit {
		size += len(a.Event)
	}
	return size + len(b.Detail.Target) + len(b.Detail.Native)
}

// framesSize returns the size of a stack; first says that its names were not counted with another one.
func framesSize(frames []Frame, first bool) int {
	size := len(frames) * int(unsafe.Sizeof(Frame{}))
	for i := range frames {
		if n := len(frames[i].Function) + len(frames[i].File); first || n > longName {
			size += n
		}
	}
	return size
}
