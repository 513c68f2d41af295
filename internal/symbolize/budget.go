// SPDX-License-Identifier: Apache-2.0

package symbolize

import "time"

// A process decides how much there is to read for the names of its frames: line tables of 4 MiB, other code at each stack. It
// must not keep the others waiting for theirs.
const (
	budgetSaved     = 16 << 20 // bytes that may be spent at once
	budgetPerSecond = 4 << 20
	budgetPause     = time.Second // without unknown code, once there was too little

	// What a search for the map of a template costs: for the map, and for each frame or thread looked at.
	templateCost = 256 << 10
	frameCost    = 256
)

// budget is what the names of one process may still cost, in bytes that are read or decoded.
type budget struct {
	left   int
	at     time.Time
	paused time.Time // until then
}

// has reports whether n bytes may be spent; if not, it pauses.
func (b *budget) has(n int, now time.Time) bool {
	if now.Before(b.paused) || b.room(now) < n {
		b.pause(now)
		return false
	}
	return true
}

// room returns how many bytes may be spent now, 0 while it pauses.
func (b *budget) room(now time.Time) int {
	if now.Before(b.paused) {
		return 0
	}
	if b.at.IsZero() {
		b.left = budgetSaved
	}
	if passed := now.Sub(b.at); passed > 0 || b.at.IsZero() {
		b.left = int(min(float64(b.left)+min(passed.Seconds(), 60)*budgetPerSecond, budgetSaved))
		b.at = now
	}
	return max(b.left, 0)
}

func (b *budget) pause(now time.Time) {
	if !now.Before(b.paused) {
		b.paused = now.Add(budgetPause)
	}
}

// spend takes n bytes, which may be more than there are: what came of them is known only afterwards.
func (b *budget) spend(n int) { b.left -= n }
