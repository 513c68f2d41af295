// SPDX-License-Identifier: Apache-2.0

// Package dump looks once at what the event loops of a host do. In go process ids, or none for all; out comes a model.Dump.
// The kernel says what each thread does, the interpreters' memory is read while they run, and the kernel is asked again:
// what slept all the time between was read as it is, and the rest is read anew, a few times. No process is stopped.
package dump

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/loopwatch/loopwatch/internal/application"
	"github.com/loopwatch/loopwatch/internal/clock"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/parallel"
	"github.com/loopwatch/loopwatch/internal/probes/host"
	"github.com/loopwatch/loopwatch/internal/probes/listing"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/python"
)

// Options say what to look at. The zero value of a field means its default.
type Options struct {
	PIDs      []int                // only these processes; empty means every Python process
	Threshold time.Duration        // a loop outside its wait for at least this long is blocked; default 100ms
	Patterns  application.Patterns // which code is the application's, where the user says so
}

// Reasons under which model.Dump.Lost counts what could not be read.
const (
	reasonStarting  = "processes_starting_or_ending"
	reasonOver      = "processes_over_limit"
	reasonGone      = "processes_gone"
	reasonThreads   = "threads_without_an_end"   // lists of threads that could not be read to their end
	reasonUnwalked  = "stacks_unreadable"        // threads whose frames could not be read
	reasonTorn      = "stacks_torn"              // changed each time they were read
	reasonTasks     = "asyncio_tasks_unreadable" // interpreters
	reasonTornTasks = "asyncio_tasks_torn"       // loops
	reasonPython    = "asyncio_tasks_not_of_c"   // tasks of another make
	reasonMoreTasks = "asyncio_tasks_over_limit"
	reasonBudget    = "asyncio_tasks_over_budget"    // tasks of which something is missing
	reasonStacks    = "stacks_over_budget"           // threads of which frames are missing
	reasonStray     = "asyncio_tasks_of_other_loops" // of loops that no thread runs
	reasonCut       = "coroutines_cut"
	reasonPools     = "pools_unreadable" // processes
	reasonMorePools = "pools_over_limit" // threads of theirs
	reasonTargets   = "targets_changed"
	reasonUnwatched = "loops_not_watched" // for how long they have been active is not known
)

// rounds is how often what changed while it was read is read anew. Before the second round comes a pause, and
// each later one is twice as long: a thread on a busy host may be ready for a while before it sleeps again.
const (
	rounds = 6
	pause  = 3 * time.Millisecond
	// moreLooks is how often awaitSleep looks.
	moreLooks = 30
)

// Take looks at what there is now. Once ctx is done it waits for nothing more, and says what it
// has read; where it has found no processes yet, that is the error. refused are those of the processes asked for that cannot be looked
// at; where that is all of them, the first is the error.
func Take(ctx context.Context, o Options) (d *model.Dump, refused []*python.PIDError, err error) {
	if o.Threshold <= 0 {
		o.Threshold = 100 * time.Millisecond
	}
	began := clock.Monotonic()
	// The kernel takes its time to load the programs.
	var threads *listing.Listing
	var opening errgroup.Group
	opening.Go(func() (err error) {
		threads, err = listing.Open()
		return err
	})
	found, refused, err := find(ctx, o.PIDs, o.Patterns)
	failed := opening.Wait()
	if failed == nil {
		defer threads.Close()
	}
	if err = cmp.Or(err, failed); err != nil {
		return nil, nil, err
	}
	if len(found.procs) == 0 && len(refused) > 0 {
		return nil, nil, refused[0]
	}
	l := &look{threshold: o.Threshold, listing: threads, began: began, started: time.Now(), found: found}
	if err := l.read(ctx); err != nil {
		return nil, nil, err
	}
	if err := l.describe(ctx); err != nil {
		return nil, nil, err
	}
	return l.dump(), refused, nil
}

// losses counts what could not be read, by reason.
type losses map[string]int64

func (l losses) add(reason string, n int64) {
	if n > 0 {
		l[reason] += n
	}
}

// found is the processes to look at, and what to say of the others.
type found struct {
	procs       []*proc
	unsupported []model.Unsupported
	lost        losses
}

// find finds the Python processes among pids, or of the host where there are none. Of all the host's, those that are no
// Python are passed over.
func find(ctx context.Context, pids []int, patterns application.Patterns) (out found, refused []*python.PIDError, err error) {
	all := len(pids) == 0
	if all {
		if pids, err = process.Scan(); err != nil {
			return out, nil, fmt.Errorf("list processes: %w", err)
		}
		pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == os.Getpid() })
	}
	out.lost = make(losses)
	processes := python.NewOpener(patterns).OpenAll(ctx, pids, python.Opened.LearnStart)
	if err := ctx.Err(); err != nil {
		return out, nil, fmt.Errorf("interrupted while looking at processes: %w", err)
	}
	for _, opened := range processes {
		switch {
		case opened.Process != nil && len(out.procs) >= listing.MaxProcesses:
			out.lost.add(reasonOver, 1)
		case opened.Process != nil:
			out.procs = append(out.procs, newProc(opened.Process))
		case all:
			out.passOver(opened.Refusal)
		default:
			refused = append(refused, opened.Refusal.Answer(python.LookAt))
		}
	}
	return out, refused, nil
}

