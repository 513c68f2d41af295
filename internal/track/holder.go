// SPDX-License-Identifier: Apache-2.0

package track

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/symbolize"
)

// meetReleaser has a process that shares a lock with a loop looked at, so that its stack can be
// walked the next time.
func (c *Tracker) meetReleaser(h *wire.Holder) {
	if h != nil && h.PID != 0 && len(c.opts.PIDs) == 0 {
		_, _ = c.process(h.PID)
	}
}

// holder names the holder of a sample, once: the sooner the better.
func (c *Tracker) holder(t *thread, s *wire.Sample) *model.Holder {
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
		out.TID, out.Thread = t.proc.threads.Find(h.ThreadID)
	}
	owner := t.proc
	if h.PID != 0 {
		owner = c.procs[h.PID]
	}
	if owner != nil {
		out.Frames = owner.Names.Frames(python.RawFrames(&h.Stack))
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
