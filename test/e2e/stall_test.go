// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/test/judge"
)

// beat is how often the witness looks at the clock, and stall how far apart two looks have to
// be for the CPU to have been away.
const (
	beat  = time.Millisecond
	stall = 3 * time.Millisecond
)

// witness notes, independently of loopwatch, when a CPU did not run anything: on each CPU a
// thread of real-time priority looks at the clock every millisecond. Nothing but interrupts and the
// hypervisor keeps it from that, and what they keep from running is blocked through no fault
// of its own.
type witness struct {
	mu     sync.Mutex
	stalls [][]interval // by CPU, in the order of time
}

type interval struct{ start, end int64 } // CLOCK_MONOTONIC, ns

// newWitness starts watching all CPUs this process may use, until the process ends.
func newWitness() (*witness, error) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return nil, fmt.Errorf("ask for the CPUs: %w", err)
	}
	w := &witness{}
	if counted {
		return w, nil // nothing stands still without the clock
	}
	for cpu := range 64 * len(allowed) {
		if !allowed.IsSet(cpu) {
			continue
		}
		if err := w.watch(cpu); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// watch starts the thread of one CPU.
func (w *witness) watch(cpu int) error {
	w.mu.Lock()
	n := len(w.stalls)
	w.stalls = append(w.stalls, nil)
	w.mu.Unlock()
	ready := make(chan error)
	go func() {
		runtime.LockOSThread()
		var only unix.CPUSet
		only.Set(cpu)
		err := unix.SchedSetaffinity(0, &only)
		if err == nil {
			err = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
		}
		if err != nil {
			ready <- fmt.Errorf("give the witness of CPU %d real-time priority: %w", cpu, err)
			return
		}
		ready <- nil
		last := monotonic()
		for {
			time := unix.NsecToTimespec(int64(beat))
			_ = unix.Nanosleep(&time, nil)
			now := monotonic()
			if now-last > int64(stall) {
				w.mu.Lock()
				w.stalls[n] = append(w.stalls[n], interval{last, now})
				w.mu.Unlock()
			}
			last = now
		}
	}()
	return <-ready
}

// stalled returns for how long of the given time a CPU was away. Which CPU a loop was on is not known:
// stalls of any count.
func (w *witness) stalled(start, end int64) (ns int64) {
	if w == nil {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, stalls := range w.stalls {
		first, _ := slices.BinarySearchFunc(stalls, start, func(s interval, at int64) int { return cmp.Compare(s.end, at) })
		for _, s := range stalls[first:] {
			if s.start >= end {
				break
			}
			ns += judge.Overlap(s.start, s.end, start, end)
		}
	}
	return ns
}

func (w *witness) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var longest, sum int64
	count := 0
	for _, stalls := range w.stalls {
		count += len(stalls)
		for _, s := range stalls {
			longest, sum = max(longest, s.end-s.start), sum+s.end-s.start
		}
	}
	return fmt.Sprintf("CPUs stalled %d times, %v in all, at most %v", count, time.Duration(sum), time.Duration(longest))
}

func monotonic() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail
	return now.Nano()
}
