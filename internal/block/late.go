// SPDX-License-Identifier: Apache-2.0

package block

// latePart is the part of the threshold from which on a late return of the wait belongs to the block behind it: LATE_PART
// in bpf/loop/late.h. Every wake-up takes some microseconds, more on a busy host.
const latePart = 10

// late returns how late the wait before the period returned, as far as blocks go.
func (e *Evidence) late() Late {
	if e.Late.NS < e.ThresholdNS/latePart {
		return Late{}
	}
	return e.Late
}

// joinLate adds the late return of the wait to the part that followed it without a rest; where none did, it is a part of
// its own.
func (p *period) joinLate(parts []period, late Late) []period {
	if late.NS <= 0 {
		return parts
	}
	if len(parts) == 0 || parts[0].start != p.start {
		parts = append([]period{{start: p.start, end: p.start}}, parts...)
	}
	first := &parts[0]
	stopped := min(max(late.StoppedNS, 0), late.NS)
	first.start -= late.NS
	first.lateNS = late.NS
	first.offNS += late.NS
	first.stoppedNS += stopped
	first.waitedNS += late.NS - stopped
	first.throttledNS += min(max(late.ThrottledNS, 0), late.NS-stopped)
	return parts
}

// mostlyLate tells whether the loop was in its wait for most of the period: what its stacks show came after that.
func (p *period) mostlyLate() bool { return 2*p.lateNS >= p.length() }
