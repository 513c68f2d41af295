// SPDX-License-Identifier: Apache-2.0

package block

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
)

// share returns the split of the duration by cause, which adds up to it, and the pieces, each with its part. Time off the CPU is exact: stopped, held back and waiting for a CPU are the kernel's own
// sums, and sleep goes to the stacks seen off the CPU. The rest goes to the ticks, each taking the
// CPU time since the one before. What the interpreter's own probes account for is shared among
// the stacks seen there.
func (p *period) share() (split map[model.Cause]int64, shared []piece) {
	duration := p.end - p.start
	offNS := min(max(p.offNS, 0), duration)
	waitedNS := min(max(p.waitedNS, 0), offNS)
	throttledNS := min(max(p.throttledNS, 0), waitedNS)
	stoppedNS := min(max(p.stoppedNS, 0), offNS-waitedNS)
	sleepNS := offNS - waitedNS - stoppedNS
	shared = slices.Clone(p.pieces)
	out := map[model.Cause]int64{model.CauseThrottled: throttledNS, model.CauseRunqueue: waitedNS - throttledNS}
	var stops []weighed
	for i := range shared {
		if shared[i].stopped() {
			stops = append(stops, weighed{i, shared[i].sample.NS})
		}
	}
	out[model.CauseStopped] += apportion(shared, stops, stoppedNS, out)
	for _, r := range p.phases(sleepNS, duration-offNS) {
		out[r.asleep] += apportion(shared, r.off, r.sleepNS, out)
		out[r.running] += apportion(shared, r.ticks, r.cpuNS, out)
	}
	for cause, ns := range out {
		if ns == 0 {
			delete(out, cause)
		}
	}
	return out, shared
}

// weighed is a piece, by its index, and what it weighs beside others.
type weighed struct {
	index  int
	weight int64
}

// apportion divides ns by weight among some of the pieces, the last taking what rounding leaves over, and
// returns what is left where none weighs anything.
func apportion(shared []piece, among []weighed, ns int64, out map[model.Cause]int64) (left int64) {
	var total int64
	for _, w := range among {
		total += w.weight
	}
	if total == 0 {
		return ns
	}
	left = ns
	for n, w := range among {
		x := &shared[w.index]
		x.ns = min(int64(float64(w.weight)/float64(total)*float64(ns)), left)
		if n == len(among)-1 {
			x.ns = left
		}
		left -= x.ns
		out[x.cause] += x.ns
	}
	return left
}
