// SPDX-License-Identifier: Apache-2.0

// Package attachment keeps the interpreters' own probes (USDT) attached where loops run. In go the Python processes in which a
// loop was found and that end; out come probes attached once for each file with an interpreter, which are detached when no
// process uses the file any more, or when they are hit too often.
package attachment

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/usdt"
)

// Options say which of the interpreters' own probes to use.
type Options struct {
	Kinds []probes.USDTKind
	// MaxRate, if not 0, is how many times a second the probes of one kind in one binary may be
	// hit on one CPU: those hit more often are withdrawn.
	MaxRate int64
}

// Reasons under which Lost counts what could not be used.
const (
	ReasonUnreadable = "usdt_binaries_unreadable"
	ReasonFailed     = "usdt_probes_not_attached"
	ReasonSites      = "usdt_sites_refused"
	ReasonOften      = "usdt_probes_withdrawn_hit_too_often"
)

// Kernel attaches probes.
type Kernel interface {
	AttachUSDT(path string, kind probes.USDTKind, sites []usdt.Site) (*probes.USDT, error)
}

// probe is one kind of probe attached to one file, as *probes.USDT.
type probe interface {
	Hits() ([]uint64, error)
	CloseStart() error
	Close() error
}

// program is a process whose interpreter may have probes, as *python.Process.
type program interface {
	OpenProbes() (*process.File, *usdt.File, error)
}

// Files are the files with an interpreter in them in which a loop runs. Not safe for concurrent use.
type Files struct {
	attach   func(path string, kind probes.USDTKind, sites []usdt.Site) (probe, error)
	opts     Options
	files    map[process.FileStamp]*File
	running  sync.WaitGroup // what attaches and detaches probes
	detached outcomes
	lost     map[string]int64
	failed   func(error)
	log      *slog.Logger
}

// New returns no files yet. failed is called with errors of the kernel.
func New(k Kernel, o Options, failed func(error), log *slog.Logger) *Files {
	attach := func(path string, kind probes.USDTKind, sites []usdt.Site) (probe, error) {
		return k.AttachUSDT(path, kind, sites)
	}
	return &Files{
		attach: attach, opts: o, files: make(map[process.FileStamp]*File),
		lost: make(map[string]int64), failed: failed, log: log,
	}
}

// Lost counts by reason what could not be used.
func (f *Files) Lost() map[string]int64 { return f.lost }

// Len returns how many files have probes attached, or being attached.
func (f *Files) Len() int { return len(f.files) }

// File is one such file. Its probes are attached once for all processes.
type File struct {
	stamp    process.FileStamp
	users    int       // processes with a loop
	idle     time.Time // since there is none, zero: there is one
	attached map[probes.USDTKind]*attachment
	// attaching delivers what has been attached, once. To attach and to detach takes the kernel tens of
	// milliseconds, in which no event may have to wait; so others do that. It is nil afterwards.
	attaching chan attached
}

type attachment struct {
	probe   probe
	hits    []uint64 // by CPU
	at      int64    // when they were counted
	closing bool     // what had begun may end
}

// Kinds lists what is in use; nil of a process whose binary has no probes.
func (b *File) Kinds() (out []string) {
	if b == nil {
		return nil
	}
	for kind, a := range b.attached {
		if !a.closing {
			out = append(out, string(kind))
		}
	}
	slices.Sort(out)
	return out
}

// Use attaches the probes of a process's interpreter, unless that has been done for another process, and returns its file:
// nil where there is nothing to attach. Every file that is returned has to be released.
func (f *Files) Use(p *python.Process) *File {
	if len(f.opts.Kinds) == 0 {
		return nil
	}
	stamp, err := p.StatMapping(p.Runtime.Image)
	if err != nil {
		f.lost[ReasonUnreadable]++
		return nil
	}
	return f.use(stamp, p)
}

// use is Use of a process with a known file.
func (f *Files) use(stamp process.FileStamp, p program) *File {
	b := f.files[stamp]
	if b == nil {
		b = &File{stamp: stamp, attached: map[probes.USDTKind]*attachment{}}
		f.files[stamp] = b
		f.startAttaching(b, p)
	}
	b.users++
	b.idle = time.Time{}
	return b
}

// Settle waits for what is being attached, and counts what has gone wrong so far.
func (f *Files) Settle() {
	f.takeAttached(true)
	f.takeDetached()
}

// patience is how long the end of an observation may have to wait for the kernel.
const patience = 3 * time.Second

// Close waits for what is being attached and detached: nothing of it goes on afterwards, unless the kernel waits for a file
// system that does not answer.
func (f *Files) Close() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.running.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		f.log.Warn("the interpreter's own probes left attached: the kernel waits for their file")
	}
}

// Release notes that a process has ended that Use returned b for.
func (f *Files) Release(b *File) {
	if b == nil {
		return
	}
	if b.users--; b.users == 0 {
		b.idle = time.Now()
	}
}

// Probes that no process uses stay for a while: short-lived processes follow one another.
const (
	idleAfter = 10 * time.Second
	maxIdle   = 16 // files
)

// dropIdle forgets the files that no process has used for so long, and those that have been idle longest where there are too many.
// It returns their probes, which are to be detached.
func (f *Files) dropIdle(after time.Duration) (out []probe) {
	var idle []*File
	for _, b := range f.files {
		if b.users == 0 && b.attaching == nil {
			idle = append(idle, b)
		}
	}
	slices.SortFunc(idle, func(x, y *File) int { return x.idle.Compare(y.idle) })
	for i, b := range idle {
		if len(idle)-i <= maxIdle && time.Since(b.idle) < after {
			break
		}
		delete(f.files, b.stamp)
		for _, a := range b.attached {
			out = append(out, a.probe)
		}
	}
	return out
}

// Limit withdraws what is hit too often to be worth it, and detaches what is idle. now is CLOCK_MONOTONIC nanoseconds. Call it
// about once a second.
func (f *Files) Limit(now int64) {
	f.takeAttached(false)
	f.takeDetached()
	for _, p := range f.dropIdle(idleAfter) {
		f.detach(p.Close)
	}
	limit := f.opts.MaxRate
	if limit == 0 {
		return
	}
	const every = 1_000_000_000 // ns
	for _, b := range f.files {
		for kind, a := range b.attached {
			if a.closing {
				f.detach(a.probe.Close)
				delete(b.attached, kind)
				continue
			}
			if now-a.at < every {
				continue
			}
			hits, err := a.probe.Hits()
			if err != nil {
				f.failed(err)
				continue
			}
			if a.at != 0 && busiest(a.hits, hits) > float64(limit)*float64(now-a.at)/1e9 {
				f.lost[ReasonOften]++
				f.log.Warn("the interpreter's own probes withdrawn: hit too often", "kind", kind, "limit", limit)
				f.detach(a.probe.CloseStart)
				a.closing = true
			}
			a.hits, a.at = hits, now
		}
	}
}

// busiest returns by how much the count of one CPU went up at most.
func busiest(before, now []uint64) (most float64) {
	for cpu, n := range now {
		if cpu < len(before) {
			most = max(most, float64(n-before[cpu]))
		}
	}
	return most
}
