// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/abi"
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
	k := abi.Thread{
		Tgid: loopPID, Since: uint64(since), Period: uint64(period), WaitFd: abi.NoFd, Generation: abi.InitialGeneration,
		Config: abi.ThreadConfig{
			Tid: loopTID, Slot: 0, Verdict: abi.VerdictLoop, Fds: [4]int32{loopFD, otherFD, abi.NoFd, abi.NoFd},
			FdVerdicts: [4]uint8{abi.VerdictLoop, abi.VerdictIgnored},
		},
	}
	if inWait {
		k.InWait, k.WaitFd = 1, loopFD
	}
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
		for range 200 {
			rested := now
			now += r.Int64N(1 << (5 + r.IntN(25)))
			if r.IntN(10) == 0 { // the return of a wait is missed
				fmt.Fprintf(&script, "now %d wait %d\n", now, loopFD)
				rested = now
				now += r.Int64N(1000)
			}
			fmt.Fprintf(&script, "now %d return 1\n", now)
			want.IdleNS += now - rested
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
