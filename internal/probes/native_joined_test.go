// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// An iteration in which the loop is held back, and the next one, which goes on with it.
func TestNativeIterationsJoined(t *testing.T) {
	const ms = int64(1_000_000)
	n := newNative(t, false)
	begin := "threshold 100000000\n" + loopThread(true, 1_000_000_000, 3)
	again := fmt.Sprintf(" now 1561000000 wait %d return 0 ", loopFD)
	block := func(late wire.Late) []wire.Event {
		return []wire.Event{&wire.Block{PID: loopPID, TID: loopTID, Period: 5, Start: 1_561_000_000, End: 1_622_000_000,
			OffNS: 60 * ms, WaitedNS: 60 * ms, Late: late}}
	}
	for name, test := range map[string]struct {
		first, between string
		held           string // in the second iteration
		want           []wire.Event
	}{
		"late": {"now 1500000000 woken now 1560000000 return 1", again, "off 60000000 60000000 0", block(wire.Late{NS: 61 * ms, RanNS: ms})},
		"held back in the first": {"now 1510000000 return 1 off 50000000 40000000 0", again, "off 60000000 60000000 0",
			block(wire.Late{NS: 51 * ms, RanNS: ms, AsleepNS: 10 * ms})},
		"stopped": {"now 1510000000 return 1 off 50000000 10000000 40000000", again, "off 60000000 60000000 0",
			block(wire.Late{NS: 51 * ms, RanNS: ms, StoppedNS: 40 * ms})},
		"a timer": {"asleep now 1500000000 woken now 1560000000 return 0", again, "off 60000000 60000000 0", block(wire.Late{NS: 61 * ms, RanNS: ms})},
		"late between": {"now 1510000000 woken now 1530000000 return 1",
			fmt.Sprintf(" now 1531000000 wait %d preempted now 1561000000 return 0 ", loopFD), "off 60000000 60000000 0", block(wire.Late{NS: 51 * ms, RanNS: ms})},
		"nothing came":            {"now 1500000000 woken now 1560000000 return 0", again, "off 60000000 60000000 0", nil},
		"the first ran":           {"now 1500000000 return 1", again, "off 60000000 60000000 0", nil},
		"the second ran":          {"now 1500000000 woken now 1560000000 return 1", again, "off 30000000 30000000 0", nil},
		"too short":               {"now 1530000000 woken now 1560000000 return 1", again, "off 60000000 60000000 0", nil},
		"a moment before":         {"now 1555000000 woken now 1560000000 return 1", again, "off 60000000 60000000 0", nil},
		"a rest between":          {"now 1500000000 woken now 1560000000 return 1", fmt.Sprintf(" now 1560500000 wait %d asleep now 1561000000 woken return 1 ", loopFD), "off 60000000 60000000 0", nil},
		"a return missed between": {"now 1500000000 woken now 1560000000 return 1", fmt.Sprintf(" now 1560500000 wait %d", loopFD) + again, "off 60000000 60000000 0", nil},
	} {
		t.Run(name, func(t *testing.T) {
			lines := n.run(t, begin+test.first+test.between+test.held+fmt.Sprintf(" now 1622000000 wait %d\n", loopFD))
			assert.Equal(t, test.want, events(t, lines))
		})
	}
	held := "off 60000000 60000000 0"
	blocks := func(script string) []wire.Event {
		lines := n.run(t, begin+script+"\n")
		return slices.DeleteFunc(events(t, lines), func(e wire.Event) bool { _, block := e.(*wire.Block); return !block })
	}
	third := fmt.Sprintf(" now 1622000000 wait %d return 0 %s now 1683000000 wait %[1]d", loopFD, held)
	assert.Len(t, blocks("now 1500000000 woken now 1560000000 return 1"+again+held+third), 1, "a third iteration is none of the two")
	assert.Len(t, blocks("now 1450000000 woken now 1560000000 return 1"+again+held+third), 1, "the first alone is a block")
	assert.Empty(t, blocks("now 1500000000 return 0"+again+held+third), "the loop goes round and round with nothing to do")
}

func TestBefore(t *testing.T) {
	joined := wire.Late{NS: 70, RanNS: 5}
	for name, test := range map[string]struct {
		thread Thread
		want   wire.Late
	}{
		"not joined":       {Thread{Since: 900, Late: wire.Late{NS: 50}}, wire.Late{NS: 50}},
		"held back":        {Thread{Since: 900, WaitedNS: 50, Joined: joined}, joined},
		"stopped":          {Thread{Since: 900, StoppedNS: 50, Joined: joined}, joined},
		"late":             {Thread{Since: 900, Late: wire.Late{NS: 100}, Joined: joined}, joined},
		"without a CPU":    {Thread{Since: 900, OffAt: 950, Joined: joined}, joined},
		"asleep":           {Thread{Since: 900, OffAt: 950, Asleep: true, Joined: joined}, wire.Late{}},
		"stopped just now": {Thread{Since: 900, OffAt: 950, Asleep: true, Stopped: true, Joined: joined}, joined},
		"runs":             {Thread{Since: 900, WaitedNS: 49, Joined: joined}, wire.Late{}},
		"in the wait":      {Thread{InWait: true, LateFrom: 400, Joined: joined}, wire.Late{NS: 600}},
	} {
		assert.Equal(t, test.want, test.thread.Before(1000), name)
	}
}
