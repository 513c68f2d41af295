// SPDX-License-Identifier: Apache-2.0

package block

import "github.com/loopwatch/loopwatch/internal/abi"

// late returns how late the wait before the period returned, as far as blocks go.
func (e *Evidence) late() Late {
	if e.Late.NS < e.ThresholdNS/abi.LatePart {
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
	parts[0].addLate(late)
	return parts
}

// addLate puts time inside the wait before a period.
func (p *period) addLate(late Late) {
	late.StoppedNS = min(max(late.StoppedNS, 0), late.NS)
	late.ThrottledNS = min(max(late.ThrottledNS, 0), late.NS-late.StoppedNS)
	p.late = late
	p.start -= late.NS
	p.offNS += late.NS
	p.stoppedNS += late.StoppedNS
	p.waitedNS += late.NS - late.StoppedNS
	p.throttledNS += late.ThrottledNS
}

// withoutLate returns the period as it was before addLate.
func (p *period) withoutLate() period {
	out, late := *p, p.late
	out.late = Late{}
	out.start += late.NS
	out.offNS -= late.NS
	out.stoppedNS -= late.StoppedNS
	out.waitedNS -= late.NS - late.StoppedNS
	out.throttledNS -= late.ThrottledNS
	return out
}

// mostlyLate reports whether the loop was in its wait for most of the period: what its stacks show came after that.
func (p *period) mostlyLate() bool { return 2*p.late.NS >= p.length() }
