// SPDX-License-Identifier: Apache-2.0

package model

// WaitKind is what tasks wait for.
type WaitKind string

const (
	WaitLock      WaitKind = "lock"
	WaitSemaphore WaitKind = "semaphore" // a limiter of anyio's, too
	WaitCondition WaitKind = "condition"
	WaitEvent     WaitKind = "event"
	WaitQueue     WaitKind = "queue" // for an item, for room, or until all is done
	WaitBarrier   WaitKind = "barrier"
	WaitExecutor  WaitKind = "executor" // for a call in a thread or another process
	WaitTask      WaitKind = "task"
	WaitStream    WaitKind = "stream" // for a peer: asyncio's streams, sockets, servers
	WaitSleep     WaitKind = "sleep"
	WaitFuture    WaitKind = "future" // and nothing more is known of it
)

// Wait is what some tasks of a loop wait for together.
type Wait struct {
	On    WaitKind `json:"on"`
	Tasks int      `json:"tasks"`
	IDs   []string `json:"ids,omitempty"` // of the tasks, at most MaxWaitIDs
	// Call is what the application called, such as "Queue.put", "" where that is not known.
	Call string `json:"call,omitempty"`
	// Place is the innermost frame of the application, of any code where the application has none; most of the tasks wait there.
	Place *Frame `json:"place"`
	// Holder is the task that holds the lock, nil where there is no evidence.
	Holder *WaitHolder `json:"holder"`
	// Queued says that the calls of an executor have not begun: they wait for a free thread.
	Queued bool `json:"queued,omitempty"`
	// Consumers says that the tasks wait for work: what they wait for is called by their own outermost coroutine.
	Consumers bool `json:"consumers,omitempty"`
}

// MaxWaitIDs bounds the tasks of one Wait that are listed.
const MaxWaitIDs = 1000

// WaitHolder is the task that holds a lock.
type WaitHolder struct {
	Task string `json:"task"` // its id
	Name string `json:"name"`
	// Frames begin with the one that holds the lock, with the line at which it stands now, then its callers.
	Frames []Frame `json:"frames"`
}

// DeadlockMember is one task of a deadlock: it keeps the task before it waiting, that of the last the first.
type DeadlockMember struct {
	Task  string   `json:"task"` // its id
	Name  string   `json:"name"`
	Holds WaitKind `json:"holds"` // what it keeps from the other: a lock or, as its end is awaited, a task
	Frame *Frame   `json:"frame"` // where it waits itself
}

// LoopQueue is what a loop has to do.
type LoopQueue struct {
	// Ready counts the callbacks that wait for their turn, during a callback those behind it, Scheduled the timers that are not
	// cancelled. Both are nil for a loop that is compiled (uvloop).
	Ready     *int `json:"ready,omitempty"`
	Scheduled *int `json:"scheduled,omitempty"`
	// TimerLateNS is how overdue the first timer is, nil where that is not known, 0 where it is not due.
	TimerLateNS *int64 `json:"timer_late_ns,omitempty"`
	Tasks       int    `json:"tasks"` // that have not ended
}

// Executor is a pool of threads or processes.
type Executor struct {
	Name    string         `json:"name"`
	Kind    string         `json:"kind"`    // ExecutorThreads or ExecutorProcesses
	Default bool           `json:"default"` // of a loop of the process
	Threads int            `json:"threads"` // or processes, that there are
	Max     *int           `json:"max"`     // nil where that is not known
	Busy    int            `json:"busy"`
	Queued  *int           `json:"queued"` // calls that no thread has begun, nil where that is not known
	Work    []ExecutorWork `json:"work"`
}

// Kinds of Executor.
const (
	ExecutorThreads   = "thread"
	ExecutorProcesses = "process"
)

// ExecutorWork is what some threads of a pool are busy with.
type ExecutorWork struct {
	Frame *Frame `json:"frame"` // innermost of the application, or of any code
	Count int    `json:"count"`
}
