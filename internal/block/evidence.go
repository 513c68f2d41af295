// SPDX-License-Identifier: Apache-2.0

package block

import (
	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/model"
)

// Evidence is all that is known of one active period of a loop. Times are CLOCK_MONOTONIC nanoseconds.
type Evidence struct {
	PID         int    `json:"pid"`
	TID         int    `json:"tid"`
	Period      uint64 `json:"period"`       // its number
	ThresholdNS int64  `json:"threshold_ns"` // the shortest block
	StartNS     int64  `json:"start_ns"`
	EndNS       int64  `json:"end_ns"` // of an open period, when it was looked at
	OffNS       int64  `json:"off_ns"` // off the CPU
	WaitedNS    int64  `json:"waited_ns"`
	ThrottledNS int64  `json:"throttled_ns"` // of WaitedNS, held back by a cgroup's quota
	StoppedNS   int64  `json:"stopped_ns"`   // of OffNS, stopped by a signal, a tracer or a freezer
	Late        Late   `json:"late,omitzero"`
	// Seeded says that it was going on when it was first seen: StartNS is when that was.
	Seeded  bool     `json:"seeded,omitempty"`
	Open    bool     `json:"open,omitempty"`   // it goes on
	Exited  bool     `json:"exited,omitempty"` // the thread ended in the middle
	Loop    Loop     `json:"loop"`
	Samples []Sample `json:"samples,omitempty"`
	Account *Account `json:"account,omitempty"` // nil where the interpreter's own probes said nothing
}

// Late is how late the wait before a period returned: for so long the loop could have gone on, and was not let run. Before it may
// lie an iteration in which the loop was kept from running, too, and in which an answer began that this period gives.
type Late struct {
	NS          int64 `json:"ns"`
	ThrottledNS int64 `json:"throttled_ns,omitempty"` // of it, held back by a cgroup's quota
	StoppedNS   int64 `json:"stopped_ns,omitempty"`   // of it, stopped by a signal, a tracer or a freezer
	RanNS       int64 `json:"ran_ns,omitempty"`       // of it, on the CPU in the iteration before
	AsleepNS    int64 `json:"asleep_ns,omitempty"`    // of it, asleep there
}

// Kind says how a sample came about.
type Kind string

// The zero Kind is Off: a stretch off the CPU.
const (
	Off  Kind = ""
	Tick Kind = "tick" // found running
)

// Sample is one stack of a period, with names.
type Sample struct {
	Kind        Kind  `json:"kind,omitempty"`
	AtNS        int64 `json:"at_ns"`        // Off: it left the CPU; Tick: the tick
	NS          int64 `json:"ns"`           // Off: time asleep, with the shorter stretches since the sample before
	CPUNS       int64 `json:"cpu_ns"`       // on the CPU in the period up to AtNS
	WaitedNS    int64 `json:"waited_ns"`    // runnable without a CPU in the period up to the sample's end
	ThrottledNS int64 `json:"throttled_ns"` // of that, held back by a cgroup's quota

	Sleep cause.Sleep `json:"sleep"` // what the thread was in; with the syscall -1 in none
	// Module, Function and Interpreter say of a tick which file the code was of, and of native code which function.
	Module      string            `json:"module,omitempty"`
	Function    string            `json:"function,omitempty"`
	Interpreter bool              `json:"interpreter,omitempty"`
	Busy        cause.Interpreter `json:"busy"` // what the interpreter was busy with

	Frames  []model.Frame `json:"frames,omitempty"` // innermost first; one without a file stands for a middle that was cut
	Raw     []Address     `json:"raw,omitempty"`    // the same as addresses, without what was cut
	Cut     int           `json:"cut,omitempty"`    // frames missing in the middle
	Partial bool          `json:"partial,omitempty"`
	// Extensions are those of eventloop.Extensions that were mapped then.
	Extensions []string `json:"extensions,omitempty"`
	Inherited  int      `json:"inherited,omitempty"` // the outermost Frames, of a process forked inside a loop

	HasTask  bool     `json:"has_task,omitempty"` // the coroutine of a task is on the stack
	Task     string   `json:"task,omitempty"`     // its name, empty where it could not be read
	Callback Callback `json:"callback"`
	Called   string   `json:"called,omitempty"` // what the loop calls, where that is no function of Python's and is known
	// Scheduled is the line that scheduled what the loop calls, where no line of the application's stands inside; nil where it is not
	// known.
	Scheduled *model.Frame `json:"scheduled,omitempty"`
	Holder    *Holder      `json:"holder,omitempty"` // nil where it is not known
}

// Address is a frame by its code object and its instruction.
type Address struct {
	Code  uint64 `json:"code"`
	Instr int32  `json:"instr"`
}

// Codes returns the code objects of frames.
func Codes(frames []Address) []uint64 {
	out := make([]uint64, 0, len(frames))
	for _, f := range frames {
		out = append(out, f.Code)
	}
	return out
}

// Callback is the frame directly inside the one that calls the loop's callbacks. Frame is 0 where none was seen.
type Callback struct {
	Frame     uint64 `json:"frame,omitempty"` // address
	Local     uint64 `json:"local,omitempty"` // its first local variable; of a greenlet the first three in one number
	Generator bool   `json:"generator,omitempty"`
}

// Holder is the thread that held what a loop waited for. ThreadPointer is 0 where it is not known.
type Holder struct {
	ThreadPointer uint64 `json:"thread_pointer,omitempty"`
	model.Holder
}

// Account is what the interpreter's own probes said of a period.
type Account struct {
	Phases map[cause.Phase]PhaseTime `json:"phases,omitempty"` // a collection within an import is import

	// Collections, also those within imports.
	GCs          int64 `json:"gcs,omitempty"`
	GCNS         int64 `json:"gc_ns,omitempty"`
	GCMaxNS      int64 `json:"gc_max_ns,omitempty"`
	GCGeneration int   `json:"gc_generation,omitempty"` // of the longest
	GCCollected  int64 `json:"gc_collected,omitempty"`

	// Imports, without those within others.
	Imports     int64  `json:"imports,omitempty"`
	ImportNS    int64  `json:"import_ns,omitempty"`
	ImportMaxNS int64  `json:"import_max_ns,omitempty"`
	Module      string `json:"module,omitempty"` // whose import took longest

	Audits     []model.AuditEvent `json:"audits,omitempty"`
	AuditsMore int64              `json:"audits_more,omitempty"` // further events without a place of their own
}

// PhaseTime is the time in a phase.
type PhaseTime struct {
	NS                int64 `json:"ns"`
	OffNS             int64 `json:"off_ns"`
	WaitedOrStoppedNS int64 `json:"kept_ns"` // of OffNS, runnable or stopped
}
