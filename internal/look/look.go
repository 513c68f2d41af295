// SPDX-License-Identifier: Apache-2.0

// Package look looks at processes beside the events: a look may take long, or never end, and blocks of others have to be told
// meanwhile. In go process ids, and the events of threads of processes that are being looked at; out come the processes, or why they
// are refused, with the events that have to be handled then.
package look

import (
	"time"

	"github.com/loopwatch/loopwatch/internal/crash"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/python"
)

const (
	glance       = 10 * time.Millisecond // for so long the events wait for a look, if it is the only one: most take a millisecond or two
	every        = 5 * time.Millisecond  // how often it is asked whether looks have ended
	atOnce       = 16
	maxLooks     = 1024 // that have begun, or wait for others
	maxKeptWaits = 64   // of the threads of one process
	maxHeld      = 4096 // other events of all threads
)

// Looks are the looks at processes that have not ended. Not safe for concurrent use.
type Looks struct {
	open     func(pid int) (*python.Process, *python.Refusal)
	room     chan struct{} // has room for those that go on at once
	underWay map[int]*look // by process id
	threads  map[int]*look // of those whose waits are kept, by thread id
	held     int           // events of all looks
	lost     int64         // blocks among events that were not held, or not taken
}

// look is a look at one process.
type look struct {
	done  chan looked
	waits []*wire.Wait // of its threads, which have to be judged afterwards
	held  []wire.Event // of these threads, in their order
}

// looked is what came of a look.
type looked struct {
	python.Opened
	crashed error
}

// Ended is called with what came of a look, and with the waits and other events that were kept for it.
type Ended func(pid int, o python.Opened, waits []*wire.Wait, held []wire.Event)

// New returns no looks yet. open makes one, on a goroutine of its own.
func New(open func(pid int) (*python.Process, *python.Refusal)) *Looks {
	return &Looks{open: open, room: make(chan struct{}, atOnce), underWay: make(map[int]*look), threads: make(map[int]*look)}
}

// Ask looks at a process, or goes on to do so, and reports whether that has ended: ended has been called then.
func (l *Looks) Ask(pid int, ended Ended) bool {
	if k := l.underWay[pid]; k != nil {
		return l.end(pid, k, nil, ended)
	}
	if len(l.underWay) >= maxLooks {
		return false
	}
	k := &look{done: make(chan looked, 1)}
	l.underWay[pid] = k
	go func() {
		l.room <- struct{}{}
		defer func() { <-l.room }()
		var out looked
		out.crashed = crash.Guard(func() error { out.Process, out.Refusal = l.open(pid); return nil })
		k.done <- out
	}()
	if len(l.underWay) > 1 {
		return l.end(pid, k, nil, ended)
	}
	enough := time.NewTimer(glance)
	defer enough.Stop()
	return l.end(pid, k, enough.C, ended)
}

// end ends a look as take does, and reports whether it could.
func (l *Looks) end(pid int, k *look, until <-chan time.Time, ended Ended) bool {
	o, ok := l.take(pid, k, until)
	if ok {
		ended(pid, o, k.waits, k.held)
	}
	return ok
}

// take returns what came of a look, for which it waits until the time comes; nil: not at all.
func (l *Looks) take(pid int, k *look, until <-chan time.Time) (o python.Opened, ok bool) {
	var out looked
	if until == nil {
		select {
		case out = <-k.done:
		default:
			return python.Opened{}, false
		}
	} else {
		select {
		case out = <-k.done:
		case <-until:
			return python.Opened{}, false
		}
	}
	l.forget(pid, k)
	if out.crashed != nil {
		panic(out.crashed) // where the caller's caller can recover from it
	}
	return out.Opened, true
}

// Keep keeps a wait of a process that is being looked at, and reports whether there was room.
func (l *Looks) Keep(w *wire.Wait) bool {
	k := l.underWay[w.PID]
	if k == nil {
		return false
	}
	for i := range k.waits {
		if k.waits[i].TID == w.TID {
			k.waits[i] = w
			return true
		}
	}
	if len(k.waits) >= maxKeptWaits {
		return false
	}
	k.waits = append(k.waits, w)
	l.threads[w.TID] = k
	return true
}

// Hold keeps an event of a thread whose wait is kept, or of a process that is being looked at, and reports whether it is one. The
// process may be unknown: 0.
func (l *Looks) Hold(pid, tid int, e wire.Event) bool {
	k := l.threads[tid]
	if k == nil {
		k = l.underWay[pid]
	}
	if k == nil {
		return false
	}
	if l.held >= maxHeld {
		l.lost += blocksIn([]wire.Event{e})
		return true
	}
	l.held++
	k.held = append(k.held, e)
	return true
}

// blocksIn counts the blocks among some events.
func blocksIn(events []wire.Event) (n int64) {
	for _, e := range events {
		if _, ok := e.(*wire.Block); ok {
			n++
		}
	}
	return n
}

// forget forgets a look, and which threads belong to it.
func (l *Looks) forget(pid int, k *look) {
	delete(l.underWay, pid)
	for _, w := range k.waits {
		delete(l.threads, w.TID)
	}
	l.held -= len(k.held)
}

// Drop gives a look up: the process has become another program.
func (l *Looks) Drop(pid int) {
	if k := l.underWay[pid]; k != nil {
		l.lost += blocksIn(k.held)
		l.forget(pid, k)
	}
}

// TakeLost returns how many blocks were lost since it was last called, because there was no room for them or their look was given up.
func (l *Looks) TakeLost() int64 {
	n := l.lost
	l.lost = 0
	return n
}

// Take calls ended with the looks that have ended since they were asked for. It returns when to call it again: the zero time where
// no look is under way.
func (l *Looks) Take(now time.Time, ended Ended) (next time.Time) {
	for pid, k := range l.underWay {
		l.end(pid, k, nil, ended)
	}
	if len(l.underWay) == 0 {
		return time.Time{}
	}
	return now.Add(every)
}

// Settle is Take that waits for so long. It gives up those that have not ended then, and returns how many these are.
func (l *Looks) Settle(patience time.Duration, ended Ended) (given int) {
	enough := time.NewTimer(patience)
	defer enough.Stop()
	for pid, k := range l.underWay {
		if !l.end(pid, k, enough.C, ended) {
			given = len(l.underWay)
			for pid := range l.underWay {
				l.Drop(pid)
			}
			break
		}
	}
	return given
}
