// SPDX-License-Identifier: Apache-2.0

package waits

import (
	"strconv"

	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/contention"
	"github.com/loopwatch/loopwatch/internal/model"
)

// maxLinks bounds the tasks of one await chain.
const maxLinks = 64

// add adds up a sample of one interpreter, which counts for so many nanoseconds. It returns how many tasks are of loops that no thread runs.
func (p *proc) add(rows *rows, s *asyncio.Sample, weight int64) (stray int) {
	links := newLinks(s.Tasks)
	holders := p.holders(rows, s)
	for _, task := range s.Tasks {
		l := p.loops[task.Loop]
		if l == nil {
			if !p.copies[task.Loop] {
				stray++
			}
			continue
		}
		l.tasks++
		if task.Executing || task.Waits.On == "" {
			continue
		}
		n := p.nameOf(rows, task)
		flags := flags{queued: contention.Queued(task.Waits), consumers: contention.Consumes(task.Waits), elsewhere: links.carried[task.Addr]}
		chain := p.chain(rows, links, task, n)
		kind := contention.Kind(task.Waits, links.awaits[task.Addr])
		if n.row == nil || n.row.on != kind || n.chain != chain || n.flags != flags {
			place := contention.Place(rows.frames(n.own), task.Waits.Library)
			n.row = rows.row(key{kind, task.Waits.Call, chain, place, flags})
			n.chain, n.flags = chain, flags
		}
		id := model.LoopID{PID: l.PID, TID: l.TID}
		rows.add(n.row, id, weight)
		if task.Waits.On == model.WaitLock {
			n.row.heldBy(holders.Of(task.Waits.Object).Named())
		}
	}
	return stray
}

// chain returns the chain of a task: its frames, those of the task that awaits it, and so on.
func (p *proc) chain(rows *rows, links *links, task *asyncio.Pending, n *named) int {
	if len(task.AwaitedBy) == 0 {
		return rows.link(n.own, 0)
	}
	lists := []int{n.own}
	seen := map[uint64]bool{task.Addr: true}
	for {
		by := links.awaiter(task)
		if by == nil || seen[by.Addr] {
			break
		}
		if len(lists) >= maxLinks {
			rows.lost.add(reasonChains, 1)
			break
		}
		seen[by.Addr] = true
		lists = append(lists, p.nameOf(rows, by).own)
		task = by
	}
	chain := 0
	for i := len(lists) - 1; i >= 0; i-- {
		chain = rows.link(lists[i], chain)
	}
	return chain
}

// holders finds out who holds the locks that tasks of a sample wait for.
func (p *proc) holders(rows *rows, s *asyncio.Sample) contention.Holders {
	if len(s.Holding) == 0 {
		return contention.Holders{}
	}
	tasks := make([]contention.Task, 0, len(s.Holding))
	for _, task := range s.Holding {
		tasks = append(tasks, contention.Task{
			Addr: task.Addr, ID: "0x" + strconv.FormatUint(task.Addr, 16), Name: task.Name, Loop: task.Loop,
			Frames: rows.frames(p.nameOf(rows, task).own), Held: task.Held,
		})
	}
	return contention.FindHolders(tasks)
}

// links are who awaits whom among the tasks of a sample.
type links struct {
	byAddr  map[uint64]*asyncio.Pending // that may await others
	awaits  map[uint64]bool             // tasks that await others
	carried map[uint64]bool             // of these, those whose waiting another task's row has: all but circles that await nobody else
}

func newLinks(tasks []*asyncio.Pending) *links {
	l := &links{awaits: make(map[uint64]bool), carried: make(map[uint64]bool)}
	awaited := false
	for _, task := range tasks {
		awaited = awaited || len(task.AwaitedBy) > 0
	}
	if !awaited {
		return l
	}
	l.byAddr = make(map[uint64]*asyncio.Pending, len(tasks))
	for _, task := range tasks {
		if mayAwait(task) { // who is said to await others was another task a moment ago if it sleeps now
			l.byAddr[task.Addr] = task
		}
	}
	for _, task := range tasks {
		for _, by := range task.AwaitedBy {
			l.awaits[by] = l.byAddr[by] != nil
		}
	}
	var next []*asyncio.Pending
	for _, task := range tasks {
		if !l.awaits[task.Addr] {
			next = append(next, task)
		}
	}
	for len(next) > 0 {
		task := next[len(next)-1]
		next = next[:len(next)-1]
		for _, by := range task.AwaitedBy {
			if awaiter := l.byAddr[by]; awaiter != nil && !l.carried[by] {
				l.carried[by] = true
				next = append(next, awaiter)
			}
		}
	}
	return l
}

// mayAwait reports whether a task may wait for the end of others: it runs, or waits for tasks, or for a future of which no more is known.
func mayAwait(task *asyncio.Pending) bool {
	switch task.Waits.On {
	case "", model.WaitTask, model.WaitFuture:
		return true
	}
	return false
}

// awaiter returns the task that awaits another one, of several the first by name, nil where none does.
func (l *links) awaiter(task *asyncio.Pending) (first *asyncio.Pending) {
	for _, addr := range task.AwaitedBy {
		by := l.byAddr[addr]
		if by != nil && (first == nil || by.Name < first.Name || by.Name == first.Name && by.Addr < first.Addr) {
			first = by
		}
	}
	return first
}
