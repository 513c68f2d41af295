// SPDX-License-Identifier: Apache-2.0

package priority

import (
	"context"
	"time"
)

// The budget of CPU time that may be taken with a higher priority. To watch takes a hundredth of a CPU
// or a few; storms of blocks, a fifth. So a quarter of one CPU is never needed for long, and leaves
// three quarters of the smallest host to others. The start does a bounded amount of work that somebody
// waits for, some 1.5 s for a thousand processes.
const (
	share    = 0.25
	credit   = 500 * time.Millisecond // saved up at most: two seconds of the share
	starting = 3 * time.Second        // of CPU time for the start
	started  = 10 * time.Second       // when what is left of that is forfeited
	enough   = credit / 2             // to be preferred again: at least a second below the share
	every    = 100 * time.Millisecond
	settling = 10 // ticks after which threads that came since are looked for
)

// budget decides when too much is taken. The zero value has not begun.
type budget struct {
	begun, at time.Time
	used      time.Duration // CPU time up to at
	left      time.Duration
	low       bool
}

// spend takes the CPU time used so far and reports whether the process is to do without priority.
func (b *budget) spend(now time.Time, used time.Duration) (low bool) {
	if b.begun.IsZero() {
		// What was used up to now was used for the start.
		b.begun, b.at, b.left = now, now, starting
	}
	earned := time.Duration(share * float64(now.Sub(b.at)))
	b.left = min(b.left+earned, max(b.left, credit)) - (used - b.used)
	if now.Sub(b.begun) > started {
		b.left = min(b.left, credit)
	}
	b.left = max(b.left, -credit) // or one excess would be paid for without end
	b.at, b.used = now, used
	if b.left < 0 {
		b.low = true
	} else if b.left >= enough {
		b.low = false
	}
	return b.low
}

// watchdog has the budget kept.
type watchdog struct {
	used func() time.Duration                // CPU time up to now
	set  func(low bool, since time.Duration) // since the last call
}

// run looks every now and then until ctx is done.
func (w *watchdog) run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	since := time.Now()
	var b budget
	low := b.spend(since, w.used())
	set := func() {
		now := time.Now()
		w.set(low, now.Sub(since))
		since = now
	}
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			set() // or the time since would not be counted
			return
		case now := <-tick.C:
			if was := low; b.spend(now, w.used()) != was || n%settling == 0 {
				low = b.low
				set()
			}
		}
	}
}
