// SPDX-License-Identifier: Apache-2.0

// Package track follows threads. In go the events of probes; it finds out which threads are event loops,
// gathers the evidence on every block from the kernel and from the process, and has it judged. Out come model.Loop and
// model.Block, and to the kernel what has been decided about processes, threads and descriptors. It runs on one goroutine.
package track

import (
	"errors"
	"log/slog"
	"maps"
	"time"

	"github.com/loopwatch/loopwatch/internal/application"
	"github.com/loopwatch/loopwatch/internal/attachment"
	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/delayed"
	"github.com/loopwatch/loopwatch/internal/kernelstack"
	"github.com/loopwatch/loopwatch/internal/layout"
	"github.com/loopwatch/loopwatch/internal/look"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/slots"
	"github.com/loopwatch/loopwatch/internal/unwatched"
)

// Kernel is what the tracker needs of *probes.Probes.
type Kernel interface {
	layout.Kernel
	Sweep() (probes.Kept, error)
	SetProcess(pid int, v probes.Verdict) error
	SetPython(pid int, i probes.Interp, layout uint32) error
	ForgetProcess(pid int) error
	SetThread(probes.ThreadConfig) error
	ForgetThread(tid int) error
	Want(pid int) error
	Loops() int
	Statistics(slot uint32) (*probes.Statistics, error)
	AllStatistics(n uint32) ([]*probes.Statistics, error)
	ClearStatistics(slot uint32) error
	Thread(tid int) (probes.Thread, bool, error)
	Threads() ([]probes.Thread, error)
	ThreadPointers(pid int) (map[uint64]int, error)
	HeldSamples(t probes.Thread, now int64) ([]*wire.Sample, error)
	Account(t probes.Thread, now, offNS, waitedOrStoppedNS int64) (*wire.Account, error)
	attachment.Kernel
	Counters() (map[string]int64, error)
}

// Options of one observation.
type Options struct {
	Threshold time.Duration
	PIDs      []int                // only these, empty: all
	Children  bool                 // with PIDs: their descendants too
	Self      int                  // our own process, never watched
	Patterns  application.Patterns // which code is the application's, where the user says so
	USDT      attachment.Options   // which of the interpreters' own probes to use
	Log       *slog.Logger         // what is decided about processes and threads; nil: nowhere
	// Looking, if set, is called while Discover looks at processes, from several goroutines, with how many
	// it has looked at.
	Looking func(done, of int)
	// Emit is called with every block, in the order in which they end.
	Emit func(model.Block)
	// Record, if set, is called with the evidence from which the blocks that Emit gets are judged.
	Record func(*block.Evidence)
	// Ongoing, if set, is called once with a block that is still going on when it is noticed; Emit
	// has it again at its end, and no more where the observation ends before.
	Ongoing func(model.Block)
	// DropEnded keeps no rows of loops that have ended: for observations without an end of their own.
	DropEnded bool
}

// Bounds of what one observation keeps.
const (
	lastLook      = time.Second // for so long its end waits for looks at processes
	maxEndedLoops = 10_000      // loops whose thread has ended
	maxPending    = 4096        // samples of one active period
	maxFrames     = 1 << 19     // in the samples of the active periods of all loops; each may have one more
)

// Reasons under which model.Lost counts what was given up here; the kernel's own stand beside
// them.
const (
	reasonLoops     = "loops_over_limit_not_watched"
	reasonEnded     = "ended_loops_over_limit"
	reasonOrphan    = "stacks_of_unknown_threads"
	reasonSamples   = "stacks_over_limit_of_one_block"
	reasonRecord    = "records_not_understood"
	reasonKernel    = "kernel_updates_failed"
	reasonOpaque    = "processes_unreadable"
	reasonHolders   = "holders_not_found"
	reasonUnjudged  = "blocks_of_threads_never_judged"
	reasonUnnamable = "blocks_of_unreadable_stacks"
	reasonTasks     = "asyncio_tasks_not_understood" // processes
	reasonLayouts   = "layouts_over_limit"           // processes
	reasonSilent    = "reads_of_memory_given_up"
	reasonFiles     = "reads_of_files_given_up"
	reasonUnnamed   = "asyncio_tasks_without_name" // samples
)

// Tracker holds the state of one observation. It is not safe for concurrent use.
type Tracker struct {
	kernel  Kernel
	opts    Options
	procs   map[int]*proc   // Python processes watched, by process id
	threads map[int]*thread // their threads that wait in epoll, by thread id
	delayed *delayed.Blocks // ended, and not told yet
	slots   slots.Slots
	python  *python.Opener
	looks   *look.Looks
	symbols *kernelstack.Symbols
	usdt    *attachment.Files // with the interpreters' own probes

	open       []probes.Thread // thread states when the observation ended
	frames     int             // in the samples that are kept
	blockCount int64
	met        int          // Python processes ever watched, including ended ones
	ended      []model.Loop // rows of loops that have ended
	unwatched  unwatched.List
	layouts    *layout.Table
	lost       map[string]int64
}

// New returns a tracker that sends its verdicts to the kernel.
func New(k Kernel, o Options) *Tracker {
	c := &Tracker{
		kernel: k, opts: o,
		procs: make(map[int]*proc), threads: make(map[int]*thread), slots: slots.New(k.Loops()),
		python: python.NewOpener(o.Patterns), symbols: kernelstack.New(),
		layouts: layout.New(k), lost: make(map[string]int64),
	}
	c.delayed = delayed.New(c.emit)
	c.looks = look.New(c.lookAt)
	if c.opts.Log == nil {
		c.opts.Log = slog.New(slog.DiscardHandler)
	}
	c.usdt = attachment.New(k, o.USDT, c.check, c.opts.Log)
	return c
}

