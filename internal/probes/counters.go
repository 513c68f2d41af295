// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"fmt"
	"slices"

	"github.com/loopwatch/loopwatch/internal/abi"
)

// A counter is one of enum counter of bpf/abi/counters.h.
type counter struct {
	reason string // its name in reports
	loses  loss
}

// reasonNoClock counts CPUs that are online and have no clock: no stack is taken of what runs there.
const reasonNoClock = "cpus_without_clock"

// A loss is what a counter means was given up.
type loss uint8

const (
	losesDetail loss = iota // less than a stack, or nothing
	losesStacks
	losesEvents
)

// counters are all there are.
var counters = [abi.Counters]counter{
	abi.LostRecords:       {"records_lost_ring_full", losesEvents},
	abi.LostSamples:       {"stacks_lost_ring_full", losesStacks},
	abi.SkippedSamples:    {"stacks_skipped_bound_of_block", losesStacks},
	abi.FailedThreadState: {"thread_states_unreadable", losesStacks},
	abi.FailedFrame:       {"frames_unreadable", losesStacks},
	abi.FailedCode:        {"code_objects_unreadable", losesDetail},
	abi.TruncatedStacks:   {"stacks_middle_cut", losesDetail},
	abi.RootlessStacks:    {"stacks_root_not_reached", losesStacks},
	abi.LostHolders:       {"holders_lost_ring_full", losesDetail},
	abi.FailedHolder:      {"holders_unreadable", losesDetail},
	abi.FullThreads:       {"threads_over_limit", losesEvents},
	abi.FullProcesses:     {"processes_over_limit", losesEvents},
	abi.FailedTarget:      {"targets_unreadable", losesDetail},
	abi.FullEpolls:        {"epoll_instances_over_limit", losesDetail},
	abi.MissedReturns:     {"returns_from_waits_missed", losesEvents},
	abi.UnseenReturns:     {"returns_to_cpu_worked_out", losesDetail},
	abi.UntimedEvents:     {"ready_events_not_timed", losesDetail},
}

// Counters returns everything that was given up so far, by reason; reasons that never happened are left
// out.
func (p *Probes) Counters() (map[string]int64, error) {
	out := make(map[string]int64)
	for i, c := range counters {
		var perCPU []uint64
		if err := p.coll.Maps[loopwatchMapCounters].Lookup(uint32(i), &perCPU); err != nil {
			return nil, fmt.Errorf("read counter %s: %w", c.reason, err)
		}
		if n := sum(perCPU); n > 0 {
			out[c.reason] = int64(n)
		}
	}
	if n := p.ticks.Missing(); n > 0 {
		out[reasonNoClock] = int64(n)
	}
	return out, nil
}

func sum(values []uint64) (n uint64) {
	for v := range slices.Values(values) {
		n += v
	}
	return n
}

// CounterNames are the reasons of all counters.
func CounterNames() []string {
	names := make([]string, 0, len(counters))
	for _, c := range counters {
		names = append(names, c.reason)
	}
	return append(names, reasonNoClock)
}

// LosesEvents says whether a reason means that events were given up.
func LosesEvents(reason string) bool { return loses(reason, losesEvents) }

// LosesStacks says whether a reason means that stacks were given up.
func LosesStacks(reason string) bool { return loses(reason, losesStacks) }

func loses(reason string, what loss) bool {
	return slices.Contains(counters[:], counter{reason, what})
}
