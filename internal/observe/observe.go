// SPDX-License-Identifier: Apache-2.0

// Package observe runs one observation: it opens the probes, feeds their events through
// track and hands back the finished report. Commands call it; it prints nothing.
package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/loopwatch/loopwatch/internal/advice"
	"github.com/loopwatch/loopwatch/internal/application"
	"github.com/loopwatch/loopwatch/internal/attachment"
	"github.com/loopwatch/loopwatch/internal/clock"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/host"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/recording"
	"github.com/loopwatch/loopwatch/internal/summary"
	"github.com/loopwatch/loopwatch/internal/track"
)

// Options say what to observe and for how long. The zero value of a field means its default.
type Options struct {
	PIDs      []int                // only these processes; empty means every Python process, now and later
	Children  bool                 // with PIDs: their descendants too
	Threshold time.Duration        // an active period of at least this is a block; default 100ms
	Duration  time.Duration        // length of the window; 0 means until ctx is done
	Rate      int                  // stack samples a second and CPU; 0 chooses by threshold
	Attach    string               // "auto" (default), "fentry" or "tracepoint"
	USDT      []string             // of USDTKinds those to use; nil chooses by what they cost, empty is none
	Patterns  application.Patterns // which code is the application's, where the user says so
	Record    *recording.Writer    // gets what the blocks of a report are judged from, nil: nothing

	Log *slog.Logger // what loopwatch itself does; nil: nowhere

	// Starting, if set, is called about once a second before Ready with what is being done. It may be called
	// once more just after Ready.
	Starting func(doing string)
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

const (
	pollEvery     = 250 * time.Millisecond // how often blocks going on are looked at
	progressEvery = time.Second
	askAgainEvery = 10 * time.Second // how often processes that are no Python may be looked at again
	sweepEvery    = 10 * time.Second
	cpusEvery     = time.Second
)

// Run observes until Options.Duration has passed or ctx is done, whichever is first, and
// returns what was seen. Ending early is not an error.
func Run(ctx context.Context, o Options) (*model.Report, error) {
	builder := summary.NewBuilder(summary.Limits{})
	co := track.Options{Emit: dated(clock.Wall, builder.Add)}
	if o.Record != nil {
		co.Record = o.Record.Add
		co.Emit = dated(clock.Wall, func(b model.Block) {
			o.Record.Note(recording.Note{Block: &recording.Block{TID: b.TID, StartNS: b.StartNS, StartedAt: b.StartedAt, Delayed: b.Delayed}})
			builder.Add(b)
		})
	}
	w, err := open(ctx, o, co)
	if err != nil {
		return nil, err
	}
	defer w.close()
	end, err := w.run(ctx)
	if err != nil {
		return nil, err
	}
	if o.Record != nil {
		recordEnd(o.Record, end, w.threads.Met())
	}
	r := builder.Report(summary.Meta{
		StartedAt: w.started, StartedNS: w.startedNS, EndedNS: end.at, ThresholdNS: int64(w.options.Threshold),
		Processes: w.threads.Met(), Host: hostRow(w.probes.Attach()), Lost: end.Lost, Unsupported: end.Unsupported,
	}, end.Loops)
	advice.Fill(r)
	return r, nil
}

// recordEnd records what a report has beside its blocks.
func recordEnd(to *recording.Writer, end ending, processes int) {
	for i := range end.Loops {
		to.Note(recording.Note{Loop: &end.Loops[i]})
	}
	for i := range end.Unsupported {
		to.Note(recording.Note{Unsupported: &end.Unsupported[i]})
	}
	to.Note(recording.Note{End: &recording.End{EndedNS: end.at, Processes: processes, Lost: end.Lost}})
}

// dated has blocks carry the time of their start by the wall clock. The clock may be set anew between two blocks.
func dated(wall func(at int64) time.Time, emit func(model.Block)) func(model.Block) {
	return func(b model.Block) {
		b.StartedAt = wall(b.StartNS).Format(time.RFC3339Nano)
		emit(b)
	}
}

// Sighting is a block as Watch reports it.
type Sighting struct {
	model.Block
	Loop  model.Loop // whose it is: who it is, without its statistics
	Start time.Time  // wall clock
}

// sighted has report called with blocks as Watch reports them.
func sighted(wall func(at int64) time.Time, who func(tid int) model.Loop, report func(Sighting)) func(model.Block) {
	return func(b model.Block) {
		at := wall(b.StartNS)
		b.StartedAt = at.Format(time.RFC3339Nano)
		report(Sighting{b, who(b.TID), at})
	}
}

// Watch is Run for those who cannot wait for a report: report is called with each block as it
// ends, and once before with Ongoing set where it is still going on some time after having passed
// the threshold. It must return at once. What was lost is returned in the end.
func Watch(ctx context.Context, o Options, report func(Sighting)) (model.Lost, error) {
	var w *window
	emit := sighted(clock.Wall, func(tid int) model.Loop { return w.threads.Identify(tid) }, report)
	w, err := open(ctx, o, track.Options{Emit: emit, Ongoing: emit, DropEnded: true})
	if err != nil {
		return model.Lost{}, err
	}
	defer w.close()
	end, err := w.run(ctx)
	return end.Lost, err
}

// window is an observation under way.
type window struct {
	options   Options
	probes    *probes.Probes
	reader    *probes.Reader
	threads   *track.Tracker
	started   time.Time
	startedNS int64 // the same moment by the kernel's clock
	chores    []chore
	missed    bool // that those asked for have ended was said
	start     *start
}

// open loads the probes and finds the Python processes that are there. The probes are the caller's
// to close.
func open(ctx context.Context, o Options, co track.Options) (_ *window, err error) {
	start := newStart(o.Starting)
	defer func() {
		if err != nil {
			start.end()
		}
	}()
	if o.Threshold <= 0 {
		o.Threshold = 100 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	everybody, err := process.Scan()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	start.at("loading programs into the kernel", 0, 0)
	u := usdt(o.USDT)
	p, err := probes.Open(probes.Options{
		USDT: len(u.Kinds) > 0, Threshold: o.Threshold, Rate: o.Rate, Attach: o.Attach, Filter: len(o.PIDs) > 0, FollowChildren: o.Children,
		Loops: len(everybody),
	})
	if err != nil {
		return nil, err
	}
	o.Log.Info("programs loaded and attached", "attach", p.Attach(), "fallback", p.Fallback(), "processes", len(everybody))
	co.Log = o.Log
	co.Looking = func(done, of int) { start.at("looking at processes", done, of) }
	co.Threshold, co.PIDs, co.Children, co.Self, co.USDT, co.Patterns = o.Threshold, o.PIDs, o.Children, os.Getpid(), u, o.Patterns
	w := &window{options: o, probes: p, reader: p.Reader(), threads: track.New(p, co), start: start}
	if err := w.threads.Discover(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// close ends all that goes on for the observation.
func (w *window) close() error {
	w.threads.Close()
	return w.probes.Close()
}

// ending is what an observation leaves.
type ending struct {
	track.Result
	at int64 // CLOCK_MONOTONIC, ns
}

// run observes from now until the time is up.
func (w *window) run(ctx context.Context) (ending, error) {
	w.startedNS = clock.Monotonic()
	w.started = time.Now()
	if w.options.Record != nil {
		w.options.Record.Begin(recording.Header{
			Host: hostRow(w.probes.Attach()), ThresholdNS: int64(w.options.Threshold), StartedAt: w.started, StartedNS: w.startedNS,
		})
	}
	defer w.start.end()
	// What is outside its wait now may go on in a moment: its stack is read before all else.
	for _, pass := range []probes.SeedPass{probes.SeedActive, probes.SeedRest} {
		if err := w.probes.Seed(pass); err != nil {
			return ending{}, err
		}
		w.start.at("looking for event loops in their threads", 0, 0)
		w.drain(ctx)
	}
	w.start.end()
	interrupted := ctx.Err() != nil // before it began: there is nothing to wait for
	if w.options.Ready != nil && !interrupted {
		w.options.Ready(w.status())
	}
	if err := w.observe(ctx); err != nil {
		return ending{}, err
	}
	at := clock.Monotonic()
	if err := w.threads.NoteOpen(); err != nil {
		return ending{}, err
	}
	if !interrupted {
		w.drain(context.WithoutCancel(ctx))
	}
	result, err := w.threads.Finish(at)
	return ending{result, at}, err
}

func (w *window) status() Status {
	return Status{
		Elapsed: time.Since(w.started), Processes: w.threads.Processes(), Loops: w.threads.Loops(),
		Blocks: w.threads.Blocks(), Attach: w.probes.Attach(),
	}
}

// observe handles events until the time is up.
func (w *window) observe(ctx context.Context) error {
	if w.options.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.options.Duration)
		defer cancel()
	}
	end, _ := ctx.Deadline()
	chores := append(w.usualChores(), w.chores...)
	begin := time.Now() // of all: what is due together is done together
	for i := range chores {
		chores[i].next = begin.Add(chores[i].every)
	}
	for ctx.Err() == nil {
		deadline := slices.MinFunc(chores, func(x, y chore) int { return x.next.Compare(y.next) }).next
		for _, t := range []time.Time{end, w.threads.ReportDue(time.Now()), w.threads.TakeLooks(time.Now())} {
			if !t.IsZero() && t.Before(deadline) {
				deadline = t
			}
		}
		if err := w.read(deadline); err != nil && !errors.Is(err, probes.ErrDeadline) {
			return err
		}
		now := time.Now()
		for i := range chores {
			c := &chores[i]
			if now.Before(c.next) {
				continue
			}
			if err := c.do(); err != nil {
				return err
			}
			c.next = now.Add(c.every)
		}
	}
	return nil
}

// drain handles the events that are there now, until ctx is done. Others may come all the while.
func (w *window) drain(ctx context.Context) {
	for end := w.reader.End(); w.reader.Position() < end && ctx.Err() == nil; {
		if w.read(time.Unix(0, 1)) != nil {
			return
		}
	}
}

// read handles one event, waiting for it until the deadline.
func (w *window) read(deadline time.Time) error {
	event, err := w.reader.Read(deadline)
	var ring *probes.RingError
	switch {
	case err == nil:
		w.threads.Handle(event)
	case !errors.Is(err, probes.ErrDeadline) && !errors.Is(err, probes.ErrClosed) && !errors.As(err, &ring):
		w.threads.Undecodable()
		return nil
	}
	return err
}

func hostRow(attach string) model.Host {
	h := model.Host{Arch: runtime.GOARCH, Kernel: host.KernelRelease(), Attach: attach}
	h.Hostname, _ = os.Hostname()
	return h
}

// USDTKinds lists the kinds of interpreters' own probes that can be used.
func USDTKinds() (out []string) {
	for _, kind := range probes.USDTKinds {
		out = append(out, string(kind))
	}
	return out
}

// maxProbeRate bounds the hits a second on one CPU by probes that nobody asked for. At the
// microsecond that one costs (docs/costs.md) it is 1 % of the CPU.
const maxProbeRate = 10_000

// usdt turns what was asked for into kinds. Audit events are too frequent to be a default.
func usdt(asked []string) attachment.Options {
	if asked == nil {
		return attachment.Options{Kinds: []probes.USDTKind{probes.USDTGC, probes.USDTImport}, MaxRate: maxProbeRate}
	}
	var u attachment.Options
	for _, kind := range asked {
		u.Kinds = append(u.Kinds, probes.USDTKind(kind))
	}
	return u
}
