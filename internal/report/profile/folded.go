// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// WriteFolded writes a line for each different stack, "process;loop;outermost;…;innermost N",
// N being nanoseconds of blocked time: the input of flamegraph.pl, inferno and their like.
func WriteFolded(w io.Writer, r *model.Report) error { return blocked(r).writeFolded(w) }

// WriteFoldedWaits does the same for waiting time.
func WriteFoldedWaits(w io.Writer, p *model.WaitProfile) error { return waiting(p).writeFolded(w) }

func (f *file) writeFolded(w io.Writer) error {
	sums := make(map[string]int64)
	var line strings.Builder
	for _, s := range f.samples {
		line.Reset()
		line.WriteString(foldedName(s.Loop.Process))
		line.WriteByte(';')
		line.WriteString(foldedName(s.Loop.Name))
		for _, f := range s.Frames {
			line.WriteByte(';')
			line.WriteString(foldedName(f.String()))
		}
		if leaf := s.Frames[len(s.Frames)-1]; leaf.File == "" && !strings.HasSuffix(leaf.Function, "]") {
			line.WriteByte('_') // or flamegraph.pl would take a number at its end for a second count
		}
		sums[line.String()] += s.NS
	}
	for _, stack := range slices.Sorted(maps.Keys(sums)) {
		if _, err := fmt.Fprintf(w, "%s %d\n", stack, sums[stack]); err != nil {
			return fmt.Errorf("write folded stacks: %w", err)
		}
	}
	return nil
}

// foldedName keeps a name from being read as two frames or as a comment.
func foldedName(s string) string {
	s = strings.ReplaceAll(strings.TrimSpace(s), ";", ":")
	if s == "" {
		return "?"
	}
	if s[0] == '#' {
		s = "_" + s
	}
	return s
}
