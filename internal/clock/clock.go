// SPDX-License-Identifier: Apache-2.0

// Package clock reads the clock that the kernel side stamps its records with, and waits.
package clock

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// Sleep waits for d, or until ctx is done: then it returns false.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Monotonic returns CLOCK_MONOTONIC in nanoseconds, as bpf_ktime_get_ns does: that of the host, also in a time namespace.
func Monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0 // cannot fail on Linux with this clock
	}
	return t.Nano() - ownOffset()
}

// Wall returns what the wall clock showed when CLOCK_MONOTONIC was at, as the wall clock is set now. The two drift apart when
// the wall clock is set anew, and while the machine is suspended: ask soon after the time in question.
func Wall(at int64) time.Time { return wallAt(at, Monotonic, time.Now) }

// atOnce is how far apart two readings of clocks may be to count as one.
const atOnce = int64(time.Millisecond)

func wallAt(at int64, monotonic func() int64, now func() time.Time) time.Time {
	var between int64
	var wall time.Time
	for range 10 { // it may lose the CPU between the readings
		before := monotonic()
		wall = now()
		after := monotonic()
		if between = before + (after-before)/2; after-before < atOnce {
			break
		}
	}
	return wall.Add(time.Duration(at - between)).Round(0) // without Go's own monotonic reading
}
