// SPDX-License-Identifier: Apache-2.0

package model

// SchemaWaits is the schema of a WaitProfile.
const SchemaWaits = "loopwatch.waits/v1"

// WaitProfile is where the tasks of asyncio spent their waiting during one observation.
type WaitProfile struct {
	Schema    string `json:"schema"`
	StartedAt string `json:"started_at"` // RFC 3339 with zone
	StartedNS int64  `json:"started_ns"` // CLOCK_MONOTONIC
	EndedNS   int64  `json:"ended_ns"`
	Rate      int    `json:"rate"`    // samples a second that were asked for
	Samples   int64  `json:"samples"` // that were taken
	// IntervalMaxNS is the longest time between two samples of a process.
	IntervalMaxNS int64      `json:"interval_max_ns"`
	Processes     int        `json:"processes"` // Python processes that were watched
	Host          DumpHost   `json:"host"`
	Loops         []WaitLoop `json:"loops"`
	// Waits are the waits, largest first.
	Waits []TaskWaits `json:"waits"`
	// Lost counts what could not be read, and the samples that were not taken, by reason.
	Lost        map[string]int64 `json:"lost"`
	Unsupported []Unsupported    `json:"unsupported"`
}

// WaitLoop is one event loop of a WaitProfile.
type WaitLoop struct {
	PID       int    `json:"pid"`
	TID       int    `json:"tid"`
	Command   string `json:"command"`
	Python    string `json:"python"`
	Loop      string `json:"loop"`
	Container string `json:"container"`
	Unit      string `json:"unit"`
	TasksMax  int    `json:"tasks_max"` // pending tasks, at most at once
	TaskNS    int64  `json:"task_ns"`   // waiting time of its tasks, as shares have it
}

// TaskWaits is the time that tasks spent waiting in one await chain.
type TaskWaits struct {
	On   WaitKind `json:"on"`
	Call string   `json:"call,omitempty"` // as in Wait
	// Place is the innermost frame of the application, of any code where the application has none.
	Place *Frame `json:"place"`
	// Chain are the frames of the task, innermost first, then those of the task that awaits it, and so on.
	Chain     []Frame     `json:"chain"`
	TaskNS    int64       `json:"task_ns"`   // summed over tasks
	Samples   int64       `json:"samples"`   // how often a task was found there
	TasksMax  int         `json:"tasks_max"` // at once, in all loops
	PlaceMax  int         `json:"place_max"` // the same of all chains with the same On, Call and Place
	TasksMean float64     `json:"tasks_mean"`
	Holder    *WaitHolder `json:"holder"` // that was seen most often, nil where there is no evidence
	Loops     []LoopWaits `json:"loops"`
	// Contended says that tasks waited for one another, as opposed to waiting for work, peers or time.
	Contended bool `json:"contended"`
	Queued    bool `json:"queued,omitempty"`    // as in Wait
	Consumers bool `json:"consumers,omitempty"` // as in Wait
	// Elsewhere says that the tasks waited for other tasks, whose rows have this time already: it is part of no sum.
	Elsewhere bool `json:"counted_elsewhere,omitempty"`
}

// Wait returns what is waited for, in the form it has in a dump.
func (w *TaskWaits) Wait() *Wait {
	return &Wait{On: w.On, Tasks: w.TasksMax, Call: w.Call, Place: w.Place, Holder: w.Holder, Queued: w.Queued, Consumers: w.Consumers}
}

// LoopWaits is what one loop has of a TaskWaits.
type LoopWaits struct {
	LoopID
	TaskNS  int64 `json:"task_ns"`
	Samples int64 `json:"samples"`
}
