// SPDX-License-Identifier: Apache-2.0

package words

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// maxTests is how many tests are named at one place.
const maxTests = 5

// Tests names the tests that ran during blocks, given in how many each did, the one with most blocks first; "" where there is none.
// short shortens their files.
func Tests(blocks map[summary.Test]int, short func(file string) string) string {
	tests := slices.SortedFunc(maps.Keys(blocks), func(x, y summary.Test) int {
		return cmp.Or(cmp.Compare(blocks[y], blocks[x]), cmp.Compare(x.File, y.File), cmp.Compare(x.Name, y.Name))
	})
	var names []string
	for _, t := range tests[:min(len(tests), maxTests)] {
		names = append(names, safetext.Line(short(t.File)+"::"+t.Name))
	}
	text := strings.Join(names, ", ")
	switch n := len(tests); {
	case n == 0:
		return ""
	case n == 1:
		return "while this test ran: " + text
	case n > maxTests:
		text += fmt.Sprintf(" and %d more", n-maxTests)
	}
	return "while these tests ran: " + text
}
