// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"slices"
	"time"
)

// Exactness is how exactly two observers of the same moment agree, in ns.
const Exactness = int64(500 * time.Microsecond)

// Witness knows, independently of loopwatch, when threads were outside their waits.
type Witness interface {
	// Saw reports whether an active period of a thread, or its last one, went from start to end.
	Saw(tid int, start, end int64) bool
	// Nearest returns the active period of the thread that has most of that time, and false where none has any.
	Nearest(tid int, start, end int64) (Span, bool)
	// Within returns the longest active period of the thread that lies in that time, and false where none does.
	Within(tid int, start, end int64) (Span, bool)
}

// Span is an active period of a thread, in CLOCK_MONOTONIC ns.
type Span struct {
	TID     int   `json:"tid"`
	StartNS int64 `json:"start_ns"`
	EndNS   int64 `json:"end_ns"`
}

// Seen is a Witness that remembers what another one has seen.
type Seen []Span

// Saw looks for the span.
func (s Seen) Saw(tid int, start, end int64) bool {
	return slices.ContainsFunc(s, func(x Span) bool {
		return x.TID == tid && near(x.StartNS, start) && near(x.EndNS, end)
	})
}

// Nearest returns the span that has most of the time.
func (s Seen) Nearest(tid int, start, end int64) (nearest Span, ok bool) {
	most := int64(0)
	for _, x := range s {
		if ns := Overlap(x.StartNS, x.EndNS, start, end); x.TID == tid && ns > most {
			nearest, most, ok = x, ns, true
		}
	}
	return nearest, ok
}

// Within looks for spans that lie in that time, as exactly as two observers agree.
func (s Seen) Within(tid int, start, end int64) (longest Span, ok bool) {
	for _, x := range s {
		if x.TID == tid && x.StartNS >= start && x.EndNS <= end+Exactness && (!ok || x.EndNS-x.StartNS > longest.EndNS-longest.StartNS) {
			longest, ok = x, true
		}
	}
	return longest, ok
}

func near(a, b int64) bool { return max(a, b)-min(a, b) <= Exactness }
