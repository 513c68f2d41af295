// SPDX-License-Identifier: Apache-2.0

// Package waits samples what the tasks of asyncio wait for, and adds up where they spend that time. In go process ids, or none for all;
// out comes a model.WaitProfile. Memory is read from outside, no process is stopped, and samples are
// left out where this process would need more than a hundredth of a CPU.
package waits

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/loopwatch/loopwatch/internal/application"
	"github.com/loopwatch/loopwatch/internal/clock"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes/host"
	"github.com/loopwatch/loopwatch/internal/probes/listing"
	"github.com/loopwatch/loopwatch/internal/python"
)

// DefaultRate is how many samples are taken a second unless told otherwise, MaxRate how many at most.
const (
	DefaultRate = 10
	MaxRate     = 1000
)

// Options say what to observe. The zero value of a field means its default.
type Options struct {
	PIDs     []int         // only these processes; empty means every Python process, now and later
	Children bool          // with PIDs: their descendants too
	Duration time.Duration // default 10 s
	Rate     int           // samples a second; default DefaultRate
	Patterns application.Patterns
	Progress func(Status) // called about once a second, may be nil
}

// Status is how an observation goes.
type Status struct {
	Elapsed                 time.Duration
	Processes, Loops, Tasks int
}

// Reasons under which model.WaitProfile.Lost counts what could not be read.
const (
	reasonSkipped   = "samples_skipped"
	reasonFailed    = "samples_unreadable"
	reasonStarting  = "processes_starting_or_ending"
	reasonOver      = "processes_over_limit"
	reasonTasks     = "asyncio_tasks_unreadable" // interpreters
	reasonPython    = "asyncio_tasks_not_of_c"
	reasonMoreTasks = "asyncio_tasks_over_limit"
	reasonBudget    = "asyncio_tasks_over_budget"
	reasonStray     = "asyncio_tasks_of_other_loops"
	reasonThreads   = "loops_without_thread_id"
	reasonRows      = "waits_over_limit"
	reasonChains    = "await_chains_cut"
)

// lookEvery is how often processes are looked for, and of those known which threads run loops.
const (
	scanEvery = 2 * time.Second
	lookEvery = time.Second
)

// Profile observes until the time is over, ctx is done, or the processes asked for have ended. refused are those of them that
// cannot be watched; where that is all of them, the first is the error.
func Profile(ctx context.Context, o Options) (p *model.WaitProfile, refused []*python.PIDError, err error) {
	o.Duration = cmp.Or(o.Duration, 10*time.Second)
	o.Rate = cmp.Or(o.Rate, DefaultRate)
	threads, err := listing.Open()
	if err != nil {
		return nil, nil, err
	}
	defer threads.Close()
	w := &watch{
		Options: o, opener: python.NewOpener(o.Patterns), listing: threads, procs: make(map[int]*proc),
		passed: make(map[int]passed), rows: newRows(), lost: make(losses), unsupported: make(map[int]model.Unsupported),
	}
	if refused, err = w.begin(ctx); err != nil {
		return nil, nil, err
	}
	started := time.Now()
	began := clock.Monotonic()
	w.observe(ctx)
	if w.rows.from == 0 { // nothing was sampled
		w.rows.from, w.rows.to = began, clock.Monotonic()
	}
	return w.profile(started.Add(time.Duration(w.rows.from - began))), refused, nil
}

// losses counts what could not be read, by reason.
type losses map[string]int64

func (l losses) add(reason string, n int64) {
	if n > 0 {
		l[reason] += n
	}
}

// watch is one observation under way.
type watch struct {
	Options
	opener  *python.Opener
	listing *listing.Listing
	procs   map[int]*proc
	passed  map[int]passed
	met     int // processes so far

	rows        *rows
	lost        losses
	unsupported map[int]model.Unsupported
	ended       []model.WaitLoop // of processes that have ended
	samples     int64
}

// observe takes samples until the time is over.
func (w *watch) observe(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, w.Duration)
	defer stop()
	pace := newPace(w.Rate, shareFor(w.Duration, cpuTime()), time.Now(), cpuTime)
	scanned, looked := time.Now(), time.Time{}
	scanFor := scanEvery
	for last := false; ; {
		now := time.Now()
		if now.Sub(scanned) >= scanFor && !last {
			before := cpuTime()
			w.scan(ctx)
			scanned = now
			scanFor = max(scanEvery, time.Duration(float64(cpuTime()-before)/(pace.share/2))) // half of what is allowed
		}
		if now.Sub(looked) >= lookEvery || last {
			w.lookForLoops()
			looked = now
			w.progress(pace.elapsed(now))
		}
		w.sample()
		if last {
			break
		}
		if len(w.PIDs) > 0 && !w.Children && len(w.procs) == 0 {
			break // all have ended
		}
		last = !clock.Sleep(ctx, pace.next(time.Now()))
	}
	w.lost.add(reasonSkipped, pace.skipped())
}

// sample takes a sample of every process.
func (w *watch) sample() {
	w.samples++
	for pid, p := range w.procs {
		if len(p.loops) == 0 {
			continue
		}
		if p.sample(w.rows, w.lost) {
			continue
		}
		if p.hasEnded() {
			w.drop(pid)
		} else {
			w.lost.add(reasonFailed, 1)
		}
	}
	w.rows.endSample()
}

func (w *watch) progress(elapsed time.Duration) {
	if w.Progress == nil {
		return
	}
	s := Status{Elapsed: elapsed, Processes: len(w.procs)}
	for _, p := range w.procs {
		s.Loops += len(p.loops)
		for _, l := range p.loops {
			s.Tasks += l.tasks
		}
	}
	w.Progress(s)
}

// profile puts together what was found.
func (w *watch) profile(started time.Time) *model.WaitProfile {
	out := &model.WaitProfile{
		Schema: model.SchemaWaits, StartedAt: started.Format(time.RFC3339Nano), StartedNS: w.rows.from, EndedNS: w.rows.to,
		Rate: w.Rate, Samples: w.samples, IntervalMaxNS: w.rows.longest, Processes: w.met, Lost: w.lost,
		Host: model.DumpHost{Arch: runtime.GOARCH, Kernel: host.KernelRelease()},
	}
	out.Host.Hostname, _ = os.Hostname()
	for pid, p := range w.procs {
		if p.Silent() {
			w.unsupported[pid] = model.Unsupported{PID: pid, Command: p.Command, Reason: python.SilentReason}
		}
		w.ended = append(w.ended, p.endLoops()...)
	}
	for reason, n := range w.rows.lost {
		w.lost.add(reason, n)
	}
	for _, u := range w.unsupported {
		out.Unsupported = append(out.Unsupported, u)
	}
	slices.SortFunc(out.Unsupported, func(a, b model.Unsupported) int { return cmp.Compare(a.PID, b.PID) })
	out.Loops = w.ended
	for i := range out.Loops {
		l := &out.Loops[i]
		l.TaskNS = w.rows.byLoop[model.LoopID{PID: l.PID, TID: l.TID}]
	}
	slices.SortFunc(out.Loops, func(a, b model.WaitLoop) int {
		return cmp.Or(cmp.Compare(b.TaskNS, a.TaskNS), cmp.Compare(a.PID, b.PID), cmp.Compare(a.TID, b.TID))
	})
	out.Waits = w.rows.waits(out.EndedNS - out.StartedNS)
	return out
}

// interrupted says that the observation ended before it began.
func interrupted(err error) error {
	return fmt.Errorf("interrupted while looking at processes: %w", err)
}
