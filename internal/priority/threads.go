// SPDX-License-Identifier: Apache-2.0

package priority

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxPasses bounds how often the threads are listed: a runtime does not start new ones for ever.
const maxPasses = 100

// setThreads gives every thread of this process a niceness, which on Linux is each thread's own. New
// ones inherit that of the thread that starts them, so it is done when all that are listed have it.
func setThreads(nice int) error {
	for range maxPasses {
		threads, err := tasks()
		if err != nil {
			return err
		}
		again := false
		for _, tid := range threads {
			has, err := niceOf(tid)
			if err == nil && has != nice {
				again = true
				err = unix.Setpriority(unix.PRIO_PROCESS, tid, nice)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		if !again {
			return nil
		}
	}
	return nil // the watchdog comes again
}

// tasks lists the threads of this process.
func tasks() ([]int, error) {
	dir, err := os.Open("/proc/self/task")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	tids := make([]int, len(names))
	for i, name := range names {
		if tids[i], err = strconv.Atoi(name); err != nil {
			return nil, err
		}
	}
	return tids, nil
}

// ended reports whether a thread of this process is no more.
func ended(tid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid))
	return errors.Is(err, os.ErrNotExist)
}

// niceOf returns the niceness of a thread, 0 for the calling one.
func niceOf(tid int) (int, error) {
	n, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
	return 20 - n, err // the kernel returns no negative numbers
}
