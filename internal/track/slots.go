// SPDX-License-Identifier: Apache-2.0

package track

// slotPool hands out the kernel's places for statistics and held samples.
type slotPool struct {
	next, size uint32
	free       []uint32
}

func newSlotPool(size int) slotPool { return slotPool{size: uint32(size)} }

func (s *slotPool) take() (uint32, bool) {
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

func (s *slotPool) give(slot uint32) { s.free = append(s.free, slot) }
