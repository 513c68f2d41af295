// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"maps"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/truth"
)

// emulatedEnv says that this machine is emulated: some twenty times slower than others, now and
// then without a CPU for tens of milliseconds.
const emulatedEnv = "LOOPWATCH_EMULATED"

var emulated = os.Getenv(emulatedEnv) != ""

// counted says that the clock of the machine counts its instructions.
var counted = os.Getenv(emulatedEnv) == "counted"

// thresholds are those of the tests that have several, largest first.
func thresholds() []time.Duration {
	if emulated || recordingsDir != "" {
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

// loopsOfTurn are the loops the truth programs run on: all of them, unless the machine is emulated. There every
// other one runs attached by fentry and the others by tracepoints, and asyncio both times.
func loopsOfTurn() (loops []string) {
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(truth.Loops)), func(loop string) bool { return loop == "asyncio" })
	for n, loop := range others {
		if !emulated || n%2 == turn() {
			loops = append(loops, loop)
		}
	}
	return append(loops, "asyncio")
}

// loopsOn are those of them that the nth interpreter plays in a round. The loops of libraries are told by them and not by
// the interpreter: each plays on a third of the interpreters, and on all of them in three rounds. For recordings, which are
// to be small, and where there are few interpreters, one plays them all.
func loopsOn(t *testing.T, python testpython.Interp, n, round int) []string {
	t.Helper()
	const rounds = 3
	switch {
	case len(testpython.All(t)) < rounds || recordingsDir != "" && debians(python):
		return loopsOfTurn()
	case recordingsDir != "":
		return []string{"asyncio"}
	}
	m := 0
	return slices.DeleteFunc(loopsOfTurn(), func(loop string) bool {
		if loop == "asyncio" {
			return false
		}
		m++
		return (n+m+round)%rounds != 0
	})
}

// parts is in how many parts the kinds of blocks are divided, of which a loop plays one. asyncio plays them
// all; any other loop plays one half on one interpreter and the other half on the next. On an emulated
// machine asyncio plays one half attached by fentry and the other by tracepoints.
func parts(loop string) int {
	switch {
	case loop == "asyncio" && !emulated:
		return 1
	case loop == "asyncio" || !emulated:
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

// settling is how long loopwatch may take to notice a loop that has just begun.
const settling = 500 * time.Millisecond

// crowded is the same where others begin and end at the same time.
func crowded() time.Duration {
	if emulated {
		return 4 * settling
	}
	return settling
}

// few are the interpreters for tests of what is the kernel's rather than theirs: where the machine is emulated, the
// newest stands for all.
func few(t testing.TB) []testpython.Interp {
	t.Helper()
	all := testpython.All(t)
	if emulated {
		return all[len(all)-1:]
	}
	return all
}

// releases are one interpreter of each release, this machine's own where it is one: for tests of what the release decides.
// What builds differ in, other tests look at.
func releases(all []testpython.Interp) []testpython.Interp {
	chosen := map[int]testpython.Interp{}
	for _, python := range all {
		if _, there := chosen[python.Minor]; !there || debians(python) {
			chosen[python.Minor] = python
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p testpython.Interp) bool { return chosen[p.Minor] != p })
}

// busyFor is how long a program runs that takes a whole CPU.
func busyFor() time.Duration {
	if emulated {
		return 1500 * time.Millisecond // above settling, or there is nothing to judge
	}
	return 3 * time.Second
}

// probed is how often a Probed program blocks in each way.
func probed() (rounds int) {
	if emulated {
		return 3
	}
	return 5
}

// endings are the signals that end loopwatch, where each start of it is cheap; else the one it
// cannot do anything about.
func endings() []syscall.Signal {
	if emulated {
		return []syscall.Signal{syscall.SIGKILL}
	}
	return []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL}
}

// delays is for how long a thread may not have run while it waited for a CPU for so long by the kernel's account. That
// leaves out the switches themselves, some tens of microseconds each on an emulated machine.
func delays(account int64) int64 {
	if emulated {
		return account + account/20
	}
	return account
}

// observationsUnderWay is how many observations of TestBlocksUnderWay begin in the middle of blocks.
func observationsUnderWay() int {
	if emulated {
		return 2
	}
	return 6
}
