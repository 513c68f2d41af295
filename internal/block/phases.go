// SPDX-License-Identifier: Apache-2.0

package block

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/model"
)

// phase is a part of a period whose time is known apart: what the probes saw begin and end, or all
// the rest. Waiting for a CPU and being stopped are in none: neither a line nor a
// collection is to blame for that.
type phase struct {
	sleepNS, cpuNS  int64
	asleep, running model.Cause // where no stack was taken there
	off, ticks      []weighed
}

// phases divides the time off and on the CPU, and the pieces seen in it.
func (p *period) phases(sleepNS, cpuNS int64) []phase {
	rest := phase{asleep: model.CauseUnknown, running: model.CauseCPU}
	out := []phase{rest}
	at := map[cause.Phase]int{} // else the first
	if p.account != nil && p.whole {
		for _, r := range []cause.Phase{cause.PhaseGC, cause.PhaseImport} {
			spent, ok := p.account.Phases[r]
			if !ok {
				continue
			}
			slept := min(max(spent.OffNS-spent.WaitedOrStoppedNS, 0), sleepNS)
			ran := min(max(spent.NS-spent.OffNS, 0), cpuNS)
			sleepNS, cpuNS = sleepNS-slept, cpuNS-ran
			at[r] = len(out)
			is := r.Cause()
			out = append(out, phase{sleepNS: slept, cpuNS: ran, asleep: is, running: is})
		}
	}
	out[0].sleepNS, out[0].cpuNS = sleepNS, cpuNS

	before, first := int64(0), true
	for i := range p.pieces {
		s := p.pieces[i].sample
		if p.pieces[i].stopped() {
			continue
		}
		r := &out[at[s.Busy.Phase]]
		if p.pieces[i].isOff() {
			r.off = append(r.off, weighed{i, s.NS})
			continue
		}
		if first && !p.whole { // the period's CPU clock began before this part
			before = s.CPUNS
		}
		first = false
		r.ticks = append(r.ticks, weighed{i, max(s.CPUNS-before, 1)})
		before = s.CPUNS
	}
	return out
}

// describe enters what the probes said into the evidence of a block. Of a part of a period
// they say nothing.
func (p *period) describe(d *model.Detail) {
	in := p.account
	if in == nil || !p.whole {
		return
	}
	if in.GCs > 0 {
		d.GC = &model.GC{Count: in.GCs, NS: in.GCNS, MaxNS: in.GCMaxNS, Generation: in.GCGeneration, Collected: in.GCCollected}
	}
	if in.Imports > 0 {
		d.Import = &model.Import{Count: in.Imports, NS: in.ImportNS, MaxNS: in.ImportMaxNS, Module: in.Module}
	}
	d.Audit = slices.Clone(in.Audits)
	if in.AuditsMore > 0 {
		d.Audit = append(d.Audit, model.AuditEvent{Event: "other", Count: in.AuditsMore})
	}
}
