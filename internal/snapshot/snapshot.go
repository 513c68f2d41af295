// SPDX-License-Identifier: Apache-2.0

// Package snapshot looks once at what the event loops of a host do. In go process ids, or none
// for all; out comes a model.Dump. It asks the kernel what each thread does (probes.Census), reads
// the interpreters' memory while they run, and looks at the kernel's answer again: what slept all the
// time between was read as it is, and the rest is read anew, a few times. No process is stopped. The
// dump command calls it.
package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Options say what to look at. The zero value of a field means its default.
type Options struct {
	PIDs      []int         // only these processes; empty means every Python process
	Threshold time.Duration // a loop outside its wait for at least this long is blocked; default 100ms
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
	reasonStray     = "asyncio_tasks_of_other_loops" // of loops that no thread runs
	reasonCut       = "coroutines_cut"
	reasonTargets   = "targets_changed"
	reasonUnwatched = "loops_not_watched" // for how long they have been active is not known
)

// PIDError says that a process asked for cannot be looked at.
type PIDError struct {
	PID    int
	Reason string
	Do     string
}

func (e *PIDError) Error() string {
	return fmt.Sprintf("cannot look at process %d: %s; %s", e.PID, e.Reason, e.Do)
}

// rounds is how often what changed while it was read is read anew. Before the second round comes a pause, and
// each later one is twice as long: a thread on a busy host may be ready for a while before it sleeps again.
const (
	rounds = 6
	pause  = 3 * time.Millisecond
)

// Take looks at what there is now. refused are those of the processes asked for that cannot be looked
// at; where that is all of them, the first is the error.
func Take(o Options) (d *model.Dump, refused []*PIDError, err error) {
	if o.Threshold <= 0 {
		o.Threshold = 100 * time.Millisecond
	}
	t := &taking{options: o, began: monotonic(), lost: map[string]int64{}}
	// The kernel takes its time to load the programs.
	type opened struct {
		census *probes.Census
		err    error
	}
	census := make(chan opened, 1)
	go func() {
		c, err := probes.OpenCensus()
		census <- opened{c, err}
	}()
	refused, err = t.find()
	c := <-census
	if c.err == nil {
		defer c.census.Close()
	}
	if err = cmp.Or(err, c.err); err != nil {
		return nil, nil, err
	}
	if len(t.procs) == 0 && len(refused) > 0 {
		return nil, nil, refused[0]
	}
	t.census = c.census
	started := time.Now()
	if err := t.read(); err != nil {
		return nil, nil, err
	}
	if err := t.describe(); err != nil {
		return nil, nil, err
	}
	return t.dump(started), refused, nil
}

// taking is one dump under way.
type taking struct {
	options     Options
	census      *probes.Census
	began       int64
	at          int64 // CLOCK_MONOTONIC: what everything is told as of
	procs       []*proc
	unsupported []model.Unsupported

	mu   sync.Mutex // of lost
	lost map[string]int64
}

func (t *taking) lose(reason string, n int64) {
	if n > 0 {
		t.mu.Lock()
		t.lost[reason] += n
		t.mu.Unlock()
	}
}

// find finds the Python processes.
func (t *taking) find() (refused []*PIDError, err error) {
	pids, all := t.options.PIDs, len(t.options.PIDs) == 0
	if all {
		if pids, err = process.Scan(); err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == os.Getpid() })
	}
	found := make([]*proc, len(pids))
	refusals := make([]*PIDError, len(pids))
	together(len(pids), func(i int) { found[i], refusals[i] = t.look(pids[i], all) })
	for i := range pids {
		switch {
		case found[i] != nil && len(t.procs) >= probes.MaxCensusProcesses:
			t.lose(reasonOver, 1)
		case found[i] != nil:
			t.procs = append(t.procs, found[i])
		case refusals[i] != nil:
			refused = append(refused, refusals[i])
		}
	}
	return refused, nil
}

