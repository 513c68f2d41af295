// SPDX-License-Identifier: Apache-2.0

package object

import (
	"math"
	"sync"
)

// Hints remembers at which place of a dict a key was found last: modules fill theirs in the same order
// in every process, and programs of one kind import the same. The zero value is ready for use, by several goroutines.
type Hints struct {
	mu sync.Mutex
	m  map[hintKey]uint64
}

// hintKey names what was looked for in a dict.
type hintKey struct {
	minor int
	key   string // one of the few that loopwatch knows
}

const maxHints = 1024

func (h *Hints) get(k hintKey) uint64 {
	if h == nil {
		return math.MaxUint64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if n, ok := h.m[k]; ok {
		return n
	}
	return math.MaxUint64
}

func (h *Hints) put(k hintKey, n uint64) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.m == nil || len(h.m) >= maxHints {
		h.m = make(map[hintKey]uint64)
	}
	h.m[k] = n
}
