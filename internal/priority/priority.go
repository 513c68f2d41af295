// SPDX-License-Identifier: Apache-2.0

// Package priority has the scheduler prefer this process while it observes, and sees to it that this
// hurts nobody. In goes the niceness that is wanted; out comes a Priority: every thread has that
// niceness, and where the kernel shares the CPU among sessions (autogroup), the session has it, too,
// provided that this process is alone in it. Move makes a session of its own where it is not. Guard
// starts the watchdog: who takes more CPU time than the budget allows is given the usual niceness
// until it takes less. Nothing outlives the process: no other process and no session of others is
// ever given a priority, so there is nothing to restore, however the process ends.
package priority

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Default is the highest priority there is, as atop takes it. A lower one would be too little for a
// host with hundreds of runnable processes, and how much can be taken is bounded by the budget.
const Default = -20

// Session says what to do about the session where that has a niceness of its own.
type Session int

// Ways to deal with the session.
const (
	Never Session = iota // nothing: a child that is not to be preferred is in it
	Alone                // raise it where nobody else is in it
	Own                  // the same, and Move makes one where others are
)

// Options say what is wanted.
type Options struct {
	Nice    int     // 0 leaves everything as it is
	Chosen  bool    // asked for, and not the default: the default leaves alone whom somebody gave a priority
	Session Session // what may be done about the session
}

// Priority is what this process was given.
type Priority struct {
	options  Options
	original int      // niceness of the process before
	first    *os.File // to the process that has started this one, see Move
	active   bool
	err      error // why it is not

	mu      sync.Mutex
	raised  bool
	group   bool // the session is ours to raise
	shared  bool // the session would have to be raised, but others are in it
	lowered Lowered
}

// Lowered counts how often and how long the budget took the priority away.
type Lowered struct {
	Times int
	For   time.Duration
}

// errAbandoned ends a process whose first one, which hands signals and the terminal on, has ended.
var errAbandoned = errors.New("the process that started this one in a session of its own has ended")

// Raise gives this process the niceness wanted, and its session where that is allowed and needed. That it
// cannot is no error, see Err.
func Raise(o Options) (*Priority, error) {
	p := &Priority{options: o}
	moved, err := p.arrive()
	if err != nil {
		return nil, err
	}
	if !moved {
		if p.original, err = niceOf(0); err != nil {
			p.err = err
			return p, nil
		}
	}
	if o.Nice == 0 || !o.Chosen && p.given() {
		return p, nil
	}
	if p.err = p.set(true); p.err != nil {
		// Of several threads, some may have it.
		_ = setThreads(p.original)
		return p, nil
	}
	p.active = true
	if o.Nice >= p.original || o.Session == Never || !sessionsShare() {
		return p, nil
	}
	if moved || alone() {
		p.group = true
		_ = p.set(true) // refused at the moment: the watchdog tries again
	} else {
		p.shared = o.Session == Own
	}
	return p, nil
}

// given reports whether somebody has chosen a priority for this process already: a niceness above the
// usual, or a class of its own.
func (p *Priority) given() bool {
	a, err := unix.SchedGetAttr(0, 0)
	return p.original > 0 || err == nil && a.Policy != unix.SCHED_NORMAL
}

// Err tells why the niceness that was wanted could not be had, nil if it could.
func (p *Priority) Err() error {
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("niceness %d: %w", p.options.Nice, p.err)
}

// Lowered tells what the budget has taken so far.
func (p *Priority) Lowered() Lowered {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lowered
}

// Usual runs f on a thread with the niceness this process had before: what f starts inherits that.
func (p *Priority) Usual(f func() error) error {
	if !p.active {
		return f()
	}
	p.mu.Lock() // or the watchdog sets the thread right
	defer p.mu.Unlock()
	// New threads of the runtime come from another thread while this one is locked.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, p.original); err != nil {
		return fmt.Errorf("return to niceness %d: %w", p.original, err)
	}
	defer func() { _ = p.set(p.raised) }()
	return f()
}

// set gives all threads and the session what they are to have. p.mu is held, or nobody else is there yet.
func (p *Priority) set(raised bool) error {
	p.raised = raised
	nice := p.original
	if raised {
		nice = p.options.Nice
	}
	var group error
	if p.group {
		if !raised {
			nice = max(nice, 0)
		}
		group = setAutogroup(os.Getpid(), nice)
	}
	return errors.Join(setThreads(nice), group)
}

// Guard keeps to the budget until ctx is done or stop is called.
func (p *Priority) Guard(ctx context.Context) (stop func()) {
	if !p.active || p.options.Nice >= p.original {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	w := &watchdog{used: ownTime, set: p.lower}
	go func() {
		defer close(done)
		w.run(ctx)
	}()
	return func() { cancel(); <-done }
}

// lower takes the priority away or gives it back, and counts that. It also sets right the threads that
// have come since.
func (p *Priority) lower(low bool, since time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if low && p.raised {
		p.lowered.Times++
	}
	if !p.raised {
		p.lowered.For += since
	}
	_ = p.set(!low)
}

// ownTime is the CPU time this process has taken.
func ownTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0 // cannot fail on Linux with this clock
	}
	return time.Duration(t.Nano())
}

// alone reports whether nobody but this process is in its session, by what makes that certain: it has
// begun the session, and has no children. What was begun by a shell before it became this process
// would be its child.
func alone() bool {
	sid, err := unix.Getsid(0)
	if err != nil || sid != os.Getpid() {
		return false
	}
	threads, err := tasks()
	if err != nil {
		return false
	}
	for _, tid := range threads {
		children, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", tid))
		if ended(tid) {
			continue
		}
		if err != nil || strings.TrimSpace(string(children)) != "" {
			return false
		}
	}
	return true
}
