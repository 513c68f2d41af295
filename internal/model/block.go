// SPDX-License-Identifier: Apache-2.0

package model

// Frame is one Python frame, or a name in brackets for what is no code. Line is 0 where it is unknown. App says
// that the frame is the application's own, not a library's.
type Frame struct {
	Function string `json:"function"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	App      bool   `json:"app"`
}

// Unreadable is the Function of a frame that could not be named.
const Unreadable = "[unreadable]"

// Stack is one place where a block spent time. Frames stand innermost first.
type Stack struct {
	NS     int64   `json:"ns"`
	Cause  Cause   `json:"cause"`
	Frames []Frame `json:"frames"`
}

// Holder is the thread that held what a loop waited for. Frames stand innermost first.
type Holder struct {
	PID    int     `json:"pid,omitempty"` // set where it is another process
	TID    int     `json:"tid,omitempty"` // 0 where it is not known
	Thread string  `json:"thread,omitempty"`
	Frames []Frame `json:"frames,omitempty"`
}

// Detail is the evidence behind a cause. A field that could not be read is absent.
type Detail struct {
	Syscall string `json:"syscall,omitempty"`
	FD      *int   `json:"fd,omitempty"`
	Target  string `json:"target,omitempty"` // a peer, a path or a child: docs/targets.md
	Native  string `json:"native,omitempty"` // the file name of the module whose code ran, and behind a space the function, if known
	Called  string `json:"called,omitempty"` // what the loop called itself, where no line of Python's is to blame: "time.sleep"
	// Scheduled is the line that scheduled what the loop called, where no line of the application's stands inside and asyncio's
	// debug mode keeps that.
	Scheduled *Frame  `json:"scheduled,omitempty"`
	GIL       GIL     `json:"gil,omitempty"`
	Holder    *Holder `json:"holder,omitempty"`
	// During is gc where what is told happened in the middle of a collection, in a finalizer or the like.
	During Cause `json:"during,omitempty"`
	// The interpreter's own probes report these, for the whole block.
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

// Import sums up the imports during a block. An import inside another is not counted.
type Import struct {
	Count  int64  `json:"count"`
	NS     int64  `json:"ns"`
	MaxNS  int64  `json:"max_ns"`
	Module string `json:"module"` // the one whose import took longest
}

// AuditEvent is an event of sys.audit during a block.
type AuditEvent struct {
	Event string `json:"event"`
	Count int64  `json:"count"`
}

// GIL says whether the loop's thread held the GIL during a block. It is empty where that is not known.
type GIL string

const (
	GILHeld     GIL = "held"
	GILReleased GIL = "released"
)

// Delayed counts the events that waited for a block to end.
type Delayed struct {
	Events int64 `json:"events"`
	MaxNS  int64 `json:"max_ns,omitempty"` // how long the oldest waited, 0 where it is not known
	// By is where they came from, most events first, as far as it is known. A timer is none of Events.
	By []DelayedBy `json:"by,omitempty"`
}

// DelayedBy counts the events of one sort: "tcp 0.0.0.0:8080" (the sockets' own address), "unix /run/app.sock", "pipe",
// "eventfd", "wakeup" (the loop's own descriptor), "timer" and so on.
type DelayedBy struct {
	Target string `json:"target"`
	Events int64  `json:"events"`
}

// TargetWakeup and TargetTimer are targets that stand for the loop's own.
const (
	TargetWakeup = "wakeup"
	TargetTimer  = "timer"
)

// MaxDelayedBy bounds Delayed.By.
const MaxDelayedBy = 8

// Shape tells one long callback from many short ones. It is empty where neither can be shown.
type Shape string

const (
	ShapeSingle Shape = "single"
	ShapeMany   Shape = "many"
)

// Block is one active period of a loop of at least the threshold, or the part of it that one of several long callbacks
// took. The values of BreakdownNS add up to DurationNS.
type Block struct {
	Schema     string `json:"schema,omitempty"`
	PID        int    `json:"pid"`
	TID        int    `json:"tid"`
	StartNS    int64  `json:"start_ns"`
	DurationNS int64  `json:"duration_ns"`
	// StartedAt is StartNS by the wall clock as it was set when the block ended, RFC 3339 with the zone. Empty where only the
	// start of the observation has such a time, as in a recording.
	StartedAt string `json:"started_at,omitempty"`
	// Of several blocks in one period each has Period, a number unique in the loop, and PeriodNS, the length of the
	// whole period. BoundaryNS is how far off the time may be at which the block begins or ends beside another.
	Period     uint64 `json:"period,omitempty"`
	PeriodNS   int64  `json:"period_ns,omitempty"`
	BoundaryNS int64  `json:"boundary_ns,omitempty"`
	// AtLeast says that the loop was outside its wait already when the observation began, and that the beginning is
	// not known: DurationNS is a lower bound.
	AtLeast bool `json:"at_least,omitempty"`
	Ongoing bool `json:"ongoing"`
	// InWait says that the block lies, also, inside the wait: the loop was woken, or should have been, and was not let run.
	InWait      bool            `json:"in_wait,omitempty"`
	Cause       Cause           `json:"cause"`
	Shape       Shape           `json:"shape,omitempty"`
	BreakdownNS map[Cause]int64 `json:"breakdown_ns"`
	Culprit     *Frame          `json:"culprit"`
	Leaf        *Frame          `json:"leaf"`
	Task        string          `json:"task,omitempty"`
	Stacks      []Stack         `json:"stacks"` // heaviest first
	Detail      Detail          `json:"detail"`
	Delayed     *Delayed        `json:"delayed,omitempty"`
}

// WholeNS is how long the loop served nobody: the length of the active period.
func (b *Block) WholeNS() int64 { return max(b.DurationNS, b.PeriodNS) }

// LowerBound reports whether the block took longer than its duration says, or may have.
func (b *Block) LowerBound() bool { return b.AtLeast || b.Ongoing }

// Blocker is the blocks that have one cause and one culprit.
type Blocker struct {
	Cause   Cause  `json:"cause"`
	Culprit *Frame `json:"culprit"`
	Detail  Detail `json:"detail"` // of the longest block
	Count   int64  `json:"count"`
	TotalNS int64  `json:"total_ns"`
	MaxNS   int64  `json:"max_ns"`
	// AtLeast says that TotalNS and MaxNS are lower bounds: one of the blocks had not ended, or its beginning is not
	// known.
	AtLeast bool     `json:"at_least,omitempty"`
	Loops   []LoopID `json:"loops"`
	Stack   []Frame  `json:"stack"` // of the longest block, innermost first
	Advice  string   `json:"advice,omitempty"`
	Known   *Known   `json:"known,omitempty"` // nil where neither an ignore file nor a baseline says anything of it
}

// BlockerKey is what blocks of one blocker have in common. Without a culprit all but the cause is empty.
type BlockerKey struct {
	Cause    Cause
	Blamed   bool
	Function string
	File     string
	Line     int
}

// Key returns the key of the blocker that b belongs to.
func (b *Block) Key() BlockerKey { return keyOf(b.Cause, b.Culprit) }

// Key returns what the blocks of b have in common.
func (b *Blocker) Key() BlockerKey { return keyOf(b.Cause, b.Culprit) }

func keyOf(c Cause, culprit *Frame) BlockerKey {
	if culprit == nil {
		return BlockerKey{Cause: c}
	}
	return BlockerKey{c, true, culprit.Function, culprit.File, culprit.Line}
}
