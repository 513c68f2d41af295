// SPDX-License-Identifier: Apache-2.0

package words

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// HumanDuration writes nanoseconds with three significant digits in the unit people say:
// 1.23 µs, 12.3 ms, 312 ms, 4.21 s, 1 min 12 s, 2 h 5 min.
func HumanDuration(ns int64) string {
	switch {
	case ns < 0:
		return "-" + HumanDuration(-max(ns, -1<<63+1))
	case ns < 1000:
		return fmt.Sprintf("%d ns", ns)
	}
	for _, unit := range []struct {
		ns   float64
		name string
	}{{1e3, "µs"}, {1e6, "ms"}, {1e9, "s"}} {
		// The bounds are those of the rounded number: 999.6 ms is 1 s, not 1000 ms.
		switch v := float64(ns) / unit.ns; {
		case v < 9.995:
			return trimZeros(strconv.FormatFloat(v, 'f', 2, 64)) + " " + unit.name
		case v < 99.95:
			return trimZeros(strconv.FormatFloat(v, 'f', 1, 64)) + " " + unit.name
		case v < 999.5 && unit.name != "s":
			return strconv.FormatFloat(v, 'f', 0, 64) + " " + unit.name
		}
	}
	seconds := ns/1e9 + (ns%1e9+5e8)/1e9 // rounded without overflow
	if seconds < 3600 {
		return fmt.Sprintf("%d min %d s", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d h %d min", seconds/3600, seconds%3600/60)
}

// BoundedDuration writes a duration that may be a lower bound: ≥ 312 ms.
func BoundedDuration(ns int64, atLeast bool) string {
	if atLeast {
		return "≥ " + HumanDuration(ns)
	}
	return HumanDuration(ns)
}

// Took writes how long a block took, and of several in one active period the length of that, too: 180 ms of 351 ms.
func Took(b *model.Block) string {
	took := BoundedDuration(b.DurationNS, b.LowerBound())
	if b.PeriodNS > 0 {
		took += " of " + HumanDuration(b.PeriodNS)
	}
	return took
}

// OfPeriod says of one of several blocks in an active period how long that was, "" where it is the only one.
func OfPeriod(b *model.Block) string {
	if b.PeriodNS == 0 {
		return ""
	}
	return "one of several in " + BoundedDuration(b.PeriodNS, b.LowerBound())
}

// trimZeros takes away the zeros that only pretend precision: 4.20 is 4.2, 10.0 is 10.
func trimZeros(s string) string {
	for s[len(s)-1] == '0' {
		s = s[:len(s)-1]
	}
	if s[len(s)-1] == '.' {
		s = s[:len(s)-1]
	}
	return s
}

// Plural returns "1 block", "2 blocks".
func Plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	if thing[len(thing)-1] == 's' {
		thing += "e"
	}
	return strconv.FormatInt(n, 10) + " " + thing + "s"
}

// Percent returns a share of one as a percentage for a table.
func Percent(share float64) string {
	if share > 0 && share < 0.001 {
		return "<0.1%"
	}
	return strconv.FormatFloat(share*100, 'f', 1, 64) + "%"
}

// Counted returns "1 process" or "2 processes" for a word in the plural.
func Counted(n int64, things string) string {
	if n == 1 {
		if word, ok := strings.CutSuffix(things, "sses"); ok {
			things = word + "ss"
		} else {
			things = strings.TrimSuffix(things, "s")
		}
	}
	return strconv.FormatInt(n, 10) + " " + things
}

// Pythons counts Python processes: "1 Python process", "2 Python processes".
func Pythons(n int) string {
	if n == 1 {
		return "1 Python process"
	}
	return strconv.Itoa(n) + " Python processes"
}
