// SPDX-License-Identifier: Apache-2.0

// Package truth holds Python programs that block an event loop on purpose and say when, where
// and why, and programs whose loops are never blocked. The end-to-end tests write them where
// an interpreter can see them, run them under loopwatch, and hold its report against what the
// programs themselves have logged.
package truth

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
)

//go:embed programs/*.py
var programs embed.FS

// Programs to run, as Write names them.
const (
	Blocking = "truth.py"   // LOOP --threshold SECONDS …
	Causing  = "causes.py"  // the same, with evidence for the cause of each block
	Resting  = "rest.py"    // FUNCTION
	Tasks    = "tasks.py"   // asyncio|uvloop SECONDS ROUNDS
	Holders  = "holders.py" // TIMES [WAY …]
	Probed   = "probed.py"  // ROUNDS SECONDS
	Storm    = "storm.py"   // PROCESSES RATE SECONDS TIMES
	Hostile  = "hostile.py" // DIRECTORY WORDS...
	Delaying = "delaying.py"
	Waiting  = "waiters.py" // asyncio|uvloop|gevent DIRECTORY
	Lagging  = "lagging.py" // SECONDS

	Standing  = "standing.py" // LOOP idle|sleep|spin|gil
	Again     = "again.py"    // LOOP KIND --seconds S, of Causing's kinds
	Brief     = "brief.py"    // KIND --loops N --iteration N --seconds S
	Importing = "imports.py"  // SECONDS ROUNDS [KIND ...]
	Together  = "several.py"  // LOOP SECONDS ROUNDS
	Late      = "late.py"     // WAY SECONDS
	Silent    = "silent.py"   // heap|code
	Spinning  = "spin.py"     // LOOP spin|half|short|endless SECONDS

	Application = "app.py" // not run but served, as app:application
)

// Loops are the loops Blocking can run on, by its own name for each, and what a report calls
// their kind.
var Loops = map[string]string{
	"asyncio":        "asyncio",
	"asyncio-thread": "asyncio",
	"uvloop":         "uvloop",
	"tornado":        "tornado",
	"trio":           "trio",
	"curio":          "curio",
	"twisted":        "twisted",
	"gevent":         "gevent",
	"eventlet":       "eventlet",
}

// HeldEntry is one line of what Holders prints: one wait for what somebody else held.
type HeldEntry struct {
	Event   string        `json:"event"` // "ready" or "done", then there is nothing else
	Child   int           `json:"child"` // with "ready": the process that shares a lock
	Kind    string        `json:"kind"`
	StartNS int64         `json:"start_ns"`
	EndNS   int64         `json:"end_ns"`
	Causes  []model.Cause `json:"causes"`
	Culprit string        `json:"culprit"` // its function, "" where no line is to blame
	GIL     model.GIL     `json:"gil"`
	Holder  *struct {
		PID      int    `json:"pid"` // 0: the program's own process
		TID      int    `json:"tid"`
		Function string `json:"function"`
	} `json:"holder"`
	// RunDelayNS is for how long the loop's thread has been waiting for a CPU since the entry before, by the
	// kernel's account.
	RunDelayNS int64 `json:"run_delay_ns"`
}

// Write puts the programs into dir, readable by everybody.
func Write(dir string) error { return WritePrograms(programs, dir) }

// WritePrograms does the same with the files programs/*.py of another package.
func WritePrograms(files fs.FS, dir string) error {
	names, err := fs.Glob(files, "programs/*.py")
	if err != nil {
		return err
	}
	for _, name := range names {
		source, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), source, 0o644); err != nil {
			return fmt.Errorf("write a test program: %w", err)
		}
	}
	return nil
}

