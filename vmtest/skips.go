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

// Omitted returns those of tests that the guests of a row do not run.
func Omitted(row Row, tests []string) []string {
	return slices.DeleteFunc(slices.Clone(tests), func(name string) bool { return !listed(omissions, row.Name, name) })
}

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
func unexcused(row Row, r *Result) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.Skipped)) {
		if !listed(skips, row.Name, name) {
			out = append(out, name)
		}
	}
	return out
}

// listed tells whether a line of a list is for this test in this row.
func listed(list, row, test string) bool {
	for line := range strings.Lines(list) {
		text, _, _ := strings.Cut(line, "#")
		if f := strings.Fields(text); len(f) >= 2 && f[0] == test && (f[1] == "*" || slices.Contains(strings.Split(f[1], ","), row)) {
			return true
		}
	}
	return false
}
