// SPDX-License-Identifier: Apache-2.0

package summary

import (
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Test is a test of pytest's.
type Test struct {
	File string // as its code names it
	Name string // TestOrders::test_latest
}

// testOf returns the test that a stack runs: the innermost function called test_…, where pytest stands on the stack, too.
func testOf(frames []model.Frame) (Test, bool) {
	if !slices.ContainsFunc(frames, func(f model.Frame) bool { return strings.Contains(f.File, "/_pytest/") }) {
		return Test{}, false
	}
	for i := range frames {
		parts := strings.Split(frames[i].Function, ".")
		at := slices.IndexFunc(parts, func(part string) bool { return strings.HasPrefix(part, "test_") })
		if at >= 0 {
			return Test{frames[i].File, strings.Join(parts[:at+1], "::")}, true
		}
	}
	return Test{}, false
}

// addTest counts the test that ran during a block.
func (a *About) addTest(b *model.Block) {
	for i := range b.Stacks {
		if test, ok := testOf(b.Stacks[i].Frames); ok {
			a.Tests[test]++
			return
		}
	}
}
