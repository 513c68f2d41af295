// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"cmp"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// look is what was seen of a task that is known.
type look struct {
	task words.Fields
	same bool // nothing has changed
}

// look looks at the tasks that are known.
func (s *Sampler) look(m process.Memory) map[uint64]look {
	out := make(map[uint64]look, len(s.known))
	all := make([]*sampled, 0, len(s.known))
	for _, task := range s.known {
		all = append(all, task)
	}
	slices.SortFunc(all, byAddr)
	s.lookAtAll(m, all, out)
	return out
}

// lookAtAll looks at tasks, at many of them with one read.
func (s *Sampler) lookAtAll(m process.Memory, all []*sampled, to map[uint64]look) {
	for len(all) > 0 {
		n, places := 0, 0
		for n < len(all) && places < atOnce {
			places += 2 + len(all[n].Awaits)
			n++
		}
		s.lookAt(m, all[:n], places, to)
		all = all[n:]
	}
}

// lookAt looks at some tasks, at no more than so many places, with one read.
func (s *Sampler) lookAt(m process.Memory, some []*sampled, most int, to map[uint64]look) {
	state, known := s.tasks.stateAt()
	size, stand := int(s.to-s.from), s.tasks.runtime.StandSize()
	room := make([]byte, (size+4)*len(some)+stand*most)
	take := func(n int) []byte {
		out := room[:n:n]
		room = room[n:]
		return out
	}
	places := make([]process.Place, 0, most)
	for _, task := range some {
		places = append(places, process.Place{Addr: task.Addr + uint64(s.from), P: take(size)})
		if task.Waits.settles && known {
			places = append(places, process.Place{Addr: task.waiter + uint64(state), P: take(4)})
		}
		for _, frame := range task.Awaits {
			places = append(places, s.tasks.runtime.StandPlace(frame, take(stand)))
		}
	}
	process.ReadEach(m, places)
	for _, task := range some {
		n := 1 + len(task.Awaits)
		if task.Waits.settles && known {
			n++
		}
		if places[0].OK {
			seen := words.Seen(s.from, places[0].P)
			to[task.Addr] = look{seen, s.same(task, seen, places[1:n])}
		}
		places = places[n:]
	}
}

// same reports whether a task is as it was read. rest is what lookAt has read of it besides.
func (s *Sampler) same(task *sampled, seen words.Fields, rest []process.Place) bool {
	t := s.tasks
	if task.Executing || task.Cut || task.dropped || seen.U64(t.Coro) != task.coro || seen.U64(t.Name) != task.named ||
		seen.U64(t.Coro-8) != task.waiter || t.Current != 0 && seen.I32(t.state) != 0 {
		return false
	}
	if len(rest) > len(task.Awaits) {
		if done := !isZero(rest[0].P); !rest[0].OK || done != task.Waits.done {
			return false
		}
		rest = rest[1:]
	}
	for i, frame := range task.Awaits {
		if !t.runtime.Stands(frame, rest[i].Seen()) {
			return false
		}
	}
	return true
}

func isZero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }

// holding returns the tasks that hold something and stand where they stood, now that all has been read.
func (s *Sampler) holding(m process.Memory) (out []*Pending) {
	var some []*sampled
	for _, task := range s.known {
		if len(task.Held) > 0 {
			some = append(some, task)
		}
	}
	looked := make(map[uint64]look, len(some))
	slices.SortFunc(some, byAddr)
	s.lookAtAll(m, some, looked)
	for _, task := range some {
		if looked[task.Addr].same {
			out = append(out, task.Pending)
		}
	}
	return out
}

func byAddr(a, b *sampled) int { return cmp.Compare(a.Addr, b.Addr) }
