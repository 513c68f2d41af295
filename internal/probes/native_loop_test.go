// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/histogram"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// The thread of these tests waits on loopFD; otherFD is one that a callback waits on.
const (
	loopFD  = 5
	otherFD = 6
	loopTID = 70
	loopPID = 7
)

func loopThread(inWait bool, since, period int64) string {
	return threadWith(inWait, since, period, func(*abi.Thread) {})
}

// threadWith is loopThread with what set changes.
func threadWith(inWait bool, since, period int64, set func(*abi.Thread)) string {
	k := abi.Thread{
		Tgid: loopPID, Since: uint64(since), RestedAt: uint64(since), Period: uint64(period), RestedPeriod: uint64(period), WaitFd: abi.NoFd, InterruptedFd: abi.NoFd, Generation: abi.InitialGeneration,
		Config: abi.ThreadConfig{
			Tid: loopTID, Slot: 0, Verdict: abi.VerdictLoop, Fds: [4]int32{loopFD, otherFD, abi.NoFd, abi.NoFd},
			FdVerdicts: [4]uint8{abi.VerdictLoop, abi.VerdictIgnored},
		},
	}
	if inWait {
		k.InWait, k.WaitFd = 1, loopFD
	}
	set(&k)
	return "thread " + hexOf(&k) + "\n"
}

// events decodes the records among the lines.
func events(t *testing.T, lines [][]string) (out []wire.Event) {
	t.Helper()
	for _, line := range lines {
		if line[0] == "record" {
			e, err := new(wire.Decoder).Decode(unhex(t, line, "record"))
			require.NoError(t, err)
			out = append(out, e)
		}
	}
	return out
}

func TestNativePeriods(t *testing.T) {
	n := newNative(t, false)
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		const threshold = 20_000_000
		now := int64(1_000_000_000)
		var script strings.Builder
		fmt.Fprintf(&script, "threshold %d\n%s", threshold, loopThread(true, now, 3))
		var want Statistics
		var blocks []wire.Event
		bounds := lowerBounds()
		period := uint64(3)
		rested, unrested := now, 0 // since when, and for how many periods, it has not rested
		for range 200 {
			waits := now
			now += r.Int64N(1 << (5 + r.IntN(25)))
			if r.IntN(10) == 0 { // the return of a wait is missed
				fmt.Fprintf(&script, "asleep now %d wait %d\n", now, loopFD)
				waits = now
				rested, unrested = now, 0
				now += r.Int64N(1000)
			}
			if r.IntN(3) == 0 {
				fmt.Fprintf(&script, "asleep now %d return 1\n", now)
				want.IdleNS += now - waits
				if ns := waits - rested; ns >= threshold && unrested > 1 {
					want.UnrestedNS += ns
					want.UnrestedMaxNS = max(want.UnrestedMaxNS, ns)
				}
				rested, unrested = now, 0
			} else { // it looks, and goes on
				fmt.Fprintf(&script, "now %d return 1\n", now)
				want.ActiveNS += now - waits
			}
			unrested++
			period++
			start := now
			now += r.Int64N(1 << (5 + r.IntN(22)))
			if r.IntN(5) == 0 { // inside a callback: no rest
				fmt.Fprintf(&script, "now %d wait %d return 0\n", now, otherFD)
			}
			now += r.Int64N(1 << (5 + r.IntN(22)))
			fmt.Fprintf(&script, "now %d wait %d\n", now, loopFD)
			ns := now - start
			want.Iterations++
			want.ActiveNS += ns
			want.MaxNS = max(want.MaxNS, ns)
			at, exact := slices.BinarySearch(bounds, ns)
			if !exact {
				at--
			}
			want.Histogram[at]++
			if ns >= threshold {
				want.Blocks++
				blocks = append(blocks, &wire.Block{PID: loopPID, TID: loopTID, Period: period, Start: start, End: now})
			}
		}
		lines := n.run(t, script.String()+"statistics 0\n")
		raw := unhex(t, lines[len(lines)-1], "statistics")
		assert.Equal(t, &want, statisticsOf((*abi.LoopStatistics)(unsafe.Pointer(&raw[0]))))
		require.NotEmpty(t, blocks)
		got := slices.DeleteFunc(events(t, lines), func(e wire.Event) bool { _, block := e.(*wire.Block); return !block })
		assert.Equal(t, blocks, got)
	}
}

