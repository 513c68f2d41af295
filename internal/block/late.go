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
	late.RanNS = min(max(late.RanNS, 0), late.NS)
	late.AsleepNS = min(max(late.AsleepNS, 0), late.NS-late.RanNS)
	late.StoppedNS = min(max(late.StoppedNS, 0), late.NS-late.RanNS-late.AsleepNS)
	late.ThrottledNS = min(max(late.ThrottledNS, 0), late.waitedNS())
	p.late = late
	p.start -= late.NS
	p.offNS += late.NS - late.RanNS
	p.stoppedNS += late.StoppedNS
	p.waitedNS += late.waitedNS()
	p.throttledNS += late.ThrottledNS
}

// waitedNS is for how long of it the thread could have run and had no CPU.
func (l *Late) waitedNS() int64 { return l.NS - l.RanNS - l.AsleepNS - l.StoppedNS }

// withoutLate returns the period as it was before addLate.
func (p *period) withoutLate() period {
	out, late := *p, p.late
	out.late = Late{}
	out.start += late.NS
	out.offNS -= late.NS - late.RanNS
	out.stoppedNS -= late.StoppedNS
	out.waitedNS -= late.waitedNS()
	out.throttledNS -= late.ThrottledNS
	return out
}

// mostlyLate reports whether most of the period lies before the return of the wait: what its stacks show came after that.
func (p *period) mostlyLate() bool { return 2*p.late.NS >= p.length() }
