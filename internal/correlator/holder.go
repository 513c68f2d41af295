// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/symbolize"
)

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

// meetReleaser has a process that shares a lock with a loop looked at, so that its stack can be
// walked the next time.
func (c *Correlator) meetReleaser(h *probes.Holder) {
	if h != nil && h.PID != 0 && len(c.opts.PIDs) == 0 {
		c.process(h.PID)
	}
}

// holder names the holder of a sample, once: the sooner the better.
func (c *Correlator) holder(t *thread, s *probes.Sample) *model.Holder {
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
		out.TID, out.Thread = t.proc.threads.named(h.ThreadID)
	}
	owner := t.proc
	if h.PID != 0 {
		owner = c.procs[h.PID]
	}
	if owner != nil {
		out.Frames = owner.Names.Frames(rawFrames(&h.Stack))
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
