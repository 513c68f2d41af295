// SPDX-License-Identifier: Apache-2.0

package model

// State is what a thread does at one moment.
type State string

// The first three are states of loops, the others of other threads.
const (
	StateIdle     State = "idle"    // in its own wait
	StateActive   State = "active"  // outside its wait
	StateBlocked  State = "blocked" // outside its wait for at least the threshold
	StateRunning  State = "running" // on a CPU, or ready for one
	StateSleeping State = "sleeping"
	StateStopped  State = "stopped" // by a signal, a tracer or a freezer
)

// Dump says what the event loops of a host do at one moment.
type Dump struct {
	Schema      string        `json:"schema"`
	TakenAt     string        `json:"taken_at"` // RFC 3339 with zone
	TakenNS     int64         `json:"taken_ns"`
	TookNS      int64         `json:"took_ns"`
	ThresholdNS int64         `json:"threshold_ns"`
	Host        DumpHost      `json:"host"`
	Processes   []DumpProcess `json:"processes"`
	// Lost counts what could not be read, by reason.
	Lost        map[string]int64 `json:"lost"`
	Unsupported []Unsupported    `json:"unsupported"`
}

// DumpHost is the machine looked at.
type DumpHost struct {
	Hostname string `json:"hostname"`
	Kernel   string `json:"kernel"`
	Arch     string `json:"arch"`
}

// DumpProcess is one Python process.
type DumpProcess struct {
	PID       int          `json:"pid"`
	Command   string       `json:"command"`
	Python    string       `json:"python"`
	Container string       `json:"container"`
	Unit      string       `json:"unit"`
	GIL       []DumpGIL    `json:"gil"` // those held at that moment: an interpreter may have a GIL of its own
	Loops     []DumpLoop   `json:"loops"`
	Threads   []DumpThread `json:"threads"` // the other Python threads
	// Executors are the pools of threads and processes.
	Executors []Executor `json:"executors,omitempty"`
	// Deadlocks are circles of tasks, each of which waits for what the next one holds.
	Deadlocks [][]DeadlockMember `json:"deadlocks,omitempty"`
}

// DumpGIL says which thread holds a GIL.
type DumpGIL struct {
	TID    int    `json:"tid,omitempty"` // 0 where it is not known
	Thread string `json:"thread,omitempty"`
}

// DumpThread is one Python thread.
type DumpThread struct {
	TID    int    `json:"tid"`
	Thread string `json:"thread"` // the name that threading has for it, or else the kernel's
	State  State  `json:"state"`
	// ForNS is how long it has been in its state, nil where that is not known. AtLeast says that this is a lower
	// bound.
	ForNS   *int64  `json:"for_ns,omitempty"`
	AtLeast bool    `json:"at_least,omitempty"`
	Cause   Cause   `json:"cause,omitempty"` // empty for an idle loop
	Culprit *Frame  `json:"culprit"`
	Leaf    *Frame  `json:"leaf"`
	Detail  Detail  `json:"detail"`
	Frames  []Frame `json:"frames"`         // innermost first
	Torn    bool    `json:"torn,omitempty"` // the stack changed each time it was read
	// Executor is the name of the pool that the thread belongs to, "" where it belongs to none.
	Executor string `json:"executor,omitempty"`
}

// DumpLoop is an event loop.
type DumpLoop struct {
	DumpThread
	Loop string `json:"loop"` // its kind
	Task string `json:"task,omitempty"`
	// Tasks are asyncio's, in no particular order. It is empty where they could not be read, or the loop has none
	// of that kind.
	Tasks []DumpTask `json:"tasks,omitempty"`
	// Queue is what the loop has to do, nil where that cannot be read.
	Queue *LoopQueue `json:"queue,omitempty"`
	// Waits are what its tasks wait for, most tasks first.
	Waits []Wait `json:"waits,omitempty"`
	// TasksTorn says that the tasks changed each time they were read.
	TasksTorn bool `json:"tasks_torn,omitempty"`
	// MoreTasks counts the tasks that are left out.
	MoreTasks int64 `json:"more_tasks,omitempty"`
}

// DumpTask is an asyncio task that has not ended.
type DumpTask struct {
	ID      string `json:"id"` // its address: unique while it lives
	Name    string `json:"name"`
	Running bool   `json:"running,omitempty"`
	// Frames are its coroutine and the coroutines it awaits, innermost first.
	Frames []Frame `json:"frames"`
	// Awaits holds the ids of the tasks it waits for.
	Awaits []string `json:"awaits,omitempty"`
}
