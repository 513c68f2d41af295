// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/loopwatch/loopwatch/internal/clock"
	"github.com/loopwatch/loopwatch/internal/process"
)

// chore is something to do now and then while observing.
type chore struct {
	every time.Duration
	do    func() error
	next  time.Time
}

func (w *window) usualChores() []chore {
	chores := []chore{
		{every: pollEvery, do: func() error { return w.threads.Poll(clock.Monotonic()) }},
		{every: askAgainEvery, do: w.probes.AskAgain},
		{every: sweepEvery, do: w.sweep},
		{every: cpusEvery, do: w.followCPUs},
	}
	if len(w.options.PIDs) > 0 && w.options.Warn != nil {
		chores = append(chores, chore{every: progressEvery, do: w.missThoseAskedFor})
	}
	if w.options.Progress != nil {
		chores = append(chores, chore{every: progressEvery, do: func() error { w.options.Progress(w.status()); return nil }})
	}
	return chores
}

// sweep forgets what has ended. The events that are on their way come first: they may tell how it ended.
func (w *window) sweep() error {
	ended := w.threads.FindEnded()
	w.drain(context.Background())
	w.threads.Forget(ended)
	return w.logKept()
}

// logKept logs how much there is of all that is kept, and what was lost so far: what only grows in a long observation is seen there.
func (w *window) logKept() error {
	ctx := context.Background()
	if !w.options.Log.Enabled(ctx, slog.LevelDebug) {
		return nil
	}
	lost, err := w.threads.Losses()
	if err != nil {
		return err
	}
	attrs := []slog.Attr{slog.Int("goroutines", runtime.NumGoroutine()), slog.Int64("lost_events", lost.Events), slog.Int64("lost_stacks", lost.Stacks)}
	for _, counts := range []map[string]int64{w.threads.Kept(), lost.Reasons} {
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			if counts[name] != 0 {
				attrs = append(attrs, slog.Int64(name, counts[name]))
			}
		}
	}
	w.options.Log.LogAttrs(ctx, slog.LevelDebug, "what is kept", attrs...)
	return nil
}

// followCPUs has the clocks follow the CPUs that are online. What fails is tried again, and is counted.
func (w *window) followCPUs() error {
	if err := w.probes.FollowCPUs(); err != nil {
		w.options.Log.Warn("a CPU has no clock", "error", err)
	}
	return nil
}

// missThoseAskedFor says, once, that all the processes to be watched have ended: silence would look
// like loops that are not blocked.
func (w *window) missThoseAskedFor() error {
	if w.missed || w.threads.Processes() > 0 || slices.ContainsFunc(w.options.PIDs, process.Runs) {
		return nil
	}
	w.missed = true
	pids := w.options.PIDs
	what := fmt.Sprintf("process %d has ended", pids[0])
	if len(pids) > 1 {
		what = fmt.Sprintf("process %d and %d more have ended", pids[0], len(pids)-1)
	}
	w.options.Warn(what + ": nothing is left to watch")
	return nil
}
