// SPDX-License-Identifier: Apache-2.0

package live

import (
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Window is the time a figure is about. All windows end at the moment of the view.
type Window int

const (
	LastInterval Window = iota // since the view before
	TenSeconds
	Minute
	Whole // since the loop was first seen; of blocks, since View.Counting
	Windows
)

// lengths of the windows that have one.
var lengths = [Windows]time.Duration{TenSeconds: 10 * time.Second, Minute: time.Minute}

// View is every loop at one moment. It shares nothing that changes later.
type View struct {
	At          time.Time
	Started     time.Time     // the observation
	Every       time.Duration // between views
	Threshold   time.Duration // of a block
	Counting    time.Time     // blocks are counted since: the start, or a change of the threshold
	Processes   int           // Python processes watched
	Attach      string        // how the waits are hooked
	Loops       []Loop        // in no order
	Lost        model.Lost
	Unsupported []model.Unsupported
}

// State is what a loop does.
type State int

const (
	Idle    State = iota // it waits for events
	Active               // it runs callbacks, not for long enough to be called blocked
	Blocked              // in a block
	Ended                // its thread has ended
)

// Loop is one loop in a view.
type Loop struct {
	model.Loop // who it is; its statistics are empty
	State      State
	For        time.Duration // so long already; of an ended loop, how long ago
	Block      *model.Block  // that is going on, nil if none is
	Figures    [Windows]Figures
	// Who blocked it since View.Counting, largest total first. A block going on is not in it.
	Blockers []model.Blocker
	// Blocks that were left out of Blockers, because there are too many different ones.
	Ungrouped int64
}

// ID names the loop.
func (l *Loop) ID() model.LoopID { return model.LoopID{PID: l.PID, TID: l.TID} }

// Figures are a loop's statistics in a window. What goes on at its end counts with what of it has
// passed, but not as an iteration.
type Figures struct {
	Observed      time.Duration // how much of the window the loop was seen
	Iterations    int64
	Active        time.Duration
	Late          time.Duration  // in its wait, woken or to be woken, and not let run
	P50, P99, Max time.Duration  // of the active periods that ended in it; Max also of the one going on
	Lag           time.Duration  // 99 % of the events were ready no longer before a wait returned them; 0 where it is not known
	Blocks        int64          // that ended in it, and one going on
	Blocked       time.Duration  // in blocks
	Counted       time.Duration  // how much of Observed blocks were counted in, see View.Counting
	Worst         *model.Blocker // with its count and total in the window; nil where there was no block
	Histogram     []Bin
}

// Rate returns iterations a second.
func (f *Figures) Rate() float64 {
	if f.Observed <= 0 {
		return 0
	}
	return float64(f.Iterations) / f.Observed.Seconds()
}

// Utilization returns the share of time the loop was active, 0 to 1.
func (f *Figures) Utilization() float64 { return share(f.Active, f.Observed) }

// BlockedShare returns the share of time the loop was blocked, as far as blocks were counted, 0 to 1.
func (f *Figures) BlockedShare() float64 { return share(f.Blocked, f.Counted) }

func share(part, whole time.Duration) float64 {
	if whole <= 0 {
		return 0
	}
	return min(max(float64(part)/float64(whole), 0), 1)
}

// Bin counts the active periods of at least From and less than the From of the next bin. The bounds
// are 1, 2 and 5 times powers of ten, kept within 3.1 %.
type Bin struct {
	From  time.Duration
	Count int64
}
