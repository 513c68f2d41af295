// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"encoding/binary"

	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/report"
)

// interp finds what the kernel reads of an interpreter of the process, given its address.
func (p *proc) interp(addr uint64) probes.Interp {
	l := &p.runtime.Layout
	var out probes.Interp
	if l.RuntimeGIL != 0 {
		out.GIL = p.runtime.Addr + uint64(l.RuntimeGIL)
	}
	if l.RuntimeGCCollecting != 0 {
		out.Collecting = p.runtime.Addr + uint64(l.RuntimeGCCollecting)
	}
	if addr == 0 {
		return out
	}
	out.Threads = addr + uint64(l.InterpThreads)
	if l.InterpGCCollecting != 0 {
		out.Collecting = addr + uint64(l.InterpGCCollecting)
	}
	if l.InterpGIL != 0 {
		// 0 where it cannot be read: then no futex is known to be the GIL's.
		out.GIL, _ = readPointer(p.memory, addr+uint64(l.InterpGIL))
	}
	return out
}

// isGIL tells whether a futex belongs to the GIL of the thread's interpreter.
func (t *thread) isGIL(address uint64) bool {
	return t.interp.GIL != 0 && address-t.interp.GIL < uint64(t.proc.runtime.Layout.GILSize)
}

// gilDuring says whether the loop's thread held the GIL for most of what its block is made of,
// where that is known. It decides whether a thread would help, or only another process.
func gilDuring(pieces []piece, cause report.Cause) report.GIL {
	if nobodysLine(cause) || cause == report.CauseUnknown {
		return ""
	}
	var held, released int64
	for i := range pieces {
		p := &pieces[i]
		if p.cause != cause {
			continue
		}
		switch p.sample.GIL {
		case probes.GILHeld:
			held += p.ns
		case probes.GILReleased:
			released += p.ns
		}
	}
	switch {
	case held > released:
		return report.GILHeld
	case released > held:
		return report.GILReleased
	}
	return ""
}

func readPointer(m process.Memory, addr uint64) (uint64, error) {
	var b [8]byte
	err := m.Read(addr, b[:])
	return binary.NativeEndian.Uint64(b[:]), err
}
