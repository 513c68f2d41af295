// SPDX-License-Identifier: Apache-2.0

// Package model holds the facts that loopwatch finds and reports: frames, causes, blocks, loops, and the reports and
// dumps made of them, in the form their JSON has. Whatever watches a process fills them in, whatever renders them
// reads them; the package imports nothing of this project. Durations are nanoseconds, times of blocks are
// CLOCK_MONOTONIC nanoseconds. A watched process may have chosen any string, so whoever prints one neutralises it.
package model

import "cmp"

// Schemas of the machine formats.
const (
	SchemaReport = "loopwatch.report/v1"
	SchemaBlock  = "loopwatch.block/v1"
	SchemaDump   = "loopwatch.dump/v1"
)

// Report is one observation.
type Report struct {
	Schema      string        `json:"schema"`
	StartedAt   string        `json:"started_at"` // RFC 3339 with zone
	StartedNS   int64         `json:"started_ns"`
	EndedNS     int64         `json:"ended_ns"`
	ThresholdNS int64         `json:"threshold_ns"`
	Processes   int           `json:"processes"` // Python processes watched
	Host        Host          `json:"host"`
	Loops       []Loop        `json:"loops"`
	Blockers    []Blocker     `json:"blockers"` // largest total first
	Blocks      []Block       `json:"blocks"`   // in time order
	Lost        Lost          `json:"lost"`
	Unsupported []Unsupported `json:"unsupported"`
}

// Host is the machine observed.
type Host struct {
	Hostname string `json:"hostname"`
	Kernel   string `json:"kernel"`
	Arch     string `json:"arch"`
	Attach   string `json:"attach"` // how the waits are hooked: fentry or tracepoint
}

// Loop is one event loop with its figures over the observation.
type Loop struct {
	PID         int         `json:"pid"`
	TID         int         `json:"tid"`
	Command     string      `json:"command"`
	Python      string      `json:"python"` // its version
	Loop        string      `json:"loop"`   // its kind
	Container   string      `json:"container"`
	Unit        string      `json:"unit"`
	Iterations  int64       `json:"iterations"`
	IdleNS      int64       `json:"idle_ns"`     // in waits in which its thread slept
	LateNS      int64       `json:"late_ns"`     // in any wait, woken or to be woken, and not let run
	ActiveNS    int64       `json:"active_ns"`   // in waits in which it did not sleep, and outside the wait
	Utilization float64     `json:"utilization"` // active over active and idle, 0 to 1
	IterationNS Percentiles `json:"iteration_ns"`
	// ReadyDelayNS is the loop's lag: for how long events were ready before a wait returned them, nil where that cannot be had.
	ReadyDelayNS *Percentiles `json:"ready_delay_ns,omitempty"`
	Blocks       int64        `json:"blocks"`
	BlockedNS    int64        `json:"blocked_ns"`
	InBlockNS    int64        `json:"in_block_ns"` // so far, of the block it was in at the end
	UnrestedNS   Unrested     `json:"unrested_ns"`
	USDT         []string     `json:"usdt,omitempty"` // kinds of the interpreter's own probes in use
}

// Percentiles describes a distribution of times, in nanoseconds.
type Percentiles struct {
	P50 int64 `json:"p50"`
	P90 int64 `json:"p90"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

// Unrested is how long a loop went from iteration to iteration without a wait that could rest. Only such stretches of
// at least the threshold count.
type Unrested struct {
	Total int64 `json:"total"`
	Max   int64 `json:"max"`
}

// LoopID names a loop within a report.
type LoopID struct {
	PID int `json:"pid"`
	TID int `json:"tid"`
}

// Compare orders loops by process and thread.
func (id LoopID) Compare(other LoopID) int {
	return cmp.Or(cmp.Compare(id.PID, other.PID), cmp.Compare(id.TID, other.TID))
}

// Lost counts what was dropped, in total and by reason.
type Lost struct {
	Events  int64            `json:"events"`
	Stacks  int64            `json:"stacks"`
	Reasons map[string]int64 `json:"reasons,omitempty"`
}

// Unsupported is a process that could not be watched.
type Unsupported struct {
	PID     int    `json:"pid"`
	Command string `json:"command"`
	Reason  string `json:"reason"`
	// Maybe says that the process could not be read: it may or may not be a Python.
	Maybe bool `json:"maybe,omitempty"`
}
