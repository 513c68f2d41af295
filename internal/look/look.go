// SPDX-License-Identifier: Apache-2.0

// Package look looks at processes beside the events: a look may take long, or never end, and blocks of others have to be told
// meanwhile. In go process ids, and the waits of threads of processes that are being looked at; out come the processes, or why they
// are refused, with the waits that have to be judged then.
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
)

// Looks are the looks at processes that have not ended. Not safe for concurrent use.
type Looks struct {
	open     func(pid int) (*python.Process, *python.Refusal)
	room     chan struct{} // has room for those that go on at once
	underWay map[int]*look // by process id
}

// look is a look at one process.
type look struct {
	done  chan looked
	waits []*wire.Wait // of its threads, which have to be judged afterwards
}

// looked is what came of a look.
type looked struct {
	python.Opened
	crashed error
}

// Ended is called with what came of a look, and with the waits that were kept for it.
type Ended func(pid int, o python.Opened, waits []*wire.Wait)

// New returns no looks yet. open makes one, on a goroutine of its own.
func New(open func(pid int) (*python.Process, *python.Refusal)) *Looks {
	return &Looks{open: open, room: make(chan struct{}, atOnce), underWay: make(map[int]*look)}
}

// Ask looks at a process, or goes on to do so, and returns what came of it. ok is false where it is still under way.
func (l *Looks) Ask(pid int) (o python.Opened, ok bool) {
	k := l.underWay[pid]
	if k != nil {
		return l.take(pid, k, nil)
	}
	if len(l.underWay) >= maxLooks {
		return python.Opened{}, false
	}
	k = &look{done: make(chan looked, 1)}
	l.underWay[pid] = k
	go func() {
		l.room <- struct{}{}
		defer func() { <-l.room }()
		var out looked
		out.crashed = crash.Guard(func() error { out.Process, out.Refusal = l.open(pid); return nil })
		k.done <- out
	}()
	if len(l.underWay) > 1 {
		return l.take(pid, k, nil)
	}
	enough := time.NewTimer(glance)
	defer enough.Stop()
	return l.take(pid, k, enough.C)
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
	delete(l.underWay, pid)
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
	return true
}

// EndThread drops what was kept of a thread that has ended.
func (l *Looks) EndThread(pid, tid int) {
	if k := l.underWay[pid]; k != nil {
		for i := range k.waits {
			if k.waits[i].TID == tid {
				k.waits = append(k.waits[:i], k.waits[i+1:]...)
				return
			}
		}
	}
}

// Drop gives a look up: the process has ended, or has become another program.
func (l *Looks) Drop(pid int) { delete(l.underWay, pid) }

// Take calls ended with the looks that have ended since they were asked for. It returns when to call it again: the zero time where
// no look is under way.
func (l *Looks) Take(now time.Time, ended Ended) (next time.Time) {
	for pid, k := range l.underWay {
		if o, ok := l.take(pid, k, nil); ok {
			ended(pid, o, k.waits)
		}
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
		o, ok := l.take(pid, k, enough.C)
		if !ok {
			given = len(l.underWay)
			clear(l.underWay)
			break
		}
		ended(pid, o, k.waits)
	}
	return given
}
