// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"errors"
	"fmt"
	"math"

	"github.com/cilium/ebpf"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// Books are the running totals of one loop. Times are nanoseconds. The period and the wait
// going on are not in them.
type Books struct {
	Iterations int64
	IdleNS     int64
	ActiveNS   int64
	MaxNS      int64
	Blocks     int64
	// Stretches of several active periods in which no wait could rest, of at least the threshold.
	UnrestedNS, UnrestedMaxNS int64
	Histogram                 Histogram // of the active periods' lengths
}

// Histogram counts active periods by length, in buckets no wider than a sixteenth of an octave. A
// difference of two may hold less than none.
type Histogram [abi.HistBuckets]int64

// Books reads the books in a slot.
func (p *Probes) Books(slot uint32) (*Books, error) {
	var k abi.LoopStatistics
	if err := p.coll.Maps[loopwatchMapStatistics].Lookup(slot, &k); err != nil {
		return nil, fmt.Errorf("read books in slot %d: %w", slot, err)
	}
	return booksOf(&k), nil
}

// AllBooks reads the books in slots 0 to n-1 at once.
func (p *Probes) AllBooks(n uint32) ([]*Books, error) {
	const batch = 256
	var (
		out    = make([]*Books, 0, n)
		m      = p.coll.Maps[loopwatchMapStatistics]
		cursor ebpf.MapBatchCursor
		keys   = make([]uint32, min(batch, n))
		values = make([]abi.LoopStatistics, len(keys))
	)
	for uint32(len(out)) < n {
		got, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range min(got, int(n)-len(out)) {
			out = append(out, booksOf(&values[i]))
		}
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil, fmt.Errorf("read books: %w", err)
		}
		if err != nil && uint32(len(out)) < n {
			return nil, fmt.Errorf("read books: there are %d slots, not %d", len(out), n)
		}
	}
	return out, nil
}

func booksOf(k *abi.LoopStatistics) *Books {
	b := &Books{
		Iterations: int64(k.Iterations), IdleNS: int64(k.IdleNs), ActiveNS: int64(k.ActiveNs), MaxNS: int64(k.MaxNs),
		Blocks: int64(k.Blocks), UnrestedNS: int64(k.UnrestedNs), UnrestedMaxNS: int64(k.UnrestedMaxNs),
	}
	for i, n := range k.Histogram {
		b.Histogram[i] = int64(n)
	}
	return b
}

// ClearBooks empties a slot before its next use.
func (p *Probes) ClearBooks(slot uint32) error {
	if err := p.coll.Maps[loopwatchMapStatistics].Put(slot, new(abi.LoopStatistics)); err != nil {
		return fmt.Errorf("clear books in slot %d: %w", slot, err)
	}
	if err := p.coll.Maps[loopwatchMapUsdtAccounts].Put(slot, new(abi.UsdtAccount)); err != nil {
		return fmt.Errorf("clear what the probes said in slot %d: %w", slot, err)
	}
	return nil
}

// Add enters an active period the kernel has not, such as one still going on.
func (b *Books) Add(ns int64) { b.change(ns, 1) }

// Remove takes an active period out again that the kernel entered and that was none.
func (b *Books) Remove(ns int64) { b.change(ns, -1) }

func (b *Books) change(ns, by int64) {
	b.Iterations += by
	b.ActiveNS += by * ns
	if by > 0 {
		b.MaxNS = max(b.MaxNS, ns)
	}
	if n := &b.Histogram[bucketOf(ns)]; by > 0 || *n > 0 {
		*n += by
	}
}

// bucketOf is bucket() of bpf/loop/histogram.h.
func bucketOf(ns int64) int {
	switch {
	case ns < 1<<abi.HistMinShift:
		return 0
	case ns >= 1<<abi.HistMaxShift:
		return len(Histogram{}) - 1
	}
	shift := abi.HistMinShift
	for ns>>(shift+1) > 0 {
		shift++
	}
	return 1 + abi.HistParts*(shift-abi.HistMinShift) + int(ns>>(shift-abi.HistPartsShift)&(abi.HistParts-1))
}

