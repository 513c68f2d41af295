// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/histogram"
	"github.com/loopwatch/loopwatch/internal/model"
)

// Statistics are the running totals of one loop. Times are nanoseconds. The period and the wait
// going on are not in them.
type Statistics struct {
	Iterations int64
	IdleNS     int64 // in waits in which its thread slept
	ActiveNS   int64 // in all others, and outside the wait
	LateNS     int64 // in any wait, woken or to be woken, and not let run
	MaxNS      int64 // of one active period
	Blocks     int64
	// Stretches of several active periods in which no wait could rest, of at least the threshold.
	UnrestedNS, UnrestedMaxNS int64
	Histogram                 histogram.Histogram // of the active periods' lengths
	// How long events were ready before a wait returned them. Nothing where fentry is not.
	Ready      histogram.Histogram
	ReadyMaxNS int64
}

// Statistics reads the statistics in a slot.
func (p *Probes) Statistics(slot uint32) (*Statistics, error) {
	var k abi.LoopStatistics
	if err := p.coll.Maps[loopwatchMapStatistics].Lookup(slot, &k); err != nil {
		return nil, fmt.Errorf("read statistics in slot %d: %w", slot, err)
	}
	return statisticsOf(&k), nil
}

// AllStatistics reads the statistics in slots 0 to n-1 at once.
func (p *Probes) AllStatistics(n uint32) ([]*Statistics, error) {
	const batch = 256
	var (
		out    = make([]*Statistics, 0, n)
		m      = p.coll.Maps[loopwatchMapStatistics]
		cursor ebpf.MapBatchCursor
		keys   = make([]uint32, min(batch, n))
		values = make([]abi.LoopStatistics, len(keys))
	)
	for uint32(len(out)) < n {
		got, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range min(got, int(n)-len(out)) {
			out = append(out, statisticsOf(&values[i]))
		}
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil, fmt.Errorf("read statistics: %w", err)
		}
		if err != nil && uint32(len(out)) < n {
			return nil, fmt.Errorf("read statistics: there are %d slots, not %d", len(out), n)
		}
	}
	return out, nil
}

func statisticsOf(k *abi.LoopStatistics) *Statistics {
	s := &Statistics{
		Iterations: int64(k.Iterations), IdleNS: int64(k.IdleNs), LateNS: int64(k.LateNs), ActiveNS: int64(k.ActiveNs), MaxNS: int64(k.MaxNs),
		ReadyMaxNS: int64(k.ReadyMaxNs), Blocks: int64(k.Blocks), UnrestedNS: int64(k.UnrestedNs), UnrestedMaxNS: int64(k.UnrestedMaxNs),
	}
	for i, n := range k.Histogram {
		s.Histogram[i] = int64(n)
	}
	for i, n := range k.ReadyHistogram {
		s.Ready[i] = int64(n)
	}
	return s
}

// ClearStatistics empties a slot before its next use.
func (p *Probes) ClearStatistics(slot uint32) error {
	if err := p.coll.Maps[loopwatchMapStatistics].Put(slot, new(abi.LoopStatistics)); err != nil {
		return fmt.Errorf("clear statistics in slot %d: %w", slot, err)
	}
	if err := p.coll.Maps[loopwatchMapReadyEvents].Put(slot, new(abi.ReadyEvents)); err != nil {
		return fmt.Errorf("clear what is ready in slot %d: %w", slot, err)
	}
	if err := p.coll.Maps[loopwatchMapUsdtAccounts].Put(slot, new(abi.UsdtAccount)); err != nil {
		return fmt.Errorf("clear what the probes said in slot %d: %w", slot, err)
	}
	return nil
}

// Add enters an active period the kernel has not, such as one still going on.
func (s *Statistics) Add(ns int64) { s.change(ns, 1) }

// Remove takes an active period out again that the kernel entered and that was none.
func (s *Statistics) Remove(ns int64) { s.change(ns, -1) }

func (s *Statistics) change(ns, by int64) {
	s.Iterations += by
	s.ActiveNS += by * ns
	if by > 0 {
		s.MaxNS = max(s.MaxNS, ns)
	}
	if n := &s.Histogram[histogram.BucketOf(ns)]; by > 0 || *n > 0 {
		*n += by
	}
}

// AddOpen enters what t does, for ns by now: a wait or an active period that has not ended.
func (s *Statistics) AddOpen(t *Thread, ns int64) {
	if t.AtRest() {
		s.IdleNS += ns
		return
	}
	s.ActiveNS += ns
	if !t.InWait {
		s.MaxNS = max(s.MaxNS, ns)
	}
}

// Periods sums up the lengths of the active periods.
func (s *Statistics) Periods() model.Percentiles { return s.Histogram.Percentiles(s.MaxNS) }

// ReadyDelay sums up for how long events were ready before a wait returned them, nil where that is not known of any.
func (s *Statistics) ReadyDelay() *model.Percentiles {
	if !s.Ready.Counts() {
		return nil
	}
	p := s.Ready.Percentiles(s.ReadyMaxNS)
	return &p
}

// AddUnrested enters the stretch without a rest that has not ended, of a thread at the time now, if it is as long as the threshold.
func (s *Statistics) AddUnrested(k *Thread, now, threshold int64) {
	end := now
	if k.AtRest() {
		end = k.Since
	}
	if ns := end - k.RestedAt; ns >= threshold && k.Period-k.RestedPeriod > 1 {
		s.UnrestedNS += ns
		s.UnrestedMaxNS = max(s.UnrestedMaxNS, ns)
	}
}
