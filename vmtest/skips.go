// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
)

//go:embed skips.txt
var skips string

//go:embed omit.txt
var omissions string

// checkOmissions fails where omit.txt names a test that is not there (any more).
func checkOmissions(list string, tests []string) error {
	for line := range strings.Lines(list) {
		text, _, _ := strings.Cut(line, "#")
		if f := strings.Fields(text); len(f) > 0 && !slices.Contains(tests, f[0]) {
			return fmt.Errorf("omit.txt names %s, which is no test", f[0])
		}
	}
	return nil
}

// unexcused returns the tests that were skipped and are not in skips.txt.
func unexcused(row Row, mode string, r *Result) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.Skipped)) {
		if !listed(skips, row, mode, name) {
			out = append(out, name)
		}
	}
	return out
}

// listed reports whether a line of a list is for this test in this guest.
func listed(list string, row Row, mode, test string) bool {
	for line := range strings.Lines(list) {
		text, _, _ := strings.Cut(line, "#")
		f := strings.Fields(text)
		if len(f) < 2 || f[0] != test {
			continue
		}
		for guest := range strings.SplitSeq(f[1], ",") {
			name, only, has := strings.Cut(guest, "/")
			if (name == "*" || name == row.Name || name == row.Arch) && (!has || only == mode) {
				return true
			}
		}
	}
	return false
}