// BucketMiddle returns the middle of bucket i in nanoseconds.
func BucketMiddle(i int) int64 {
	if i == 0 {
		return 1 << (abi.HistMinShift - 1)
	}
	return BucketFrom(i) + int64(1)<<(abi.HistMinShift+(i-1)/abi.HistParts)/(2*abi.HistParts)
}

// BucketFrom returns the shortest length that bucket i counts, in nanoseconds.
func BucketFrom(i int) int64 {
	if i == 0 {
		return 0
	}
	octave, part := (i-1)/abi.HistParts, (i-1)%abi.HistParts
	low := int64(1) << (abi.HistMinShift + octave)
	return low + low/abi.HistParts*int64(part)
}

// Quantile returns the active period's length below which the share q (0 to 1) of all lies,
// within 3.1 % above 8.192 us; 0 where there was none.
func (h *Histogram) Quantile(q float64) int64 {
	var total int64
	first := len(h)
	for i, n := range h {
		if n > 0 {
			total += n
			first = min(first, i)
		}
	}
	if total == 0 {
		return 0
	}
	rank := max(int64(math.Ceil(q*float64(total))), 1)
	var sum int64
	for i := first; i < len(h); i++ {
		if sum += max(h[i], 0); sum >= rank {
			return BucketMiddle(i)
		}
	}
	return BucketMiddle(len(h) - 1)
}

// Quantile is Histogram.Quantile, and never above MaxNS.
func (b *Books) Quantile(q float64) int64 { return min(b.Histogram.Quantile(q), b.MaxNS) }

// Thread is the kernel's present view of a thread.
type Thread struct {
	TID    int
	PID    int
	InWait bool
	WaitFD int   // of the wait, -1 outside
	Since  int64 // the present wait or active period began, CLOCK_MONOTONIC nanoseconds
	Period uint64
	OffNS  int64 // ended stretches off the CPU in this period
	OffAt  int64 // off the CPU since, 0 on it
	Asleep bool
	// Of OffNS: runnable without a CPU, of that held back by a quota, and stopped.
	WaitedNS, ThrottledNS, StoppedNS int64
	RestedAt                         int64  // the loop last rested, 0 not known
	RestedPeriod                     uint64 // then the number of the period before
	Stopped, Throttled               bool   // the stretch going on, or what it began with
	Seeded                           bool
	HasStack                         bool           // of the stretch off the CPU going on, or the last one
	Stackless                        wire.Stackless // of OffNS
	Verdict                          Verdict
	held                             uint32
	slot                             uint32
}

func threadOf(tid uint32, k *abi.Thread) Thread {
	return Thread{
		TID: int(tid), PID: int(k.Tgid), InWait: k.InWait != 0, WaitFD: int(k.WaitFd), Since: int64(k.Since), Period: k.Period, OffNS: int64(k.OffNs),
		OffAt: int64(k.OffSince), Asleep: k.Asleep != 0,
		WaitedNS: int64(k.WaitedNs), ThrottledNS: int64(k.ThrottledNs), StoppedNS: int64(k.StoppedNs),
		RestedAt: int64(k.RestedAt), RestedPeriod: k.RestedPeriod,
		Stopped: k.Stopped != 0, Throttled: k.Throttled != 0, Seeded: k.Seeded != 0, HasStack: k.HasStack != 0, Stackless: wire.StacklessOf(k.StacklessNs, &k.Stackless), Verdict: Verdict(k.Config.Verdict),
		held: k.Held, slot: k.Config.Slot,
	}
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
	const batch = 512
	m := p.coll.Maps[loopwatchMapThreads]
	var (
		out    []Thread
		cursor ebpf.MapBatchCursor
		keys   = make([]uint32, batch)
		values = make([]abi.Thread, batch)
	)
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			out = append(out, threadOf(keys[i], &values[i]))
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read threads: %w", err)
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
