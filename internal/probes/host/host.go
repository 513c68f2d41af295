// SPDX-License-Identifier: Apache-2.0

// Package host tells what this host and the privileges of this process allow. In go the kernel's release and its files
// in /proc and /sys, and errors of the kernel; out come requirements that are met or not, capabilities, and errors that say
// what to do. It loads no program.
package host

// Hook is a way to attach programs to the kernel.
type Hook string

const (
	Fentry     Hook = "fentry"     // entry and return of the waits
	Tracepoint Hook = "tracepoint" // the same, where fentry cannot be had
	Tracing    Hook = "tp_btf"     // scheduler and process events
	Clock      Hook = "cpu-clock"  // ticks on each CPU
	Iterator   Hook = "iter/task"  // threads that are there already
	Uprobes    Hook = "uprobes"    // the interpreters' own probes, with their counters
)