// A wait that returns some time after the thread was woken in it, or after its timer was due in a stop.
func TestNativeLateReturns(t *testing.T) {
	n := newNative(t, false)
	const threshold = 100_000_000
	begin := fmt.Sprintf("threshold %d\n%s", threshold, loopThread(true, 1_000_000_000, 3))
	for name, test := range map[string]struct {
		script string
		late   wire.Late
		blocks int
	}{
		"at once":  {"now 1500000000 woken return 1", wire.Late{}, 0},
		"a moment": {"now 1500000000 woken now 1500000900 return 1", wire.Late{NS: 900}, 0},
		"late":     {"now 1500000000 woken now 1700000000 return 1", wire.Late{NS: 200_000_000}, 1},
		"joined":   {"now 1500000000 woken now 1591000000 return 1", wire.Late{NS: 91_000_000}, 1},
		"woken twice": {"now 1500000000 woken now 1600000000 woken now 1700000000 return 1",
			wire.Late{NS: 200_000_000}, 1},
		"ran on its way out": {"now 1500000000 woken now 1620000000 running now 1700000000 return 1",
			wire.Late{NS: 120_000_000}, 1},
		"late, then stopped": {"now 1200000000 woken now 1300000000 running now 1400000000 stopped 0 now 1600000000 woken now 1700000000 return 1",
			wire.Late{NS: 400_000_000, StoppedNS: 200_000_000}, 1},
		"stopped past its timer": {"now 1100000000 stopped 1200000000 now 1500000000 woken now 1600000000 return 0",
			wire.Late{NS: 400_000_000, StoppedNS: 300_000_000}, 1},
		"stopped after its timer": {"now 1300000000 stopped 1200000000 now 1500000000 woken return 0",
			wire.Late{NS: 200_000_000, StoppedNS: 200_000_000}, 1},
		"stopped for nobody": {"now 1100000000 stopped 0 now 1500000000 woken now 1500001000 return 0", wire.Late{NS: 1000}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			lines := n.run(t, begin+test.script+fmt.Sprintf("\nnow 1710000000 wait %d return 1 statistics 0\n", loopFD))
			raw := unhex(t, lines[len(lines)-1], "statistics")
			s := statisticsOf((*abi.LoopStatistics)(unsafe.Pointer(&raw[0])))
			assert.Equal(t, test.late.NS, s.LateNS)
			assert.LessOrEqual(t, s.LateNS, s.IdleNS+s.ActiveNS)
			var blocks []*wire.Block
			for _, e := range events(t, lines) {
				if b, ok := e.(*wire.Block); ok {
					blocks = append(blocks, b)
				}
			}
			// The period after it has 10 ms or more; without the late return it is no block.
			if test.blocks == 0 {
				blocks = slices.DeleteFunc(blocks, func(b *wire.Block) bool { return b.End-b.Start >= threshold })
			}
			require.Len(t, blocks, test.blocks)
			for _, b := range blocks {
				assert.Equal(t, test.late, b.Late)
			}
		})
	}
}

// A wait that found something at once, after a stop had interrupted the one before: the period goes on.
func TestNativePeriodGoesOn(t *testing.T) {
	n := newNative(t, false)
	k := threadWith(false, 1_000_000_000, 3, func(k *abi.Thread) { k.Again = 1 })
	begin := fmt.Sprintf("threshold 100000000\n%snow 1500000000 wait %d ", k, loopFD)
	for name, test := range map[string]struct {
		script                 string
		off, waited, stoppedNS int64
	}{
		"at once":   {"now 1500001000", 0, 0, 0},
		"preempted": {"now 1510000000 preempted now 1610000000", 100_000_000, 100_000_000, 0},
		"ran meanwhile": {"now 1510000000 preempted now 1540000000 running now 1600000000 preempted now 1620000000 running now 1690000000",
			50_000_000, 50_000_000, 0},
		"stopped": {"now 1510000000 preempted now 1530000000 running now 1550000000 stopped 0 now 1650000000 woken now 1690000000",
			160_000_000, 60_000_000, 100_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			lines := n.run(t, begin+test.script+fmt.Sprintf(" return 1 now 1800000000 wait %d\n", loopFD))
			assert.Equal(t, []wire.Event{&wire.Block{PID: loopPID, TID: loopTID, Period: 3, Start: 1_000_000_000, End: 1_800_000_000,
				OffNS: test.off, WaitedNS: test.waited, StoppedNS: test.stoppedNS}}, events(t, lines))
		})
	}
}

// A thread that sleeps waits for no CPU before it is woken, whatever the scheduler has counted.
func TestNativeSleepIsNoRunQueue(t *testing.T) {
	n := newNative(t, false)
	begin := "threshold 100000000\n" + loopThread(false, 1_000_000_000, 3)
	for name, test := range map[string]struct {
		script   string
		waitedNS int64
	}{
		"at once":              {"now 1250000000 woken back", 0},
		"waits":                {"now 1240000000 woken now 1250000000 back", 10_000_000},
		"moved asleep":         {"now 1060000000 queued now 1240000000 woken now 1250000000 back", 10_000_000},
		"moved, woken at once": {"now 1060000000 queued now 1250000000 woken back", 0},
		"waking unseen":        {"now 1240000000 queued now 1250000000 back", 10_000_000},
		"twice": {"now 1060000000 queued now 1100000000 woken now 1110000000 back now 1120000000 leave now 1240000000 queued now 1250000000 back",
			20_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			lines := n.run(t, begin+"now 1050000000 leave "+test.script+fmt.Sprintf(" now 1300000000 wait %d\n", loopFD))
			for _, e := range events(t, lines) {
				if b, ok := e.(*wire.Block); ok {
					assert.Equal(t, test.waitedNS, b.WaitedNS)
					return
				}
			}
			t.Error("no block")
		})
	}
}

