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

// Monotonic returns CLOCK_MONOTONIC in nanoseconds, as bpf_ktime_get_ns does.
func Monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0 // cannot fail on Linux with this clock
	}
	return t.Nano()
}
