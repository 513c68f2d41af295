// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/process"
)

// awaiters finds out who awaits whom. To 3.13 a part of the callbacks is read anew each time, for what they lead to may change.
func (s *Sampler) awaiters(m process.Memory, looked map[uint64]look, changed bool) {
	t := s.tasks
	if t.Current == 0 {
		s.saidAwaiters(m, looked)
		return
	}
	owners := make(map[uint64][]uint64, len(s.known))
	for _, task := range s.known {
		t.owns(m, task.Pending, s.groups, owners)
	}
	var again []*sampled
	for addr, task := range s.known {
		var callbacks [2]uint64
		seen, ok := looked[addr]
		if ok {
			callbacks = [2]uint64{seen.task.U64(offCallback), seen.task.U64(offCallbacks)}
		}
		part := (addr>>4+uint64(s.round))%relinkIn == 0 && callbacks != [2]uint64{}
		if !ok || part || callbacks != task.callbacks {
			again = append(again, task)
		}
		task.callbacks = callbacks
	}
	s.readLeads(m, again, owners)
	if !changed && len(again) == 0 {
		return
	}
	for addr, task := range s.known {
		task.AwaitedBy = task.AwaitedBy[:0]
		task.awaitedBy(owners[addr])
		for _, object := range task.leads {
			task.awaitedBy(owners[object])
		}
	}
}

// readLeads reads what the callbacks of some tasks lead to.
func (s *Sampler) readLeads(m process.Memory, tasks []*sampled, owners map[uint64][]uint64) {
	t := s.tasks
	slices.SortFunc(tasks, byAddr)
	for some := range slices.Chunk(tasks, together) {
		first, err := process.ReadPaged(m, func(m process.Memory) (out [][]callee, _ error) {
			for _, task := range some {
				out = append(out, t.calleesRead(m, s.names, task.Addr, owners, s.others))
			}
			return out, nil
		})
		if err != nil {
			s.reader = nil // the read may go on and use what is remembered
			return
		}
		for i, task := range some {
			leads := t.leads(m, s.names, first[i], task.Addr, owners, s.others)
			task.leads = slices.Clone(leads[:min(len(leads), maxLeads)])
		}
	}
}

// awaitedBy adds tasks to those that await this one.
func (task *sampled) awaitedBy(by []uint64) {
	for _, addr := range by {
		if addr != task.Addr && len(task.AwaitedBy) < maxAwaiters && !slices.Contains(task.AwaitedBy, addr) {
			task.AwaitedBy = append(task.AwaitedBy, addr)
		}
	}
}

// saidAwaiters takes who awaits the tasks from what they say themselves (3.14 on).
func (s *Sampler) saidAwaiters(m process.Memory, looked map[uint64]look) {
	t := s.tasks
	var unseen []*sampled
	for addr, task := range s.known {
		if seen, ok := looked[addr]; ok && seen.task.U8(t.debug.TaskBySet) == 0 {
			s.setAwaiters(task, []uint64{seen.task.U64(t.debug.TaskAwaitedBy)})
		} else {
			unseen = append(unseen, task) // it is new, or several await it
		}
	}
	slices.SortFunc(unseen, byAddr)
	for some := range slices.Chunk(unseen, together) {
		found, err := process.ReadPaged(m, func(m process.Memory) (out [][]uint64, _ error) {
			for _, task := range some {
				by, _ := t.awaiters(m, task.Addr) // none where they cannot be read
				out = append(out, by)
			}
			return out, nil
		})
		if err != nil {
			return
		}
		for i, by := range found {
			s.setAwaiters(some[i], by)
		}
	}
}

// setAwaiters notes who awaits a task, of the tasks that are pending.
func (s *Sampler) setAwaiters(task *sampled, by []uint64) {
	task.AwaitedBy = task.AwaitedBy[:0]
	for _, addr := range by {
		if s.known[addr] != nil {
			task.awaitedBy([]uint64{addr})
		}
	}
}