// Entry is a line of a program's log: an event of the program's life, or one block. Times are
// CLOCK_MONOTONIC nanoseconds; "done" has some, too.
type Entry struct {
	Event   string `json:"event,omitempty"`   // "ready", "absent" (the loop is not installed), "done"; empty for a block
	Missing string `json:"missing,omitempty"` // with "absent": what

	TID      int           `json:"tid,omitempty"` // as the program sees it
	StartNS  int64         `json:"start_ns,omitempty"`
	EndNS    int64         `json:"end_ns,omitempty"`
	WantedNS int64         `json:"wanted_ns,omitempty"` // the length the schedule asked for
	Kind     string        `json:"kind,omitempty"`
	Function string        `json:"function,omitempty"`
	File     string        `json:"file,omitempty"`
	Lines    []int         `json:"lines,omitempty"`  // any of them is right
	Causes   []model.Cause `json:"causes,omitempty"` // the best one first
	Shape    model.Shape   `json:"shape,omitempty"`  // empty: single
	Task     string        `json:"task,omitempty"`   // the name of the task that ran, empty for none

	// What Causing knows beside: the evidence a report has to name. Target, Native and Advice are
	// regular expressions; the report need not name what is empty.
	Target   string  `json:"target,omitempty"`
	Holder   *Holder `json:"holder,omitempty"`
	Native   string  `json:"native,omitempty"`
	Advice   string  `json:"advice,omitempty"`
	Nobody   bool    `json:"nobody,omitempty"`   // no line of the loop is to blame
	Innocent bool    `json:"innocent,omitempty"` // the line is where it happened and not why: naming it is allowed
	GCNS     int64   `json:"gc_ns,omitempty"`    // how long the collector ran, by gc.callbacks
	ImportNS int64   `json:"import_ns,omitempty"`

	// PreparedNS is when the iteration before the block, which made ready what the block
	// needs, began and ended. RunDelayNS is for how long the thread has been waiting for a CPU
	// from the time the entry before was written until this one was, by the kernel's account.
	PreparedNS [2]int64 `json:"prepared_ns,omitzero"`
	RunDelayNS int64    `json:"run_delay_ns,omitempty"`
	WrittenNS  int64    `json:"written_ns,omitempty"`

	// What Together knows beside: which blocks are of one active period, and what the case is called.
	Group int    `json:"group,omitempty"`
	Case  string `json:"case,omitempty"`

	// What Spinning knows: for how long the loop has spun, and for how much of the time that it ran or waited for a CPU,
	// by the kernel's account, this and starting up account.
	SpunNS  int64 `json:"spun_ns,omitempty"`
	AwakeNS int64 `json:"awake_ns,omitempty"`
}

// Holder is the thread that held what a loop waited for.
type Holder struct {
	TID       int      `json:"tid"`
	Thread    string   `json:"thread"`
	Functions []string `json:"functions,omitempty"` // it stood in one of them when it let go; none: it had no Python stack then
}

// Parse reads one line of a program's log.
func Parse(line []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return e, fmt.Errorf("read log line %q: %w", line, err)
	}
	return e, nil
}

// Probe is a line of the log of Probed: collections or imports in one callback.
type Probe struct {
	Kind        string  // "gc", "import", "done"
	StartNS     int64   `json:"start_ns"`
	EndNS       int64   `json:"end_ns"`
	RunDelayNS  int64   `json:"run_delay_ns"`
	ImportsNS   []int64 `json:"imports_ns"`
	PausesNS    []int64 `json:"pauses_ns"` // of all collections, as gc.callbacks saw them
	Generations []int
	Collected   int64
}

// Delayed is a line of the log of Delaying: one block, and what became ready meanwhile.
type Delayed struct {
	Event   string // "done": there is nothing else
	Kind    string
	StartNS int64     `json:"start_ns"`
	EndNS   int64     `json:"end_ns"`
	Events  int64     // descriptors that became ready
	FirstNS *[2]int64 `json:"first_ns"` // just before the first did and just after, nil: none did
}

// Waiters is a line of the log of Waiting: one block, and whose events waited for it to end.
type Waiters struct {
	Event   string // "done": there is nothing else
	Kind    string
	StartNS int64            `json:"start_ns"`
	EndNS   int64            `json:"end_ns"`
	By      map[string]int64 // nil: it cannot be said
}

// DurationNS is how long the block took.
func (e *Entry) DurationNS() int64 { return e.EndNS - e.StartNS }

// Names reports whether f is where the block happened.
func (e *Entry) Names(f *model.Frame) bool {
	return f != nil && f.Function == e.Function && f.File == e.File && slices.Contains(e.Lines, f.Line)
}
