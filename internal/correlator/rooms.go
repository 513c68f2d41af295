// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
)

// room is a part of a period whose time is known apart: what the probes saw begin and end, or all
// the rest. Waiting for a CPU and being stopped are in none: neither a line nor a
// collection is to blame for that.
type room struct {
	sleepNS, cpuNS  int64
	asleep, running model.Cause // where no stack was taken there
	off, ticks      []weighed
}

// rooms divides the time off and on the CPU, and the pieces seen in it.
func (p *period) rooms(sleepNS, cpuNS int64) []room {
	rest := room{asleep: model.CauseUnknown, running: model.CauseCPU}
	out := []room{rest}
	at := map[probes.Room]int{} // else the first
	if p.inside != nil && p.whole {
		for _, r := range []probes.Room{probes.RoomGC, probes.RoomImport} {
			spent, ok := p.inside.Rooms[r]
			if !ok {
				continue
			}
			slept := min(max(spent.OffNS-spent.KeptNS, 0), sleepNS)
			ran := min(max(spent.NS-spent.OffNS, 0), cpuNS)
			sleepNS, cpuNS = sleepNS-slept, cpuNS-ran
			at[r] = len(out)
			is := phaseOf(r).Cause()
			out = append(out, room{sleepNS: slept, cpuNS: ran, asleep: is, running: is})
		}
	}
	out[0].sleepNS, out[0].cpuNS = sleepNS, cpuNS

	before, first := int64(0), true
	for i := range p.pieces {
		s := p.pieces[i].sample
		if p.pieces[i].stopped() {
			continue
		}
		r := &out[at[s.Room]]
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

// onInside keeps what the interpreter's own probes said, for the block that comes next.
func (c *Correlator) onInside(e *probes.Inside) {
	if t := c.threads[e.TID]; t != nil {
		t.inside = e
	}
}

func (t *thread) takeInside(period uint64) *probes.Inside {
	in := t.inside
	t.inside = nil
	if in == nil || in.Period != period {
		return nil
	}
	return in
}

// describeInside enters what the probes said into the evidence of a block. Of a part of a period
// they say nothing.
func (p *period) describeInside(d *model.Detail) {
	in := p.inside
	if in == nil || !p.whole {
		return
	}
	if in.GCs > 0 {
		d.GC = &model.GC{Count: in.GCs, NS: in.GCNS, MaxNS: in.GCMaxNS, Generation: in.GCGeneration, Collected: in.GCCollected}
	}
	if in.Imports > 0 {
		d.Import = &model.Import{Count: in.Imports, NS: in.ImportNS, MaxNS: in.ImportMaxNS, Module: in.Module}
	}
	for _, a := range in.Audits {
		d.Audit = append(d.Audit, model.AuditEvent{Event: a.Name, Count: a.Count})
	}
	if in.AuditsMore > 0 {
		d.Audit = append(d.Audit, model.AuditEvent{Event: "other", Count: in.AuditsMore})
	}
}