// passOver notes a process that is not looked at, if it is, or may be, a Python.
func (f *found) passOver(r *python.Refusal) {
	switch u, kind := r.Row(python.LookAt); {
	case kind == python.Starting:
		f.lost.add(reasonStarting, 1)
	case u.Reason != "":
		f.unsupported = append(f.unsupported, u)
	}
}

// look is one dump under way.
type look struct {
	found
	threshold time.Duration
	listing   *listing.Listing
	began     int64 // CLOCK_MONOTONIC, before the processes were looked for
	started   time.Time
	at        int64 // CLOCK_MONOTONIC: the dump says what was then; set by read
}

// read reads every process until all of it was at rest meanwhile, or the rounds are over.
func (l *look) read(ctx context.Context) error {
	for _, p := range l.procs {
		if err := l.listing.Want(p.PID); err != nil {
			return err
		}
	}
	left := l.procs
	for round := range rounds {
		if round > 0 && !clock.Sleep(ctx, pause<<(round-1)) {
			break
		}
		before, err := l.listing.Threads()
		if err != nil {
			return err
		}
		mine := byProcess(before)
		parallel.For(context.WithoutCancel(ctx), len(left), func(i int) { left[i].read(mine[left[i].PID]) })
		after, err := l.listing.Threads()
		if err != nil {
			return err
		}
		l.at = clock.Monotonic()
		left = slices.DeleteFunc(slices.Clone(left), func(p *proc) bool { return p.settle(before, after) })
		if len(left) == 0 {
			break
		}
	}
	if err := l.awaitSleep(ctx, left); err != nil {
		return err
	}
	for _, p := range left {
		p.giveUp()
	}
	return nil
}

// awaitSleep looks for the moment in which a thread sleeps that wants the GIL and was awake at every look so far: on a host
// with too few CPUs it is mostly ready for one.
func (l *look) awaitSleep(ctx context.Context, left []*proc) error {
	for range moreLooks {
		var waking []*thread
		owner := make(map[*thread]*proc)
		for _, p := range left {
			for _, t := range p.threads {
				if t.kernel.Running && t.err == nil && p.wantsGIL(t) {
					waking, owner[t] = append(waking, t), p
				}
			}
		}
		if len(waking) == 0 {
			return nil
		}
		if !clock.Sleep(ctx, pause) {
			return nil
		}
		now, err := l.listing.Threads()
		if err != nil {
			return err
		}
		l.at = clock.Monotonic()
		for _, t := range waking {
			if d, there := now[t.kernel.TID]; there && owner[t].sleepsForGIL(t, d) {
				t.kernel, t.intact, t.settled = d, true, true
			}
		}
	}
	return nil
}

// byProcess sorts threads by process and, there, by what pthread_self returns in them.
func byProcess(listed map[int]listing.Thread) map[int]map[uint64]listing.Thread {
	out := make(map[int]map[uint64]listing.Thread)
	for _, d := range listed {
		if out[d.PID] == nil {
			out[d.PID] = make(map[uint64]listing.Thread)
		}
		out[d.PID][d.Pointer] = d
	}
	return out
}

// dump puts together what was found.
func (l *look) dump() *model.Dump {
	d := &model.Dump{
		TakenAt: l.started.Format(time.RFC3339Nano), TakenNS: l.at, ThresholdNS: int64(l.threshold),
		Host: hostRow(), Unsupported: l.unsupported, Lost: l.lost,
	}
	for _, p := range l.procs {
		if !p.Same() {
			l.lost.add(reasonGone, 1)
			continue
		}
		if p.Silent() {
			d.Unsupported = append(d.Unsupported, model.Unsupported{PID: p.PID, Command: p.Command, Reason: python.SilentReason})
			continue
		}
		d.Processes = append(d.Processes, l.processRow(p))
	}
	slices.SortStableFunc(d.Processes, func(a, b model.DumpProcess) int { return cmp.Compare(a.PID, b.PID) })
	d.TookNS = clock.Monotonic() - l.began
	return d
}

func hostRow() model.DumpHost {
	h := model.DumpHost{Arch: runtime.GOARCH, Kernel: host.KernelRelease()}
	h.Hostname, _ = os.Hostname()
	return h
}
