// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"syscall"
	"time"
)

// emulatedEnv says that this machine is emulated: some twenty times slower than others, now and
// then without a CPU for tens of milliseconds.
const emulatedEnv = "LOOPWATCH_EMULATED"

var emulated = os.Getenv(emulatedEnv) != ""

// counted says that the clock of the machine counts its instructions.
var counted = os.Getenv(emulatedEnv) == "counted"

// thresholds are those of the tests that have several, largest first.
func thresholds() []time.Duration {
	if emulated {
		return []time.Duration{100 * time.Millisecond}
	}
	return []time.Duration{100 * time.Millisecond, 20 * time.Millisecond, 5 * time.Millisecond}
}

// usualThreshold is that of the tests that need but one.
func usualThreshold() time.Duration {
	return 100 * time.Millisecond
}

// seconds is how the truth programs want a duration.
func seconds(d time.Duration) string { return ftoa(d.Seconds()) }

// parts is by what the kinds of blocks are shared out among the loops: each plays them all, unless the
// machine is emulated. There asyncio plays one half attached by fentry and the other by tracepoints.
func parts(loop string) int {
	switch {
	case !emulated:
		return 1
	case loop == "asyncio":
		return 2
	}
	return 8
}

// turn is which of the parts it is that the first loop plays.
func turn() int {
	if os.Getenv(attachEnv) == "tracepoint" {
		return 1
	}
	return 0
}

// busyFor is how long a program runs that takes a whole CPU.
func busyFor() time.Duration {
	if emulated {
		return 1500 * time.Millisecond // above settling, or there is nothing to judge
	}
	return 3 * time.Second
}

// endings are the signals that end loopwatch, where each start of it is cheap; else the one it
// cannot do anything about.
func endings() []syscall.Signal {
	if emulated {
		return []syscall.Signal{syscall.SIGKILL}
	}
	return []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL}
}
