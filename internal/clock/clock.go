// SPDX-License-Identifier: Apache-2.0

// Package clock reads the clock that the kernel side stamps its records with.
package clock

import "golang.org/x/sys/unix"

// Monotonic returns CLOCK_MONOTONIC in nanoseconds, as bpf_ktime_get_ns does.
func Monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0 // cannot fail on Linux with this clock
	}
	return t.Nano()
}
