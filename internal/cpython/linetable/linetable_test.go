// SPDX-License-Identifier: Apache-2.0

package linetable_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/cpython/linetable"
)

const noLine = -1

func lines(f linetable.Format, table []byte, first, from, to int) []int {
	var out []int
	for i := from; i < to; i++ {
		line, ok := linetable.Line(f, table, first, i)
		if !ok {
			line = noLine
		}
		out = append(out, line)
	}
	return out
}

func TestLine(t *testing.T) {
	back := func(n int8) byte { return byte(n) }
	entry := func(code, units byte) byte { return 0x80 | code<<3 | (units - 1) }
	for _, c := range []struct {
		name   string
		format linetable.Format
		table  []byte
		from   int
		want   []int // from first line 10
	}{
		{"lnotab", linetable.Lnotab, []byte{0, 1, 4, 2, 2, back(-3)}, -1, []int{10, 11, 11, 13, 10, 10}},
		{"lnotab, empty", linetable.Lnotab, nil, -1, []int{10, 10, 10}},
		{"lnotab, spread deltas", linetable.Lnotab, []byte{255, 0, 1, 127, 0, 127}, 126, []int{10, 10, 264, 264}},
		{"lnotab, half a pair", linetable.Lnotab, []byte{2, 1, 2}, -1, []int{10, 10, 11, 11}},
		{"pairs", linetable.Pairs, []byte{2, 1, 2, back(-128), 4, 0, 2, back(-3)}, -1, []int{10, 11, noLine, 11, 11, 8, noLine}},
		{"pairs, empty ranges", linetable.Pairs, []byte{0, 127, 0, back(-128), 2, 1}, -1, []int{10, 138, noLine}},
		{"pairs, half a pair", linetable.Pairs, []byte{2, 1, 2}, -1, []int{10, 11, noLine}},
		{"locations, every code", linetable.Locations, []byte{
			entry(0, 1), 0x11,
			entry(9, 1), 0x11,
			entry(10, 1), 1, 2,
			entry(11, 1), 1, 2,
			entry(15, 2),
			entry(12, 1), 1, 2,
			entry(13, 1), 0x03, // -1
			entry(14, 1), 0x40 | 2, 0x3f, 1, 1, 1, // (2 + 63*64) / 2
			entry(5, 3), 0x11,
		}, -1, []int{10, 10, 10, 10, 11, noLine, noLine, 13, 12, 12 + (2+63*64)/2, 2029, 2029, 2029, noLine}},
		{"locations, cut in a varint", linetable.Locations, []byte{entry(13, 1), 0x42}, 0, []int{11, noLine}},
		{"locations, cut after a head", linetable.Locations, []byte{entry(14, 1)}, 0, []int{10, noLine}},
		{"locations, a line below zero", linetable.Locations, []byte{entry(13, 1), 31, entry(13, 1), 30}, 0, []int{noLine, 10}},
		{"a format that is none", linetable.Format(9), []byte{0, 1, 2, 3}, 0, []int{noLine}},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.want, lines(c.format, c.table, 10, c.from, c.from+len(c.want)))
		})
	}
}

func TestInstructionOutOfRange(t *testing.T) {
	for f := linetable.Lnotab; f <= linetable.Locations; f++ {
		for _, instr := range []int{-2, math.MinInt32, math.MinInt} {
			_, ok := linetable.Line(f, []byte{2, 1, 2, 1}, 1, instr)
			assert.False(t, ok, "format %d, instruction %d", f, instr)
		}
		_, ok := linetable.Line(f, nil, -5, -1)
		assert.False(t, ok, "a first line below zero is none")
	}
}

// check holds what every table, however broken, has to keep to.
func check(t *testing.T, f linetable.Format, table []byte, first, instr int) {
	prev, count := 0, 0
	var want linetable.Range
	found := false
	for r := range linetable.Ranges(f, table, first) {
		require.Equal(t, prev, r.Start, "no gaps")
		require.GreaterOrEqual(t, r.End, r.Start, "forwards only")
		if r.HasLine {
			require.GreaterOrEqual(t, r.Line, 0)
			require.LessOrEqual(t, r.Line, math.MaxInt32)
		}
		if !found && instr >= r.Start && instr < r.End {
			want, found = r, true
		}
		prev = r.End
		count++
	}
	require.LessOrEqual(t, count, len(table)+1, "ranges of a table")
	line, ok := linetable.Line(f, table, first, instr)
	if instr >= 0 {
		require.Equal(t, found && want.HasLine, ok)
		if ok {
			require.Equal(t, want.Line, line)
		}
	}
}

func TestGarbage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5_000 {
		table := make([]byte, rng.IntN(200))
		for i := range table {
			table[i] = byte(rng.Uint32())
		}
		check(t, linetable.Format(rng.IntN(3)), table, int(int32(rng.Uint32())), rng.IntN(400)-2)
	}
}

// TestLinear: a table 16 times as long may not take anything like 16 times 16 as long, in time of a CPU: on a busy
// machine the clock goes on while others have it.
func TestLinear(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu := func() time.Duration {
		var now unix.Timespec
		require.NoError(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now))
		return time.Duration(now.Nano())
	}
	const size = 1 << 18
	for f := linetable.Lnotab; f <= linetable.Locations; f++ {
		for _, b := range []byte{0x00, 0x40, 0x7f, 0x80, 0xe8, 0xff} {
			cost := func(n int) time.Duration {
				table := bytes.Repeat([]byte{b}, n)
				best := time.Duration(math.MaxInt64)
				for range 5 {
					start := cpu()
					linetable.Line(f, table, 1, math.MaxInt32)
					best = min(best, cpu()-start)
				}
				return best
			}
			small, big := cost(size), cost(16*size)
			assert.Less(t, big, 100*small+time.Millisecond, "format %d, bytes %#x: %v, then %v", f, b, small, big)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add(uint8(0), []byte{0, 1, 4, 2, 2, 0xfd}, 10, 3)
	f.Add(uint8(1), []byte{2, 1, 2, 0x80, 4, 0}, 10, 2)
	f.Add(uint8(2), []byte{0x80, 0x11, 0xe8, 0x03, 0xf0, 0x42, 0x3f, 1, 1, 1, 0xf8}, 10, 2)
	f.Fuzz(func(t *testing.T, format uint8, table []byte, first, instr int) {
		check(t, linetable.Format(format%3), table, int(int32(first)), int(int32(instr)))
	})
}

func BenchmarkLine(b *testing.B) {
	table := bytes.Repeat([]byte{0x80, 0x11, 0xda, 1, 2}, 50) // an ordinary function
	b.SetBytes(int64(len(table)))
	for b.Loop() {
		linetable.Line(linetable.Locations, table, 1, 90)
	}
}
