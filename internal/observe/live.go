// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"time"

	"github.com/loopwatch/loopwatch/internal/clock"
	"github.com/loopwatch/loopwatch/internal/live"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/track"
)

// LiveOptions say how to follow an observation while it goes on.
type LiveOptions struct {
	Every time.Duration // between views; default 1 s
	// Thresholds takes what is to count as a block from now on. Blocks are counted anew then.
	Thresholds <-chan time.Duration
	// Show is called with each view, the first at once. It must return at once.
	Show func(*live.View)
}

// Live is Run for those who look on. No block is lost between two views. It returns what was
// lost in the end.
func Live(ctx context.Context, o Options, l LiveOptions) (model.Lost, error) {
	if l.Every <= 0 {
		l.Every = time.Second
	}
	tracker := live.New()
	var w *window
	w, err := open(ctx, o, track.Options{
		Emit:      func(b model.Block) { tracker.Block(b, w.threads.Identify(b.TID)) },
		DropEnded: true,
	})
	if err != nil {
		return model.Lost{}, err
	}
	defer w.close()
	f := &follower{ctx: ctx, window: w, options: l, tracker: tracker}
	w.chores = []chore{{every: pollEvery, do: f.rethink}, {every: l.Every, do: f.look}}
	ready := w.options.Ready
	w.options.Ready = func(s Status) {
		if ready != nil {
			ready(s)
		}
		f.counting = f.started
		f.err = f.look()
	}
	end, err := w.run(ctx)
	return end.Lost, err
}

// follower makes the views of one window.
type follower struct {
	*window
	ctx      context.Context // of the observation
	options  LiveOptions
	tracker  *live.Tracker
	counting time.Time // blocks are counted since
	err      error     // of the first look
}

func (f *follower) look() error {
	if f.err != nil {
		return f.err
	}
	f.drain(f.ctx) // blocks that have ended are reported before their loops are looked at
	now := clock.Monotonic()
	present, err := f.threads.Present(now)
	if err != nil {
		return err
	}
	lost, err := f.threads.Losses()
	if err != nil {
		return err
	}
	s := f.tracker.Update(now, present)
	for reason, n := range s.Lost.Reasons {
		lost.Reasons[reason] += n
	}
	s.At, s.Started, s.Every, s.Threshold, s.Counting = time.Now(), f.started, f.options.Every, f.window.options.Threshold, f.counting
	s.Processes, s.Attach, s.Lost, s.Unsupported = f.threads.Processes(), f.probes.Attach(), lost, f.threads.Unsupported()
	f.options.Show(s)
	return nil
}

// rethink takes the newest of the thresholds asked for.
func (f *follower) rethink() error {
	var to time.Duration
	for {
		select {
		case to = <-f.options.Thresholds:
			continue
		default:
		}
		break
	}
	if to <= 0 || to == f.window.options.Threshold {
		return nil
	}
	// The old blocks first: they are complete up to here.
	f.drain(f.ctx)
	if err := f.probes.SetThreshold(to); err != nil {
		return err
	}
	f.threads.SetThreshold(to)
	f.window.options.Threshold = to
	f.tracker.Recount()
	f.counting = time.Now()
	return f.look()
}