// look opens one process. Where all are looked at, those that are no Python are passed over.
func (t *taking) look(pid int, all bool) (*proc, *PIDError) {
	const which = "give the id of a running Python process, or none to see all"
	p, err := process.Open(pid)
	if err != nil {
		if all {
			return nil, nil // it has just ended
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil, &PIDError{pid, "there is no such process", which}
		}
		return nil, &PIDError{pid, err.Error(), "run loopwatch as root on the host itself"}
	}
	rt, err := cpython.Locate(p)
	var unsupported *cpython.UnsupportedError
	switch {
	case err == nil:
		return newProc(p, rt), nil
	case errors.As(err, &unsupported):
		if all {
			t.mu.Lock()
			t.unsupported = append(t.unsupported, model.Unsupported{PID: pid, Command: p.Cmdline(), Reason: unsupported.Reason})
			t.mu.Unlock()
			return nil, nil
		}
		return nil, &PIDError{pid, unsupported.Reason, "see the list of supported interpreters in the README"}
	case errors.Is(err, cpython.ErrNotPython):
		if all {
			return nil, nil
		}
		return nil, &PIDError{pid, "it is not a Python process", which}
	case errors.Is(err, cpython.ErrNotReady):
		if all {
			t.lose(reasonStarting, 1)
			return nil, nil
		}
		return nil, &PIDError{pid, "its interpreter is just starting or ending", "try again in a moment"}
	case all:
		if p.Same() {
			reason, do := probes.Unreadable(err)
			t.mu.Lock()
			t.unsupported = append(t.unsupported, model.Unsupported{PID: pid, Command: p.Cmdline(), Reason: reason + "; " + do, Maybe: !cpython.Named(pid)})
			t.mu.Unlock()
		}
		return nil, nil
	}
	reason, do := probes.Unreadable(err)
	return nil, &PIDError{pid, reason, do}
}

// read reads every process until all of it was at rest meanwhile, or the rounds are over.
func (t *taking) read() error {
	for _, p := range t.procs {
		if err := t.census.Want(p.process.PID); err != nil {
			return err
		}
	}
	left := t.procs
	for round := range rounds {
		if round > 0 {
			time.Sleep(pause << (round - 1))
		}
		before, err := t.census.Threads()
		if err != nil {
			return err
		}
		mine := byProcess(before)
		together(len(left), func(i int) { left[i].read(mine[left[i].process.PID]) })
		after, err := t.census.Threads()
		if err != nil {
			return err
		}
		t.at = monotonic()
		left = slices.DeleteFunc(slices.Clone(left), func(p *proc) bool { return p.settle(before, after) })
		if len(left) == 0 {
			break
		}
	}
	for _, p := range left {
		p.settleForGood()
	}
	return nil
}

// byProcess sorts threads by process and, there, by what pthread_self returns in them.
func byProcess(doing map[int]probes.Doing) map[int]map[uint64]probes.Doing {
	out := make(map[int]map[uint64]probes.Doing)
	for _, d := range doing {
		if out[d.PID] == nil {
			out[d.PID] = make(map[uint64]probes.Doing)
		}
		out[d.PID][d.Pointer] = d
	}
	return out
}

// together runs f for 0 to n-1, as many at once as there are CPUs.
func together(n int, f func(int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// dump puts together what was found.
func (t *taking) dump(started time.Time) *model.Dump {
	d := &model.Dump{
		TakenAt: started.Format(time.RFC3339Nano), TakenNS: t.at, ThresholdNS: int64(t.options.Threshold),
		Host: host(), Unsupported: t.unsupported, Lost: t.lost,
	}
	for _, p := range t.procs {
		if !p.process.Same() {
			t.lose(reasonGone, 1)
			continue
		}
		d.Processes = append(d.Processes, t.processRow(p))
	}
	slices.SortStableFunc(d.Processes, func(a, b model.DumpProcess) int { return cmp.Compare(a.PID, b.PID) })
	d.TookNS = monotonic() - t.began
	return d
}

func host() model.DumpHost {
	h := model.DumpHost{Arch: runtime.GOARCH}
	h.Hostname, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return h
}

func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0 // cannot fail on Linux with this clock
	}
	return t.Nano()
}
