// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/crash"
)

// ErrNoAnswer says that a read of a process's memory or files was given up, because nobody serves the page or the file
// system hangs.
var ErrNoAnswer = errors.New("no answer in time")

// How long a process may keep its reader waiting.
const (
	patience     = 500 * time.Millisecond // in one call
	patienceLook = 2 * time.Second        // in a look that makes many calls, of files, too
	hangingHalve = 8                      // so many calls that hang halve it
	mostRounds   = 20                     // of patience, for a call that only waits for a CPU
	slow         = time.Millisecond       // a call that takes longer counts
	slowShare    = 20                     // of the time that passes, such calls may take a twentieth
	slowSaved    = 3 * time.Second        // and this at once
	leftAlone    = 10 * time.Second       // a process that takes more is not read for so long
)

// Each call that hangs holds a thread of this program, which may have some thousands.
const (
	mostHanging   = 1000
	hangingOfLate = 250 // from then on only those are read that have answered before
)

// hanging is how many calls of this program have been given up and have not come back.
var hanging atomic.Int32

// caller makes calls that may never return, one at a time, and gives up on them in time. A nil caller waits for ever. It is
// safe for concurrent use.
type caller struct {
	mu       sync.Mutex
	done     chan struct{}
	timer    *time.Timer
	room     []byte
	answered bool
	owed     chan struct{} // has room for one, and holds it when the call that was given up has returned; nil: none was
	spent    time.Duration // in slow calls, of late
	at       time.Time     // when spent was last updated
	until    time.Time     // not to be called before
	givenUp  atomic.Int64
}

// do has f called on a goroutine of its own. Where it returns ErrNoAnswer f may not have been called, or may go on for ever:
// what f writes to is no longer the caller's then.
func (c *caller) do(f func()) error { return c.doWithin(patience, f) }