// ReportDue reports the blocks that have waited long enough for what the kernel says of the wait behind them, and returns when to
// call it again at the latest: the zero time where none waits.
func (c *Tracker) ReportDue(now time.Time) (next time.Time) { return c.delayed.Due(now) }

// Close waits for what goes on beside the events, such as attaching probes.
func (c *Tracker) Close() { c.usdt.Close() }

// Handle takes one event. It never fails: what goes wrong is counted.
func (c *Tracker) Handle(e wire.Event) {
	if pid, tid := of(e); tid != 0 && c.looks.Hold(pid, tid, e) {
		return
	}
	switch e := e.(type) {
	case *wire.Wait:
		c.onWait(e)
	case *wire.Sample:
		c.onSample(e)
	case *wire.Account:
		c.onAccount(e)
	case *wire.Block:
		c.onBlock(e)
	case *wire.Delayed:
		c.delayed.Waited(e)
	case *wire.HalfBlock:
		c.onHalfBlock(e)
	case *wire.Exec:
		c.forgetProcess(e.PID)
	case *wire.Exit:
		c.onExit(e)
	}
}

// of returns the process, 0 where the event does not say, and the thread of an event that only makes sense once its process is known;
// of others 0.
func of(e wire.Event) (pid, tid int) {
	switch e := e.(type) {
	case *wire.Sample:
		return 0, e.TID
	case *wire.Account:
		return 0, e.TID
	case *wire.Delayed:
		return 0, e.TID
	case *wire.Block:
		return e.PID, e.TID
	case *wire.HalfBlock:
		return e.PID, e.TID
	case *wire.Exit:
		return e.PID, e.TID
	}
	return 0, 0
}

// Undecodable counts a record that probes could not read.
func (c *Tracker) Undecodable() { c.lost[reasonRecord]++ }

// Processes returns how many Python processes are watched.
func (c *Tracker) Processes() int { return len(c.procs) }

// Met returns how many Python processes have been watched, those that have ended included.
func (c *Tracker) Met() int { return c.met }

// Loops returns how many event loops are known and alive.
func (c *Tracker) Loops() (n int) {
	for _, t := range c.threads {
		if t.isLoop() {
			n++
		}
	}
	return n
}

// Blocks returns how many blocks have been seen.
func (c *Tracker) Blocks() int64 { return c.blockCount }

// check counts a failed update of the kernel's maps. A thread that is gone is no failure.
func (c *Tracker) check(err error) {
	if err != nil {
		c.lost[reasonKernel]++
		c.opts.Log.Warn("the kernel refused an update", "error", err)
	}
}

// Result is what an observation found, up to the moment of Finish.
type Result struct {
	Loops       []model.Loop
	Lost        model.Lost
	Unsupported []model.Unsupported
}

// NoteOpen notes what every thread is doing at the end of the observation. The events that are
// already on their way have to be handled after it and before Finish, so that a block that ends
// just now is neither lost nor reported twice.
func (c *Tracker) NoteOpen() (err error) {
	c.open, err = c.kernel.Threads()
	return err
}

// Finish closes the statistics at the time now (CLOCK_MONOTONIC nanoseconds): blocks still going on
// are reported as such, and every loop gets its row.
func (c *Tracker) Finish(now int64) (Result, error) {
	c.lost[reasonSilent] += int64(c.looks.Settle(lastLook, c.looked))
	c.lost[reasonUnjudged] += c.looks.TakeLost()
	c.usdt.Settle()
	for _, k := range c.open {
		t := c.threads[k.TID]
		if t == nil || !t.isLoop() {
			continue
		}
		openNS := c.finishOpen(t, k, now)
		c.endLoop(t, &k, now, openNS)
		delete(c.threads, k.TID)
	}
	for _, t := range c.threads { // loops the kernel has lost sight of
		if t.isLoop() {
			c.endLoop(t, nil, now, 0)
		}
	}
	var err error
	r := Result{Loops: c.ended}
	r.Unsupported = c.Unsupported()
	r.Lost, err = c.losses()
	return r, err
}

// losses adds up everything that was given up, in the kernel and here.
func (c *Tracker) losses() (model.Lost, error) {
	counters, err := c.kernel.Counters()
	if err != nil {
		return model.Lost{}, err
	}
	l := model.Lost{Reasons: counters}
	maps.Copy(l.Reasons, c.lost)
	maps.Copy(l.Reasons, c.usdt.Lost())
	for _, p := range c.procs {
		for reason, n := range p.failures() {
			l.Reasons[reason] += n
		}
	}
	maps.DeleteFunc(l.Reasons, func(_ string, n int64) bool { return n == 0 })
	for reason, n := range l.Reasons {
		switch {
		case probes.LosesEvents(reason), reason == reasonLoops, reason == reasonRecord, reason == reasonUnjudged,
			reason == reasonUnnamable:
			l.Events += n
		case probes.LosesStacks(reason), reason == reasonOrphan, reason == reasonSamples:
			l.Stacks += n
		}
	}
	return l, nil
}

var errTooManyLoops = errors.New("too many loops at once")
