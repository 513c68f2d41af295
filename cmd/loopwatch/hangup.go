// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// hangups are the SIGHUPs that ask for a file to be opened anew. One that comes because the terminal is gone asks for the end,
// unless SIGHUP was ignored, as under nohup.
type hangups struct {
	signals chan os.Signal
	at      int // the process whose terminal it is, 0: none, or it does not matter
}

// catchHangups catches SIGHUP from now on. stop ends that.
func catchHangups() (h *hangups, stop func()) {
	h = &hangups{signals: make(chan os.Signal, 1)}
	if !signal.Ignored(syscall.SIGHUP) {
		h.at = atTerminal()
	}
	signal.Notify(h.signals, syscall.SIGHUP)
	return h, func() { signal.Stop(h.signals) }
}

// final reports whether the terminal that was there is gone.
func (h *hangups) final() bool { return h.at != 0 && !hasTerminal(h.at) }

// atTerminal returns which process has the terminal: this one, or the one whose place at it this one takes, which is then its
// parent and the same program (package priority). 0 is none.
func atTerminal() int {
	if self := os.Getpid(); hasTerminal(self) {
		return self
	}
	parent := os.Getppid()
	mine, err := os.Stat("/proc/self/exe")
	theirs, parentErr := os.Stat(fmt.Sprintf("/proc/%d/exe", parent))
	if err == nil && parentErr == nil && os.SameFile(mine, theirs) && hasTerminal(parent) {
		return parent
	}
	return 0
}

// hasTerminal reports whether a process has a controlling terminal.
func hasTerminal(pid int) bool {
	const state, terminal = 3, 7 // numbers of the fields, as in proc(5)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) <= terminal-state {
		return false
	}
	n, err := strconv.Atoi(string(fields[terminal-state]))
	return err == nil && n != 0
}
