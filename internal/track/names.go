// SPDX-License-Identifier: Apache-2.0

package track

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/symbolize"
)

// name names the stack of a sample, once: the sooner the better. A frame without a file stands
// for a middle that was cut.
func (t *thread) name(s *wire.Sample, raw []cpython.RawFrame) naming {
	if g := t.glimpseOf(s.Period, s.At); g != nil && slices.Equal(raw, g.raw) {
		return g.named
	}
	if t.inNamed != s.Period || t.named == nil {
		t.inNamed, t.named, t.holders = s.Period, make(map[int64]naming), nil
	}
	if known, ok := t.named[s.At]; ok && len(known.frames) == len(raw)+min(s.Stack.Cut, 1) {
		return known
	}
	frames := t.proc.Names.Frames(raw)
	if s.Stack.Cut > 0 && s.Stack.CutAt <= len(frames) {
		frames = slices.Insert(frames, s.Stack.CutAt, symbolize.CutMarker(s.Stack.Cut))
	}
	n := naming{frames: frames, task: t.taskName(s, frames)}
	if len(t.named) < maxPending {
		t.named[s.At] = n
	}
	return n
}
