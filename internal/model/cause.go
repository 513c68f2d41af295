// SPDX-License-Identifier: Apache-2.0

package model

// Cause says why a block took its time, by the name it has in JSON. It is one of Causes, but a report of another
// version may bring a name that is not listed here: all methods then answer as for CauseUnknown.
type Cause string

// A new cause needs a row in the table below, too.
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

// CauseKind says what the loop's thread did in general.
type CauseKind int

const (
	KindRunning   CauseKind = iota // it ran
	KindWaiting                    // it slept in a call that works on something outside the process, or on nothing
	KindContended                  // it waited for another thread
	KindHeldBack                   // the host did not let it run
	KindUnknown
)

// causeRow is all that is known of a cause, wherever it is shown.
type causeRow struct {
	cause Cause
	kind  CauseKind
	words string // what the loop's thread was doing, after "was"
	color string // by kind: what ran is warm, what waited is cool, what was contended is red, what the host did is grey
	// nobody says that no line of the loop is to blame, whatever stood on its stack.
	nobody bool
	// pseudo is the frame that time of this cause has where no line took it.
	pseudo string
}

// causes is the closed list, in the order in which legends show it. Unknown stands last.
var causes = [...]causeRow{
	{cause: CauseCPU, kind: KindRunning, color: "#d4601f", words: "running Python"},
	{cause: CauseNative, kind: KindRunning, color: "#c08a00", words: "running native code of an extension or library"},
	{cause: CauseSleep, kind: KindWaiting, color: "#7a5cc9", words: "sleeping"},
	{cause: CauseNet, kind: KindWaiting, color: "#2472c8", words: "waiting on a socket"},
	{cause: CauseDNS, kind: KindWaiting, color: "#148fa8", words: "resolving a name"},
	{cause: CauseFile, kind: KindWaiting, color: "#1d8a68", words: "waiting on a file"},
	{cause: CausePipe, kind: KindWaiting, color: "#4b9440", words: "reading or writing a pipe, FIFO or terminal"},
	{cause: CauseSubprocess, kind: KindWaiting, color: "#a24fa0", words: "starting or waiting for a child"},
	{cause: CauseLock, kind: KindContended, color: "#d0426f", words: "waiting for a lock that is not the GIL"},
	{cause: CauseGIL, kind: KindContended, color: "#b8281f", words: "waiting for the GIL", nobody: true, pseudo: "[waiting for the GIL]"},
	{cause: CauseGC, kind: KindRunning, color: "#84861c", words: "in the cyclic garbage collector", pseudo: "[garbage collector]"},
	{cause: CauseImport, kind: KindRunning, color: "#a0703c", words: "importing"},
	{cause: CauseRunqueue, kind: KindHeldBack, color: "#7c7e86", words: "runnable, but without a CPU", nobody: true, pseudo: "[waiting for a CPU]"},
	{cause: CauseThrottled, kind: KindHeldBack, color: "#56657c", words: "held back by its cgroup's CPU quota", nobody: true, pseudo: "[held back by the CPU quota]"},
	{cause: CauseStopped, kind: KindHeldBack, color: "#94897a", words: "stopped by a signal or a tracer", nobody: true, pseudo: "[stopped]"},
	{cause: CauseUnknown, kind: KindUnknown, color: "#a5a29b", words: "doing something that could not be shown"},
}

// Causes returns the closed list of causes, in the order in which legends show it.
func Causes() []Cause {
	list := make([]Cause, len(causes))
	for i := range causes {
		list[i] = causes[i].cause
	}
	return list
}

// row returns the row of c, or that of CauseUnknown where c is not listed.
func (c Cause) row() *causeRow {
	for i := range causes {
		if causes[i].cause == c {
			return &causes[i]
		}
	}
	return &causes[len(causes)-1]
}

// Listed reports whether c is one of Causes.
func (c Cause) Listed() bool { return c.row().cause == c }

// Kind returns what the loop's thread did in general.
func (c Cause) Kind() CauseKind { return c.row().kind }

// Words returns what the loop's thread was doing, such as "waiting on a socket": it completes "the thread was …".
func (c Cause) Words() string { return c.row().words }

// BlamesLine reports whether a line of code is to blame for a block of this cause. Where none is, the block has no
// culprit.
func (c Cause) BlamesLine() bool { return !c.row().nobody }

// PseudoFrame returns a name in brackets, such as "[waiting for a CPU]", that stands in for the frame of time that no
// line took. It is empty where time of this cause belongs to lines.
func (c Cause) PseudoFrame() string { return c.row().pseudo }

// Color returns the colour of the cause on a light background, as "#rrggbb".
func (c Cause) Color() string { return c.row().color }
