// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
)

// StacksOf writes the stacks of a block, a line each.
func StacksOf(b *model.Block) string {
	var out strings.Builder
	for _, s := range b.Stacks {
		fmt.Fprintf(&out, "    %v %s:", time.Duration(s.NS), s.Cause)
		for _, f := range s.Frames {
			fmt.Fprintf(&out, " %s:%d", f.Function, f.Line)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// Overlap is how long two spans of time share.
func Overlap(start1, end1, start2, end2 int64) int64 {
	return max(0, min(end1, end2)-max(start1, start2))
}

// Describe writes a frame, which may be nil.
func Describe(f *model.Frame) string {
	if f == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s (%s:%d)", f.Function, f.File, f.Line)
}

// Quantile returns the q-Quantile of values, 0 of none.
func Quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// BlocksOf returns the blocks of one process.
func BlocksOf(rep *model.Report, pid int) []model.Block {
	return slices.DeleteFunc(slices.Clone(rep.Blocks), func(b model.Block) bool { return b.PID != pid })
}
