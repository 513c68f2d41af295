// SPDX-License-Identifier: Apache-2.0

package track

import (
	"time"

	"github.com/loopwatch/loopwatch/internal/crash"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/python"
)

// A look at a process may take long, or never end, and blocks of others have to be told meanwhile.
const (
	glance       = 10 * time.Millisecond // for so long the events wait for a look, if it is the only one: most take a millisecond or two
	lookEvery    = 5 * time.Millisecond
	lastLook     = time.Second // for so long the end of an observation waits for looks
	looksAtOnce  = 16
	maxLooks     = 1024 // that have begun, or wait for others
	maxKeptWaits = 64   // of the threads of one process
)

// looks are the looks at processes that have not ended. They go on beside the events.
type looks struct {
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

func newLooks(open func(pid int) (*python.Process, *python.Refusal)) *looks {
	return &looks{open: open, room: make(chan struct{}, looksAtOnce), underWay: make(map[int]*look)}
}

// ask looks at a process, or goes on to do so, and returns what came of it. ok is false where it is still under way.
func (l *looks) ask(pid int) (o python.Opened, ok bool) {
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
func (l *looks) take(pid int, k *look, until <-chan time.Time) (o python.Opened, ok bool) {
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

// keep keeps a wait of a process that is being looked at, and reports whether there was room.
func (l *looks) keep(w *wire.Wait) bool {
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

// endThread drops what was kept of a thread that has ended.
func (l *looks) endThread(pid, tid int) {
	if k := l.underWay[pid]; k != nil {
		for i := range k.waits {
			if k.waits[i].TID == tid {
				k.waits = append(k.waits[:i], k.waits[i+1:]...)
				return
			}
		}
	}
}

// drop gives a look up: the process has ended, or has become another program.
func (l *looks) drop(pid int) { delete(l.underWay, pid) }

// TakeLooks goes on with the processes that have been looked at beside the events. It returns when to call it again: the zero
// time where no look is under way.
func (c *Tracker) TakeLooks(now time.Time) (next time.Time) {
	for pid, k := range c.looks.underWay {
		if o, ok := c.looks.take(pid, k, nil); ok {
			c.goOn(pid, k, o)
		}
	}
	if len(c.looks.underWay) == 0 {
		return time.Time{}
	}
	return now.Add(lookEvery)
}

// settleLooks waits for the looks that are under way, but not for ever.
func (c *Tracker) settleLooks() {
	enough := time.NewTimer(lastLook)
	defer enough.Stop()
	for pid, k := range c.looks.underWay {
		o, ok := c.looks.take(pid, k, enough.C)
		if !ok {
			c.lost[reasonSilent] += int64(len(c.looks.underWay))
			clear(c.looks.underWay)
			return
		}
		c.goOn(pid, k, o)
	}
}

// goOn enters a process that has been looked at, and judges its threads.
func (c *Tracker) goOn(pid int, k *look, o python.Opened) {
	p := c.meet(pid, o)
	for _, w := range k.waits {
		if p != nil {
			c.onWait(w)
		} else {
			c.leaveThread(w.TID)
		}
	}
}