func TestLateNow(t *testing.T) {
	for name, test := range map[string]struct {
		thread Thread
		want   wire.Late
	}{
		"at rest":             {Thread{InWait: true}, wire.Late{}},
		"to be woken":         {Thread{InWait: true, LateFrom: 2000}, wire.Late{}},
		"woken":               {Thread{InWait: true, LateFrom: 400}, wire.Late{NS: 600}},
		"stopped, then woken": {Thread{InWait: true, LateFrom: 400, LateStoppedNS: 100}, wire.Late{NS: 600, StoppedNS: 100}},
		"stopped":             {Thread{InWait: true, LateFrom: 400, LateStoppedNS: 100, StoppedAt: 800}, wire.Late{NS: 600, StoppedNS: 300}},
		"stopped before":      {Thread{InWait: true, LateFrom: 400, StoppedAt: 100}, wire.Late{NS: 600, StoppedNS: 600}},
		"gone on":             {Thread{Late: wire.Late{NS: 50}, LateFrom: 400}, wire.Late{NS: 50}},
	} {
		assert.Equal(t, test.want, test.thread.LateNow(1000), name)
	}
}

// TestNativeLag: the lag of an event is the time from its readiness to the return of the wait that reports it. A script has items that
// become ready, waits, and returns.
func TestNativeLag(t *testing.T) {
	n := newNative(t, false)
	begin := "threshold 100000000\n" + loopThread(true, 1_000_000_000, 3)
	const ms = 1_000_000
	wait := fmt.Sprintf(" wait %d ", loopFD)
	timed := func(ms int) string { return fmt.Sprintf(" timed %d %d ", loopFD, ms) }
	for name, test := range map[string]struct {
		script string
		lags   []int64 // ms
	}{
		"in the wait":            {"now 1010000000 ready 1 now 1012000000 return 1", []int64{2}},
		"while it is active":     {"return 1 now 1010000000 ready 1 now 1060000000" + wait + "return 1", []int64{50}},
		"several":                {"return 1 now 1010000000 ready 1 now 1020000000 ready 2 now 1060000000" + wait + "return 2", []int64{50, 40}},
		"twice the same":         {"return 1 now 1010000000 ready 1 now 1020000000 ready 1 ready 65 now 1060000000" + wait + "return 2", []int64{50, 40}},
		"handled on the side":    {"return 1 now 1010000000 ready 1 now 1060000000" + wait + "return 0", nil},
		"one of two on the side": {"return 1 now 1010000000 ready 1 listed 1 0 now 1020000000 ready 2 listed 2 1 now 1060000000" + wait + "return 1", []int64{40}},
		"more than the wait returns": {"return 1 now 1010000000 ready 1 listed 1 1 ready 2 listed 2 1 ready 3 listed 3 1 now 1060000000" + wait + "return 2 now 1070000000" + wait + "return 1",
			[]int64{50, 50, 60}},
		"interrupted":                              {"now 1010000000 ready 1 now 1012000000 return -4 now 1020000000" + wait + "return 1", []int64{10}},
		"another one took it":                      {"now 1010000000 ready 1 woken now 1010001000 asleep now 1500000000 ready 1 now 1501000000 return 1", []int64{1}},
		"asleep, having looked":                    {"return 1 now 1010000000 ready 1 now 1060000000" + wait + "asleep now 1100000000 ready 2 now 1101000000 return 1", []int64{1}},
		"a timer":                                  {"return 1" + timed(10) + "now 1013000000 return 0", []int64{3}},
		"a timer, before its time":                 {"return 1" + timed(10) + "now 1005000000 return 1 now 1006000000" + wait + "return 1", nil},
		"a timer while active":                     {"return 1" + timed(10) + "now 1005000000 return 0 now 1050000000" + timed(0) + "return 0", []int64{40}},
		"a timer that libev waits a moment behind": {"return 1" + timed(10) + "now 1005000000 return 0 now 1050000000" + timed(1) + "now 1050500000 return 0", []int64{40}},
		"a timer that was cancelled":               {"return 1" + timed(10) + "now 1005000000 return 0 now 1050000000" + timed(500) + "now 1060000000 return 0", nil},
		"a timer of an earlier wait":               {"return 1" + timed(10) + "now 1005000000 return 0" + timed(0) + "return 0 now 1050000000" + timed(0) + "return 0", nil},
	} {
		t.Run(name, func(t *testing.T) {
			lines := n.run(t, begin+"now 1000000000 ready 9 return 1 "+wait+test.script+" statistics 0\n")
			raw := unhex(t, lines[len(lines)-1], "statistics")
			s := statisticsOf((*abi.LoopStatistics)(unsafe.Pointer(&raw[0])))
			want, got := make(map[int]int64), make(map[int]int64) // by bucket
			longest := int64(0)
			for _, lag := range test.lags {
				want[histogram.BucketOf(lag*ms)]++
				longest = max(longest, lag*ms)
			}
			for i, n := range s.Ready {
				if n > 0 {
					got[i] = n
				}
			}
			assert.Equal(t, want, got)
			assert.InDelta(t, longest, s.ReadyMaxNS, ms)
			assert.Equal(t, len(test.lags) > 0, s.ReadyDelay() != nil)
		})
	}
}