// doWithin is do with so much patience.
func (c *caller) doWithin(patience time.Duration, f func()) error {
	if c == nil {
		f()
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.call(patience, func() {
		runtime.LockOSThread() // call asks for the thread that it runs in
		defer runtime.UnlockOSThread()
		f()
	})
}

// maxRoom bounds the room kept for fill.
const maxRoom = 64 << 10

// fill has f fill as many bytes as p has, and copies them to p where it returns in time and without an error.
func (c *caller) fill(p []byte, f func(to []byte) error) error {
	if c == nil {
		return f(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	to := c.room
	if cap(to) < len(p) {
		to = make([]byte, len(p))
	}
	to = to[:len(p)]
	c.room = nil
	failed := new(error)
	if err := c.call(patience, func() { *failed = f(to) }); err != nil {
		return err
	}
	if cap(to) <= maxRoom {
		c.room = to
	}
	if *failed == nil {
		copy(p, to)
	}
	return *failed
}

// call is do, with mu held, and with so much patience.
func (c *caller) call(patience time.Duration, f func()) error {
	now := time.Now()
	if !c.mayCall(now) {
		return ErrNoAnswer
	}
	if c.done == nil {
		c.done, c.timer = make(chan struct{}, 1), time.NewTimer(time.Hour)
	}
	done, state, tid, own := c.done, new(atomic.Int32), new(atomic.Int32), new(atomic.Int64)
	var crashed error
	const returned, abandoned = 1, 2
	go func() {
		tid.Store(int32(unix.Gettid()))
		before, begun := usageNow(), time.Now()
		crashed = crash.Guard(func() error { f(); return nil })
		if took := time.Since(begun); took >= slow && tid.Load() == int32(unix.Gettid()) { // or it is not charged, or not known
			own.Store(int64(before.ownTime(usageNow(), took)))
		}
		if !state.CompareAndSwap(0, returned) {
			hanging.Add(-1)
		}
		done <- struct{}{}
	}()
	queued := time.Duration(0) // for a CPU
	for round := 1; ; round++ {
		limit := patience * hangingHalve / time.Duration(hangingHalve+hanging.Load())
		c.timer.Reset(limit)
		select {
		case <-done:
			c.timer.Stop()
			c.answered = true
			c.charge(time.Since(now)-max(queued, time.Duration(own.Load())), now)
			if crashed != nil {
				panic(crashed) // where the caller's caller can recover from it
			}
			return nil
		case <-c.timer.C:
		}
		if round < mostRounds && wantsCPU(int(tid.Load())) {
			queued += limit
			continue
		}
		hanging.Add(1)
		if !state.CompareAndSwap(0, abandoned) {
			hanging.Add(-1)
			continue
		}
		c.owed, c.done = done, nil
		c.givenUp.Add(1)
		return ErrNoAnswer
	}
}

// usage is what a thread has used so far.
type usage struct {
	cpu    time.Duration
	sleeps int64 // how often it has waited for something other than a CPU
}

func usageNow() usage {
	var used unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &used) // fails for bad arguments only
	return usage{time.Duration(used.Utime.Nano() + used.Stime.Nano()), used.Nvcsw}
}

// busyHost is how many times its CPU time this program may take for what it works at itself: on a busy host it waits for a CPU,
// and its runtime has it wait, too.
const busyHost = 4

// ownTime returns how much of the time that a call took is this program's own, and counts against nobody.
func (u usage) ownTime(after usage, took time.Duration) time.Duration {
	if after.sleeps == u.sleeps {
		return took
	}
	return min(busyHost*(after.cpu-u.cpu), took)
}

// wantsCPU reports whether a thread of this program is on a CPU or waits for one, or for the Go runtime: on a busy host that takes
// long, and is nobody's fault. 0 is a thread that has not begun.
func wantsCPU(tid int) bool {
	if tid == 0 {
		return true
	}
	b, err := readFile(fmt.Sprintf("/proc/self/task/%d/syscall", tid), 512)
	if err != nil {
		return false
	}
	call, err := parseSyscall(string(b))
	return err == nil && (call.Running || call.Number == unix.SYS_FUTEX)
}

// mayCall reports whether a call is worth beginning.
func (c *caller) mayCall(now time.Time) bool {
	if c.owed != nil && len(c.owed) == 0 {
		return false
	}
	n := hanging.Load()
	return !now.Before(c.until) && n < mostHanging && (c.answered || n < hangingOfLate)
}

// charge accounts for a call that took so long.
func (c *caller) charge(took time.Duration, now time.Time) {
	if took < slow {
		return
	}
	c.spent = max(c.spent-now.Sub(c.at)/slowShare, 0) + took
	c.at = now
	if c.spent > slowSaved {
		c.spent, c.until = 0, now.Add(leftAlone)
		c.givenUp.Add(1)
	}
}

// silent reports whether calls are given up now.
func (c *caller) silent() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.mayCall(time.Now())
}

// Together has f make many calls of the process at once, which costs less than one by one: those by the process given to f.
// Where it returns ErrNoAnswer f may go on for ever: what f writes to is nobody else's.
func Together[T any](p *Process, f func(p *Process) (T, error)) (T, error) {
	at := *p
	at.memory, at.files = nil, nil
	return askWithin(p.memory, patienceLook, func() (T, error) { return f(&at) })
}

// ReadTogether is Together for reads of memory.
func ReadTogether[T any](m Memory, f func(m Memory) (T, error)) (T, error) {
	if within, ok := m.(*limited); ok {
		return togetherWithin(within, f)
	}
	own, ok := m.(*vm)
	if !ok {
		return f(m)
	}
	return ask(own.calls, func() (T, error) { return f(&vm{own.process, nil}) })
}

// togetherWithin is ReadTogether within a budget.
func togetherWithin[T any](m *limited, f func(m Memory) (T, error)) (T, error) {
	own, ok := m.Memory.(*vm)
	if !ok {
		return f(m)
	}
	type spent struct {
		value  T
		budget Budget
	}
	left := *m.budget
	out, err := ask(own.calls, func() (spent, error) {
		budget := left // of its own: f may go on when it has been given up
		value, err := f(budget.Of(&vm{own.process, nil}))
		return spent{value, budget}, err
	})
	if !errors.Is(err, ErrNoAnswer) {
		*m.budget = out.budget
	}
	return out.value, err
}

// ask is do for what returns something.
func ask[T any](c *caller, f func() (T, error)) (T, error) { return askWithin(c, patience, f) }

// askWithin is ask with so much patience.
func askWithin[T any](c *caller, patience time.Duration, f func() (T, error)) (T, error) {
	var out struct {
		value T
		err   error
	}
	answer := &out
	if err := c.doWithin(patience, func() { answer.value, answer.err = f() }); err != nil {
		var none T
		return none, err
	}
	return answer.value, answer.err
}
