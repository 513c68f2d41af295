// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// Thread is the kernel's present view of a thread.
type Thread struct {
	TID    int
	PID    int
	InWait bool
	Slept  bool  // in the present wait
	WaitFD int   // of the wait, -1 outside
	Since  int64 // the present wait or active period began, CLOCK_MONOTONIC nanoseconds
	Period uint64
	OffNS  int64 // ended stretches off the CPU in this period
	OffAt  int64 // off the CPU since, 0 on it
	Asleep bool
	// Of OffNS: runnable without a CPU, of that held back by a quota, and stopped.
	WaitedNS, ThrottledNS, StoppedNS int64
	RestedAt                         int64  // the loop last rested, or was first seen
	RestedPeriod                     uint64 // then the number of the period before
	Stopped, Throttled               bool   // the stretch going on, or what it began with
	Seeded                           bool
	HasStack                         bool           // of the stretch off the CPU going on, or the last one
	Stackless                        wire.Stackless // of OffNS
	Late                             wire.Late      // of the wait before the present period
	Joined                           wire.Late      // the same with the iteration before; NS is 0 where that is not joined with this one
	LateFrom                         int64          // the present wait could have ended, 0: it could not yet
	LateStoppedNS                    int64          // since then stopped, ended stops only
	StoppedAt                        int64          // stopped in the present wait since, 0: it is not
	Verdict                          Verdict
	held                             uint32
	slot                             uint32
}

func threadOf(tid uint32, k *abi.Thread) Thread {
	return Thread{
		TID: int(tid), PID: int(k.Tgid), InWait: k.InWait != 0, Slept: k.Slept != 0, WaitFD: int(k.WaitFd), Since: int64(k.Since), Period: k.Period, OffNS: int64(k.OffNs),
		OffAt: int64(k.OffSince), Asleep: k.Asleep != 0,
		WaitedNS: int64(k.WaitedNs), ThrottledNS: int64(k.ThrottledNs), StoppedNS: int64(k.StoppedNs),
		RestedAt: int64(k.RestedAt), RestedPeriod: k.RestedPeriod,
		Stopped: k.Stopped != 0, Throttled: k.Throttled != 0, Seeded: k.Seeded != 0, HasStack: k.HasStack != 0, Stackless: wire.StacklessOf(k.StacklessNs, &k.Stackless),
		Late: wire.LateOf(&k.Late), Joined: wire.LateOf(&k.Joined), LateFrom: int64(k.LateFrom), LateStoppedNS: int64(k.LateStoppedNs), StoppedAt: int64(k.StopSince), Verdict: Verdict(k.Config.Verdict),
		held: k.Held, slot: k.Config.Slot,
	}
}

// AtRest reports whether the thread is in a wait that is a rest. In one in which it has not slept, the loop looks for more to do.
func (t *Thread) AtRest() bool { return t.InWait && t.Slept }

// LateNow returns how late the wait is at the time now that has not ended, or how late the wait before the present period returned.
func (t *Thread) LateNow(now int64) wire.Late {
	switch {
	case !t.InWait:
		return t.Late
	case t.LateFrom == 0 || t.LateFrom >= now:
		return wire.Late{}
	}
	late := wire.Late{NS: now - t.LateFrom, StoppedNS: t.LateStoppedNS}
	if t.StoppedAt != 0 {
		late.StoppedNS += max(now-max(t.StoppedAt, t.LateFrom), 0)
	}
	late.StoppedNS = min(late.StoppedNS, late.NS)
	return late
}

// Before returns what comes before the present period without a rest, by the time now: the late return of the wait, and the iteration
// before it where the loop is held back in both. In a wait it is LateNow.
func (t *Thread) Before(now int64) wire.Late {
	late := t.LateNow(now)
	if t.InWait || t.Joined.NS == 0 {
		return late
	}
	held := late.NS + t.WaitedNS + t.StoppedNS
	if t.OffAt != 0 && (!t.Asleep || t.Stopped) {
		held += max(now-t.OffAt, 0)
	}
	if 2*held >= max(now-t.Since, 0)+late.NS {
		return t.Joined
	}
	return late
}

// Thread reads the present view of one thread. ok is false where there is none.
func (p *Probes) Thread(tid int) (t Thread, ok bool, err error) {
	var k abi.Thread
	err = p.coll.Maps[loopwatchMapThreads].Lookup(uint32(tid), &k)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return Thread{}, false, nil
	}
	if err != nil {
		return Thread{}, false, fmt.Errorf("read thread %d: %w", tid, err)
	}
	return threadOf(uint32(tid), &k), true, nil
}

// Threads reads the present view of all threads.
func (p *Probes) Threads() ([]Thread, error) {
	var out []Thread
	err := readAll(p.coll.Maps[loopwatchMapThreads], func(tid uint32, k *abi.Thread) { out = append(out, threadOf(tid, k)) })
	if err != nil {
		return nil, fmt.Errorf("read threads: %w", err)
	}
	return out, nil
}

// readAll calls visit with each entry of a hash map. Entries that come or go meanwhile may be missed.
func readAll[K, V any](m *ebpf.Map, visit func(K, *V)) error {
	const batch = 512
	var (
		cursor ebpf.MapBatchCursor
		keys   = make([]K, batch)
		values = make([]V, batch)
	)
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			visit(keys[i], &values[i])
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// HeldSamples reads the samples the kernel holds back for the present period of a loop, and
// the stretch off the CPU going on, whose NS is then counted up to now; it may have no stack. They may change while
// they are read: the caller compares Period before and after.
func (p *Probes) HeldSamples(t Thread, now int64) ([]*wire.Sample, error) {
	if t.slot == NoSlot {
		return nil, nil
	}
	n := t.held
	if t.OffAt != 0 && t.Asleep && t.HasStack {
		n++
	}
	var out []*wire.Sample
	for i := range min(n, abi.SamplesPerLoop) {
		var held abi.HeldSample
		if err := p.coll.Maps[loopwatchMapSamples].Lookup(t.slot*abi.SamplesPerLoop+i, &held); err != nil {
			return nil, fmt.Errorf("read held sample: %w", err)
		}
		k := &held.Sample
		if int(k.Tid) != t.TID || k.Period != t.Period {
			continue
		}
		s := wire.HeldSampleOf(&held)
		if i == t.held {
			s.NS = now - s.At
		}
		out = append(out, s)
	}
	if t.OffAt != 0 && t.Asleep && !t.HasStack && !t.Stopped {
		out = append(out, &wire.Sample{
			TID: t.TID, Period: t.Period, Kind: wire.Off, At: t.OffAt, NS: now - t.OffAt, Syscall: -1, Target: wire.Target{FD: -1},
		})
	}
	return out, nil
}
