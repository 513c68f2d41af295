// SPDX-License-Identifier: Apache-2.0

// Package unwatched remembers the processes that are not watched, though they are, or may be, Python. In go why each was refused;
// out come the list that reports show, and whether it is worth looking at one again.
package unwatched

import (
	"maps"
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/python"
)

// List holds the processes by their ids. The zero value is empty.
type List struct {
	processes map[int]process
}

type process struct {
	model.Unsupported
	refusal *python.Refusal // says when it is worth another look; nil: no more
	crowded bool            // there was no room for its layout
	again   bool            // there may be by now
}

// Refused adds a process that was refused.
func (l *List) Refused(u model.Unsupported, r *python.Refusal) {
	l.add(process{Unsupported: u, refusal: r})
}

// Crowded adds a process for whose layout there is no room.
func (l *List) Crowded(u model.Unsupported) { l.add(process{Unsupported: u, crowded: true}) }

func (l *List) add(p process) {
	if l.processes == nil {
		l.processes = make(map[int]process)
	}
	l.processes[p.PID] = p
}

// Room says that there is room for a layout again.
func (l *List) Room() {
	for pid, p := range l.processes {
		if p.crowded {
			p.crowded, p.again = false, true
			l.processes[pid] = p
		}
	}
}

// Listed reports whether a process is in the list, and whether it is worth another look.
func (l *List) Listed(pid int) (listed, again bool) {
	p, listed := l.processes[pid]
	return listed, listed && (p.again || p.refusal != nil && p.refusal.AnswersAgain())
}

// Drop takes a process off the list, and returns what was said of it.
func (l *List) Drop(pid int) model.Unsupported {
	p := l.processes[pid]
	delete(l.processes, pid)
	return p.Unsupported
}

// PIDs returns the ids of all processes.
func (l *List) PIDs() []int { return slices.Collect(maps.Keys(l.processes)) }

// All returns all processes, in no order.
func (l *List) All() []model.Unsupported {
	out := make([]model.Unsupported, 0, len(l.processes))
	for _, p := range l.processes {
		out = append(out, p.Unsupported)
	}
	return out
}
