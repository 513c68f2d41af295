// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"errors"
	"fmt"
	"slices"
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

// UsualLayouts is the room that is kept for layouts of releases as they are usually built: one for the stacks of each, and
// one that names tasks besides. Others say of themselves how they are laid out, and may say anything.
const UsualLayouts = 24

// ErrLayouts says that there is no room for another layout.
var ErrLayouts = errors.New("its CPython is laid out in a way of its own, and there are too many of those")

// layoutTable hands out indexes for layouts: one for each that differs, for as long as it is used.
type layoutTable struct {
	index map[Layout]uint32
	used  []usedLayout // by index
	other int          // of them those that are not usual
}

// usedLayout is an entry of the table; unused where users is 0.
type usedLayout struct {
	layout Layout
	users  int
	usual  bool
}

// add returns the index of a layout, and whether it is new.
func (t *layoutTable) add(l Layout, usual bool, size int) (index uint32, added bool, err error) {
	if i, ok := t.index[l]; ok {
		t.used[i].users++
		return i, false, nil
	}
	if !usual && t.other >= size-UsualLayouts {
		return 0, false, ErrLayouts
	}
	i := slices.IndexFunc(t.used, func(u usedLayout) bool { return u.users == 0 })
	if i < 0 {
		if i = len(t.used); i >= size {
			return 0, false, ErrLayouts
		}
		t.used = append(t.used, usedLayout{})
	}
	if t.index == nil {
		t.index = make(map[Layout]uint32)
	}
	if !usual {
		t.other++
	}
	t.used[i], t.index[l] = usedLayout{l, 1, usual}, uint32(i)
	return uint32(i), true, nil
}

// release gives a layout back that add has returned, and reports whether that has made room.
func (t *layoutTable) release(index uint32) bool {
	if uint64(index) >= uint64(len(t.used)) || t.used[index].users == 0 {
		return false
	}
	u := &t.used[index]
	if u.users--; u.users > 0 {
		return false
	}
	delete(t.index, u.layout)
	if !u.usual {
		t.other--
	}
	return true
}

// AddLayout returns the index of a layout, entering it if it is new. usual says that it is that of a release as it is usually
// built: of those there is always room, of others a number. Where there is none the error is ErrLayouts. Every index is to be
// given back by ReleaseLayout.
func (p *Probes) AddLayout(l Layout, usual bool) (uint32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.coll.Maps[loopwatchMapLayouts]
	i, added, err := p.layouts.add(l, usual, int(m.MaxEntries()))
	if err != nil || !added {
		return i, err
	}
	if err := m.Put(i, &l); err != nil {
		p.layouts.release(i)
		return 0, fmt.Errorf("enter layout: %w", err)
	}
	return i, nil
}

// ReleaseLayout gives a layout back that AddLayout has returned the index of, and reports whether there is room for another now. No
// process that goes on may use it.
func (p *Probes) ReleaseLayout(index uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.layouts.release(index)
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
	return p.ticks.SetRate(DefaultRate(to))
}

// Want adds a process to those to be watched, where Options.Filter narrows them down.
func (p *Probes) Want(pid int) error {
	if err := p.coll.Maps[loopwatchMapWanted].Put(uint32(pid), uint32(1)); err != nil {
		return fmt.Errorf("enter wanted process %d: %w", pid, err)
	}
	return p.AskAgain() // it may have been ignored until now
}
