// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	_ "embed"
	"maps"
	"slices"
	"strings"
)

//go:embed skips.txt
var skips string

// unexcused returns the tests that were skipped and are not in skips.txt.
func unexcused(row Row, r *Result) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.Skipped)) {
		if !excused(skips, row.Name, name) {
			out = append(out, name)
		}
	}
	return out
}

func excused(list, row, test string) bool {
	for line := range strings.Lines(list) {
		text, _, _ := strings.Cut(line, "#")
		if f := strings.Fields(text); len(f) >= 2 && f[0] == test && (f[1] == "*" || slices.Contains(strings.Split(f[1], ","), row)) {
			return true
		}
	}
	return false
}
