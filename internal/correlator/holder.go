// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/symbolize"
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

// firstInterp returns the address of the newest interpreter of the process, nearly always the
// only one, 0 where it cannot be read.
func (p *proc) firstInterp() uint64 {
	addr, err := readPointer(p.memory, p.runtime.Addr+uint64(p.runtime.Layout.RuntimeInterpreters))
	if err != nil {
		return 0
	}
	return addr
}

// isGIL tells whether a futex belongs to the GIL of the thread's interpreter.
func (t *thread) isGIL(address uint64) bool {
	return t.interp.GIL != 0 && address-t.interp.GIL < uint64(t.proc.runtime.Layout.GILSize)
}

// gilDuring says whether the loop's thread held the GIL for most of what its block is made of,
// where that is known. It decides whether a thread would help, or only another process.
func gilDuring(pieces []piece, cause model.Cause) model.GIL {
	if !cause.BlamesLine() || cause == model.CauseUnknown {
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
		return model.GILHeld
	case released > held:
		return model.GILReleased
	}
	return ""
}

// threadTable knows the threads of a process by their thread pointers.
type threadTable struct {
	tids   map[uint64]int
	listed time.Time
	missed int64 // looked for and not found
}

// relistAfter is how soon the threads of a process are listed again for want of one of them.
const relistAfter = 10 * time.Millisecond

// tid finds the thread with this thread pointer, or that pthread_self calls so.
func (t *threadTable) tid(pointer uint64) (int, bool) {
	if tid, ok := t.tids[pointer]; ok {
		return tid, true
	}
	for known, tid := range t.tids {
		if cpython.IsThread(known, pointer) {
			return tid, true
		}
	}
	return 0, false
}

// thread returns the id and the name of the thread with this thread pointer, 0 where there is
// none any more.
func (p *proc) thread(pointer uint64) (tid int, name string) {
	t := &p.threads
	if pointer == 0 {
		return 0, ""
	}
	for range 2 {
		if tid, ok := t.tid(pointer); ok { // the pointer may be that of another thread by now
			if name, err := p.process.ThreadName(tid); err == nil {
				return tid, name
			}
		}
		if p.kernel == nil || time.Since(t.listed) < relistAfter {
			break
		}
		tids, err := p.kernel.ThreadPointers(p.process.PID)
		if err != nil {
			break
		}
		t.tids, t.listed = tids, time.Now()
	}
	t.missed++
	return 0, ""
}

// meetReleaser has a process that shares a lock with a loop looked at, so that its stack can be
// walked the next time.
func (c *Correlator) meetReleaser(h *probes.Holder) {
	if h != nil && h.PID != 0 && len(c.opts.PIDs) == 0 {
		c.process(h.PID)
	}
}

// holder names the holder of a sample, once: the sooner the better.
func (t *thread) holder(s *probes.Sample) *model.Holder {
	h := s.Holder
	if h == nil {
		return nil
	}
	if t.inNamed == s.Period {
		if known := t.holders[s.At]; known != nil {
			return known
		}
	}
	out := &model.Holder{PID: h.PID, TID: h.TID, Thread: h.Comm}
	if h.TID == 0 {
		out.TID, out.Thread = t.proc.thread(h.ThreadID)
	}
	owner := t.proc
	if h.PID != 0 {
		owner = t.proc.peers[h.PID]
	}
	if owner != nil {
		out.Frames = owner.resolver.Frames(rawFrames(&h.Stack))
	}
	if h.Stack.Cut > 0 && h.Stack.CutAt <= len(out.Frames) {
		out.Frames = slices.Insert(out.Frames, h.Stack.CutAt, symbolize.CutMarker(h.Stack.Cut))
	}
	if t.inNamed == s.Period && len(t.holders) < maxPending {
		if t.holders == nil {
			t.holders = make(map[int64]*model.Holder)
		}
		t.holders[s.At] = out
	}
	return out
}

// mainHolder returns the thread and function that held what a loop waited for longest, nil
// where that is not known of most of the wait.
func mainHolder(pieces []piece, cause model.Cause, culprit *model.Frame) *model.Holder {
	if cause != model.CauseGIL && cause != model.CauseLock {
		return nil
	}
	type place struct {
		thread         uint64
		pid, tid       int
		function, file string
	}
	sums, heaviest := make(map[place]int64), make(map[place]*piece)
	var unknown int64
	var top place
	for i := range pieces {
		p := &pieces[i]
		if p.cause != cause || cause == model.CauseLock && !sameFunction(p.culprit, culprit) {
			continue
		}
		if p.holder == nil {
			unknown += p.ns
			continue
		}
		at := place{thread: p.sample.Holder.ThreadID, pid: p.holder.PID}
		if at.thread == 0 {
			at.tid = p.holder.TID
		}
		if f := standsFor(p.holder.Frames); f != nil {
			at.function, at.file = f.Function, f.File
		}
		sums[at] += p.ns
		if best := heaviest[at]; best == nil || p.ns > best.ns || best.holder.TID == 0 && p.holder.TID != 0 {
			heaviest[at] = p
		}
		if sums[at] > sums[top] {
			top = at
		}
	}
	if sums[top] == 0 || sums[top] < unknown {
		return nil
	}
	return heaviest[top].holder
}

func sameFunction(a, b *model.Frame) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Function == b.Function && a.File == b.File
}

// standsFor returns the frame that names what a thread does: the culprit of a loop's stack.
func standsFor(frames []model.Frame) *model.Frame {
	if culprit, _ := eventloop.Culprit(frames); culprit != nil {
		return culprit
	}
	if len(frames) > 0 {
		return &frames[0]
	}
	return nil
}

func readPointer(m process.Memory, addr uint64) (uint64, error) {
	var b [8]byte
	err := m.Read(addr, b[:])
	return binary.NativeEndian.Uint64(b[:]), err
}
