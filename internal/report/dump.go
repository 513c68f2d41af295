// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"
)

// SchemaDump is the schema of a Dump in JSON.
const SchemaDump = "loopwatch.dump/v1"

// State is what a thread does at one moment.
type State string

const (
	StateIdle     State = "idle"    // of a loop: in its own wait
	StateActive   State = "active"  // of a loop: outside of it
	StateBlocked  State = "blocked" // of a loop: outside of it for at least the threshold
	StateRunning  State = "running" // of another thread: on a CPU, or ready for one
	StateSleeping State = "sleeping"
	StateStopped  State = "stopped" // by a signal, a tracer or a freezer
)

// Dump is what the event loops of a host do at one moment.
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
	GIL       []DumpGIL    `json:"gil"` // held at that moment: one for each interpreter with a GIL of its own
	Loops     []DumpLoop   `json:"loops"`
	Threads   []DumpThread `json:"threads"` // the other Python threads
}

// DumpGIL says which thread holds a GIL.
type DumpGIL struct {
	TID    int    `json:"tid,omitempty"` // absent where it could not be told
	Thread string `json:"thread,omitempty"`
}

// DumpThread is one Python thread.
type DumpThread struct {
	TID    int    `json:"tid"`
	Thread string `json:"thread"` // the name the kernel knows it by
	State  State  `json:"state"`
	// ForNS is how long it has been in its state. AtLeast says that this is a lower bound. Absent where
	// nothing is known of it.
	ForNS   *int64  `json:"for_ns,omitempty"`
	AtLeast bool    `json:"at_least,omitempty"`
	Cause   Cause   `json:"cause,omitempty"` // absent of an idle loop
	Culprit *Frame  `json:"culprit"`
	Leaf    *Frame  `json:"leaf"`
	Detail  Detail  `json:"detail"`
	Frames  []Frame `json:"frames"`         // innermost first
	Torn    bool    `json:"torn,omitempty"` // the stack changed each time it was read
}

// DumpLoop is an event loop.
type DumpLoop struct {
	DumpThread
	Loop string `json:"loop"` // its kind
	Task string `json:"task,omitempty"`
	// Tasks are asyncio's, in no order that counts. Absent where they could not be read, or the loop
	// has none of that kind.
	Tasks []DumpTask `json:"tasks,omitempty"`
	// TasksTorn says that they changed each time they were read.
	TasksTorn bool `json:"tasks_torn,omitempty"`
	// MoreTasks counts those that were left out.
	MoreTasks int64 `json:"more_tasks,omitempty"`
}

// DumpTask is an asyncio task that has not ended.
type DumpTask struct {
	ID      string `json:"id"` // its address: unique while it lives
	Name    string `json:"name"`
	Running bool   `json:"running,omitempty"`
	// Frames are its coroutine and those it awaits, innermost first: what it stands in.
	Frames []Frame `json:"frames"`
	// Awaits are the ids of the tasks it waits for.
	Awaits []string `json:"awaits,omitempty"`
}

// normalise gives a dump the form the machine format promises: no null lists, every foreign string
// bounded and UTF-8.
func (d *Dump) normalise() {
	d.Schema = SchemaDump
	if d.Processes == nil {
		d.Processes = []DumpProcess{}
	}
	if d.Lost == nil {
		d.Lost = map[string]int64{}
	}
	if d.Unsupported == nil {
		d.Unsupported = []Unsupported{}
	}
	for i := range d.Unsupported {
		u := &d.Unsupported[i]
		u.Command, u.Reason = bound(u.Command), bound(u.Reason)
	}
	for i := range d.Processes {
		p := &d.Processes[i]
		p.Command, p.Container, p.Unit = bound(p.Command), bound(p.Container), bound(p.Unit)
		if p.GIL == nil {
			p.GIL = []DumpGIL{}
		}
		for k := range p.GIL {
			p.GIL[k].Thread = bound(p.GIL[k].Thread)
		}
		if p.Loops == nil {
			p.Loops = []DumpLoop{}
		}
		if p.Threads == nil {
			p.Threads = []DumpThread{}
		}
		for k := range p.Loops {
			l := &p.Loops[k]
			l.normalise()
			l.Task = bound(l.Task)
			for n := range l.Tasks {
				t := &l.Tasks[n]
				t.Name, t.Frames = bound(t.Name), boundFrames(t.Frames)
			}
		}
		for k := range p.Threads {
			p.Threads[k].normalise()
		}
	}
}

func (t *DumpThread) normalise() {
	t.Thread = bound(t.Thread)
	t.Frames = boundFrames(t.Frames)
	t.Culprit, t.Leaf = boundFrame(t.Culprit), boundFrame(t.Leaf)
	t.Detail.Target, t.Detail.Native = bound(t.Detail.Target), bound(t.Detail.Native)
	if h := t.Detail.Holder; h != nil {
		held := *h
		held.Thread, held.Frames = bound(h.Thread), boundFrames(h.Frames)
		t.Detail.Holder = &held
	}
}

// WriteDumpJSON writes d as one indented JSON document (schema loopwatch.dump/v1).
func WriteDumpJSON(w io.Writer, d *Dump) error {
	d.normalise()
	var b bytes.Buffer
	if err := encode(&b, d, ""); err != nil {
		return fmt.Errorf("encode dump: %w", err)
	}
	return writeAll(w, b.Bytes(), []byte("\n"))
}