// More events than are timed are counted.
func TestNativeManyReady(t *testing.T) {
	n := newNative(t, false)
	script := "threshold 100000000\n" + loopThread(false, 1_000_000_000, 3) + "now 1010000000"
	for i := range abi.ReadyMax + 3 {
		script += fmt.Sprintf(" ready %d", i)
	}
	lines := n.run(t, script+fmt.Sprintf(" now 1020000000 wait %d return %d statistics 0 counters\n", loopFD, abi.ReadyMax+3))
	raw := unhex(t, lines[len(lines)-2], "statistics")
	s := statisticsOf((*abi.LoopStatistics)(unsafe.Pointer(&raw[0])))
	assert.EqualValues(t, abi.ReadyMax, s.Ready[histogram.BucketOf(10_000_000)])
	assert.EqualValues(t, 3, numbers(t, lines[len(lines)-1], "counters")[abi.UntimedEvents])
}

// What a wait returns is the program's word, and counts only if the kernel has the descriptor in the loop's instance with that data.
func TestNativeWhoWaited(t *testing.T) {
	n := newNative(t, false)
	const address, netlink, pipe = 0x10000, unix.AF_NETLINK, unix.S_IFIFO
	var script strings.Builder
	fmt.Fprintf(&script, "threshold 100000000\n%snow 1500000000\n", loopThread(false, 1_000_000_000, 3))
	for fd, mode := range map[int]int{loopFD: unix.S_IFREG, 20: unix.S_IFREG, 6: pipe, 7: pipe, 9: pipe, 30: pipe, 31: unix.S_IFSOCK, 32: unix.S_IFSOCK} {
		family := 0
		if mode == unix.S_IFSOCK {
			family = netlink
		}
		fmt.Fprintf(&script, "file %d %d 0 %d\n", fd, mode, family)
	}
	generation := int64(3) << 32 // as libev has it
	for _, r := range [][3]int64{{loopFD, 6, 6}, {loopFD, 9, 9}, {20, 30, 30}, {loopFD, 30, 30}, {20, 7, 7}, {loopFD, 31, 31 | generation}, {loopFD, 32, 32}} {
		fmt.Fprintf(&script, "register %d %d %d\n", r[0], r[1], r[2])
	}
	returned := []int64{
		6, 9, 30, // pipes: two behind the instance's own number, and one that another instance has, too
		7,                   // of another instance
		31 | generation, 32, // sockets
		31,              // with other data
		8, 5000, -1, 10, // none, or not registered
	}
	size, at := 16, 8
	if runtime.GOARCH == "amd64" {
		size, at = 12, 4
	}
	memory := make([]byte, size*len(returned))
	for i, data := range returned {
		binary.NativeEndian.PutUint64(memory[size*i+at:], uint64(data))
	}
	fmt.Fprintf(&script, "memory %d %x\n", address, memory)
	// The last two events lie where nothing is mapped.
	fmt.Fprintf(&script, "registers %d %d 0 0 0 0 wait %d return %d\n", loopFD, address, loopFD, len(returned)+2)
	var got *wire.Delayed
	for _, e := range events(t, n.run(t, script.String())) {
		if d, ok := e.(*wire.Delayed); ok {
			got = d
		}
	}
	assert.Equal(t, &wire.Delayed{TID: loopTID, Period: 3, Events: int64(len(returned) + 2), By: []wire.Source{
		{Kind: wire.PipeSource, Events: 1, Rank: 0}, {Kind: wire.PipeSource, Events: 1, Rank: 2}, {Kind: wire.PipeSource, Events: 1, Rank: -1},
		{Kind: wire.SocketSource, Events: 2, Rank: -1},
	}}, got)
}
