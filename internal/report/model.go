// SPDX-License-Identifier: Apache-2.0

// Package report is the model of what an observation found: loops, the blocks that
// stopped them, and the blockers those blocks are grouped by. The correlator fills it, the
// writers of this package render it, and nothing in it knows where the facts came from.
//
// All durations are nanoseconds, all timestamps of blocks CLOCK_MONOTONIC nanoseconds. Every
// string in the model may have been made by a watched process: writers must neutralise it.
package report

// Schemas of the machine formats.
const (
	SchemaReport = "loopwatch.report/v1"
	SchemaBlock  = "loopwatch.block/v1"
)

// Cause says why a block took its time.
type Cause string

// The closed list of causes.
const (
	CauseCPU        Cause = "cpu"
	CauseNative     Cause = "native"
	CauseSleep      Cause = "sleep"
	CauseNet        Cause = "net"
	CauseDNS        Cause = "dns"
	CauseFile       Cause = "file"
	CausePipe       Cause = "pipe"
	CauseSubprocess Cause = "subprocess"
	CauseLock       Cause = "lock"
	CauseGIL        Cause = "gil"
	CauseGC         Cause = "gc"
	CauseImport     Cause = "import"
	CauseRunqueue   Cause = "runqueue"
	CauseThrottled  Cause = "throttled"
	CauseStopped    Cause = "stopped"
	CauseUnknown    Cause = "unknown"
)

