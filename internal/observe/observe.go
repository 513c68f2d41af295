// Package observe runs one observation: it opens the probes, feeds their events through the
// correlator and hands back the finished report. Commands call it; it prints nothing.
package observe

import (
	"context"
	"errors"
	"time"

	"github.com/loopwatch/loopwatch/internal/report"
)

// Options say what to observe and for how long. The zero value of a field means its default.
type Options struct {
	PIDs      []int         // only these processes; empty means every Python process, now and later
	Children  bool          // with PIDs: their descendants too
	Threshold time.Duration // an active period of at least this is a block; default 100ms
	Duration  time.Duration // length of the window; 0 means until ctx is done
	Rate      int           // stack samples a second and CPU; 0 chooses by threshold
	Attach    string        // "auto" (default), "fentry" or "tracepoint"

	// Ready, if set, is called once when every loop already there is being watched.
	Ready func(Status)
	// Progress, if set, is called about once a second while observing.
	Progress func(Status)
	// Warn, if set, receives one-line warnings.
	Warn func(string)
}

// Status is a running total for a progress line.
type Status struct {
	Elapsed   time.Duration
	Processes int // Python processes watched
	Loops     int
	Blocks    int64
	Attach    string
}

// Run observes until Options.Duration has passed or ctx is done, whichever is first, and
// returns what was seen. Ending early is not an error.
func Run(ctx context.Context, o Options) (*report.Report, error) {
	return nil, errors.New("not built yet")
}
