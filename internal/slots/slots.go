// SPDX-License-Identifier: Apache-2.0

// Package slots hands out the kernel's places for statistics and held samples. In go the ids of the processes whose loops want
// one; out come their numbers. A process cannot have all of them.
package slots

// Slots are the places. Not safe for concurrent use.
type Slots struct {
	next, size uint32
	free       []uint32
	owners     []int       // by slot: process ids
	held       map[int]int // how many slots a process has
}

// New returns so many slots, all of them free.
func New(size int) Slots { return Slots{size: uint32(size), held: make(map[int]int)} }

// Used returns the number of slots that have ever been in use: those from it on have not.
func (s *Slots) Used() uint32 { return s.next }

// keptBack is the part of all slots that is kept for processes that have none: a quarter.
const keptBack = 4

// Take returns a free slot for a process, and false where there is none: the last ones are for processes that have none.
func (s *Slots) Take(pid int) (uint32, bool) {
	free := s.size - s.next + uint32(len(s.free))
	if free == 0 || free <= s.size/keptBack && s.held[pid] > 0 {
		return 0, false
	}
	slot := s.next
	if n := len(s.free); n > 0 {
		slot = s.free[n-1]
		s.free = s.free[:n-1]
		s.owners[slot] = pid
	} else {
		s.next++
		s.owners = append(s.owners, pid)
	}
	s.held[pid]++
	return slot, true
}

// Give makes a slot free again.
func (s *Slots) Give(slot uint32) {
	s.free = append(s.free, slot)
	owner := s.owners[slot]
	if s.held[owner]--; s.held[owner] == 0 {
		delete(s.held, owner)
	}
}