// Frame is one Python frame, or one C library's name for it. Line is 0 where it is unknown.
type Frame struct {
	Function string `json:"function"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	App      bool   `json:"app"`
}

// Stack is one place where a block's time was spent. Frames stand innermost first.
type Stack struct {
	NS     int64   `json:"ns"`
	Cause  Cause   `json:"cause"`
	Frames []Frame `json:"frames"`
}

// Holder is the thread that held what a loop waited for.
type Holder struct {
	PID    int     `json:"pid,omitempty"` // where it is another process
	TID    int     `json:"tid,omitempty"` // absent where it could not be told
	Thread string  `json:"thread,omitempty"`
	Frames []Frame `json:"frames,omitempty"`
}

// Detail is the evidence behind a cause. Fields that could not be read are absent.
type Detail struct {
	Syscall string  `json:"syscall,omitempty"`
	FD      *int    `json:"fd,omitempty"`
	Target  string  `json:"target,omitempty"`
	Native  string  `json:"native,omitempty"`
	GIL     GIL     `json:"gil,omitempty"`
	Holder  *Holder `json:"holder,omitempty"`
	// What the interpreter's own probes said of the whole block.
	GC     *GC          `json:"gc,omitempty"`
	Import *Import      `json:"import,omitempty"`
	Audit  []AuditEvent `json:"audit,omitempty"`
}

// GC sums up the cyclic collections during a block, from start to end as gc.callbacks see them.
type GC struct {
	Count      int64 `json:"count"`
	NS         int64 `json:"ns"`
	MaxNS      int64 `json:"max_ns"`
	Generation int   `json:"generation"` // of the longest
	Collected  int64 `json:"collected"`  // objects
}

// Import sums up the imports during a block, those within others not counted.
type Import struct {
	Count  int64  `json:"count"`
	NS     int64  `json:"ns"`
	MaxNS  int64  `json:"max_ns"`
	Module string `json:"module"` // whose import took longest
}

// AuditEvent is an event of sys.audit during a block.
type AuditEvent struct {
	Event string `json:"event"`
	Count int64  `json:"count"`
}

// GIL says whether the loop's thread held the GIL during a block.
type GIL string

const (
	GILHeld     GIL = "held"
	GILReleased GIL = "released"
)

// Delayed counts the events that waited for a block to end.
type Delayed struct {
	Events int64 `json:"events"`
	MaxNS  int64 `json:"max_ns,omitempty"` // how long the oldest did, 0 not known
}

// Shape tells one long callback from many short ones.
type Shape string

const (
	ShapeSingle Shape = "single"
	ShapeMany   Shape = "many"
)

// Block is one active period of a loop of at least the threshold. The values of BreakdownNS
// add up to DurationNS.
type Block struct {
	Schema     string `json:"schema,omitempty"`
	PID        int    `json:"pid"`
	TID        int    `json:"tid"`
	StartNS    int64  `json:"start_ns"`
	DurationNS int64  `json:"duration_ns"`
	// AtLeast says that the loop was outside its wait already when the observation began, and since when is not
	// known: DurationNS is a lower bound.
	AtLeast     bool            `json:"at_least,omitempty"`
	Ongoing     bool            `json:"ongoing"`
	Cause       Cause           `json:"cause"`
	Shape       Shape           `json:"shape,omitempty"` // absent where it could not be told
	BreakdownNS map[Cause]int64 `json:"breakdown_ns"`
	Culprit     *Frame          `json:"culprit"`
	Leaf        *Frame          `json:"leaf"`
	Task        string          `json:"task,omitempty"`
	Stacks      []Stack         `json:"stacks"`
	Detail      Detail          `json:"detail"`
	Delayed     *Delayed        `json:"delayed,omitempty"`
}

// LowerBound tells whether the block took longer than its duration says, or may have.
func (b *Block) LowerBound() bool { return b.AtLeast || b.Ongoing }

// Percentiles describes the distribution of a loop's active periods.
type Percentiles struct {
	P50 int64 `json:"p50"`
	P90 int64 `json:"p90"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

// Unrested is how long a loop went from one iteration to the next, and the next, without a wait
// that could rest, as far as such stretches reached the threshold.
type Unrested struct {
	Total int64 `json:"total"`
	Max   int64 `json:"max"`
}

// Loop is one event loop and its books over the observation.
type Loop struct {
	PID         int         `json:"pid"`
	TID         int         `json:"tid"`
	Command     string      `json:"command"`
	Python      string      `json:"python"`
	Loop        string      `json:"loop"`
	Container   string      `json:"container"`
	Unit        string      `json:"unit"`
	Iterations  int64       `json:"iterations"`
	IdleNS      int64       `json:"idle_ns"`
	ActiveNS    int64       `json:"active_ns"`
	Utilization float64     `json:"utilization"`
	IterationNS Percentiles `json:"iteration_ns"`
	Blocks      int64       `json:"blocks"`
	BlockedNS   int64       `json:"blocked_ns"`
	InBlockNS   int64       `json:"in_block_ns"`
	UnrestedNS  Unrested    `json:"unrested_ns"`
	USDT        []string    `json:"usdt,omitempty"` // kinds of the interpreter's own probes in use
}

// LoopID names a loop within a report.
type LoopID struct {
	PID int `json:"pid"`
	TID int `json:"tid"`
}

// Blocker groups blocks by cause and culprit.
type Blocker struct {
	Cause   Cause  `json:"cause"`
	Culprit *Frame `json:"culprit"`
	Detail  Detail `json:"detail"`
	Count   int64  `json:"count"`
	TotalNS int64  `json:"total_ns"`
	MaxNS   int64  `json:"max_ns"`
	// AtLeast says that TotalNS and MaxNS are lower bounds: of one of the blocks it is not known when it began, or
	// it had not ended.
	AtLeast bool     `json:"at_least,omitempty"`
	Loops   []LoopID `json:"loops"`
	Stack   []Frame  `json:"stack"`
	Advice  string   `json:"advice,omitempty"`
}

// Host is the machine observed.
type Host struct {
	Hostname string `json:"hostname"`
	Kernel   string `json:"kernel"`
	Arch     string `json:"arch"`
	Attach   string `json:"attach"`
}

// Lost counts what was dropped, in total and by reason.
type Lost struct {
	Events  int64            `json:"events"`
	Stacks  int64            `json:"stacks"`
	Reasons map[string]int64 `json:"reasons,omitempty"`
}

// Unsupported is a process that could not be watched: a Python, or one of which nobody can say.
type Unsupported struct {
	PID     int    `json:"pid"`
	Command string `json:"command"`
	Reason  string `json:"reason"`
	// Maybe says that it could not be read: it may be a Python or not.
	Maybe bool `json:"maybe,omitempty"`
}

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
	Blockers    []Blocker     `json:"blockers"`
	Blocks      []Block       `json:"blocks"`
	Lost        Lost          `json:"lost"`
	Unsupported []Unsupported `json:"unsupported"`
}
