// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/loopwatch/loopwatch/internal/abi"
)

// Verdict is what user space says of a process, a thread or a descriptor.
type Verdict uint8

const (
	Pending = Verdict(abi.VerdictPending)
	Watched = Verdict(abi.VerdictLoop) // a Python process, a loop's thread, the loop's own descriptor
	Ignored = Verdict(abi.VerdictIgnored)
)

// FDs is how many descriptors of one thread can be told apart.
const FDs = abi.FdsPerThread

// NoSlot is the slot of a thread that has none.
const NoSlot = uint32(abi.NoSlot)

// Layout tells the walker where one CPython keeps things; offsets in bytes, 0 where the
// release has no such field.
type Layout = abi.PyLayout

// FDVerdict says whether a wait on one descriptor is the loop's own.
type FDVerdict struct {
	FD      int
	Verdict Verdict
}

// Interp is where one interpreter of a process keeps things: addresses, 0 unknown.
type Interp struct {
	GIL        uint64 // the structure of the GIL
	Collecting uint64 // int32, not 0 while the garbage collector runs
	Threads    uint64 // pointer to the first PyThreadState
}

// ThreadConfig is what user space says of a thread.
type ThreadConfig struct {
	TID      int
	Verdict  Verdict
	TState   uint64      // PyThreadState, 0 unknown
	ThreadID uint64      // what it must hold to be trusted
	Caller   uint64      // code object of the loop's frame that calls callbacks, CallerRoot, 0 none
	RestCode uint64      // code object that sleeps instead of waiting, 0 none
	Interp   Interp      // where its interpreter keeps things
	Tasks    uint64      // dict of the running asyncio tasks by loop (to 3.13), 0 none
	Layout   uint32      // from AddLayout
	Slot     uint32      // NoSlot while it is no loop
	FDs      []FDVerdict // the newest FDs of them count
}

// layoutTable hands out indexes for layouts, one for each that differs.
type layoutTable struct{ known map[Layout]uint32 }

// AddLayout returns the index of a layout, entering it if it is new.
func (p *Probes) AddLayout(l Layout) (uint32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, ok := p.layouts.known[l]; ok {
		return i, nil
	}
	if p.layouts.known == nil {
		p.layouts.known = make(map[Layout]uint32)
	}
	m := p.coll.Maps[loopwatchMapLayouts]
	i := uint32(len(p.layouts.known))
	if i >= m.MaxEntries() {
		return 0, errors.New("too many different CPython layouts")
	}
	if err := m.Put(i, &l); err != nil {
		return 0, fmt.Errorf("enter layout: %w", err)
	}
	p.layouts.known[l] = i
	return i, nil
}

// SetProcess says whether a process is one to be watched. One that is ignored is announced
// again from time to time; saying once more that it is to be ignored changes nothing.
func (p *Probes) SetProcess(pid int, v Verdict) error {
	return p.setProcess(pid, abi.Process{Verdict: uint32(v)})
}

// SetPython says that a process is to be watched, and where its threads are.
func (p *Probes) SetPython(pid int, i Interp, layout uint32) error {
	return p.setProcess(pid, abi.Process{Verdict: uint32(Watched), Threads: i.Threads, Layout: layout})
}

func (p *Probes) setProcess(pid int, to abi.Process) error {
	m := p.coll.Maps[loopwatchMapProcesses]
	var k abi.Process
	if err := m.Lookup(uint32(pid), &k); err == nil && k.Verdict == to.Verdict && k.Threads == to.Threads && k.Layout == to.Layout {
		return nil
	}
	to.AskedAt, to.Tries = k.AskedAt, k.Tries
	if err := m.Put(uint32(pid), &to); err != nil {
		return fmt.Errorf("enter process %d: %w", pid, err)
	}
	return nil
}

// AskAgain has every process that was ignored looked at again as far as its time has come. To be
// called every ten seconds or so.
func (p *Probes) AskAgain() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch = max(p.epoch, abi.InitialEpoch) + 1
	return p.coll.Variables[loopwatchVarEpoch].Set(p.epoch)
}

// ForgetProcess makes the next wait of a process announce it anew.
func (p *Probes) ForgetProcess(pid int) error {
	return ignoreMissing(p.coll.Maps[loopwatchMapProcesses].Delete(uint32(pid)))
}

// ForgetThread drops a thread of a process that is not watched.
func (p *Probes) ForgetThread(tid int) error {
	return errors.Join(
		ignoreMissing(p.coll.Maps[loopwatchMapThreads].Delete(uint32(tid))),
		ignoreMissing(p.coll.Maps[loopwatchMapConfigs].Delete(uint32(tid))))
}

// SetThread enters what is known of a thread; the kernel takes it over at the thread's next
// wait, tick or way off the CPU.
func (p *Probes) SetThread(c ThreadConfig) error {
	k := abi.ThreadConfig{
		Tid: uint32(c.TID), Tstate: c.TState, ThreadId: c.ThreadID, RestCode: c.RestCode, CallerCode: c.Caller, Tasks: c.Tasks,
		Gil: c.Interp.GIL, Collecting: c.Interp.Collecting, Threads: c.Interp.Threads, Layout: c.Layout, Slot: c.Slot, Verdict: uint8(c.Verdict),
	}
	for i := range k.Fds {
		k.Fds[i] = abi.NoFd
	}
	known := c.FDs
	if len(known) > FDs {
		known = known[len(known)-FDs:]
	}
	for i, f := range known {
		k.Fds[i], k.FdVerdicts[i] = int32(f.FD), uint8(f.Verdict)
	}
	if err := p.coll.Maps[loopwatchMapConfigs].Put(uint32(c.TID), &k); err != nil {
		return fmt.Errorf("enter thread %d: %w", c.TID, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.generation = max(p.generation, abi.InitialGeneration) + 1 // 0 is a new thread's
	return p.coll.Variables[loopwatchVarGeneration].Set(p.generation)
}

func ignoreMissing(err error) error {
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}

// SetThreshold changes how long an active period has to be for a block, from now on: those that end
// later count by it, those going on included. The ticks become as frequent as DefaultRate says,
// unless Options.Rate was set. What was held back of the periods going on was chosen by the
// threshold before.
func (p *Probes) SetThreshold(to time.Duration) error {
	if err := p.coll.Variables[loopwatchVarThreshold].Set(uint64(to)); err != nil {
		return fmt.Errorf("set threshold: %w", err)
	}
	if p.fixedRate {
		return nil
	}
	return p.ticks.setRate(DefaultRate(to))
}

// Want adds a process to those to be watched, where Options.Filter narrows them down.
func (p *Probes) Want(pid int) error {
	if err := p.coll.Maps[loopwatchMapWanted].Put(uint32(pid), uint32(1)); err != nil {
		return fmt.Errorf("enter wanted process %d: %w", pid, err)
	}
	return p.AskAgain() // it may have been ignored until now
}
