// SPDX-License-Identifier: Apache-2.0

package probes

// Slots hands out the kernel's places for statistics and held samples.
type Slots struct {
	next, size uint32
	free       []uint32
}

// NewSlots returns so many slots, all of them free.
func NewSlots(size int) Slots { return Slots{size: uint32(size)} }

// Used returns the number of slots that have ever been in use: those from it on have not.
func (s *Slots) Used() uint32 { return s.next }

// keptBack is the part of all slots that is kept for those that have none: a quarter.
const keptBack = 4

// Scarce reports whether no more are free than are kept for those that have none.
func (s *Slots) Scarce() bool {
	return s.size-s.next+uint32(len(s.free)) <= s.size/keptBack
}

// Take returns a free slot, and false where there is none.
func (s *Slots) Take() (uint32, bool) {
	if n := len(s.free); n > 0 {
		slot := s.free[n-1]
		s.free = s.free[:n-1]
		return slot, true
	}
	if s.next == s.size {
		return 0, false
	}
	s.next++
	return s.next - 1, true
}

// Give makes a slot free again.
func (s *Slots) Give(slot uint32) { s.free = append(s.free, slot) }
