// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"io/fs"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
)

// kindOf finds the first cause of each way to block a loop that Causing plays.
var kindOf = regexp.MustCompile(`(?m)^@kind\("([a-z]+)"`)

// Every cause has a program that blocks a loop by it, and every way to block has a cause of the list.
func TestEveryCauseHasAProgram(t *testing.T) {
	names, err := fs.Glob(programs, "programs/kinds_*.py")
	require.NoError(t, err)
	ways := map[model.Cause]int{}
	for _, name := range names {
		source, err := programs.ReadFile(name)
		require.NoError(t, err)
		for _, found := range kindOf.FindAllSubmatch(source, -1) {
			cause := model.Cause(found[1])
			assert.True(t, cause.Listed(), "%s: %s", name, cause)
			ways[cause]++
		}
	}
	for _, cause := range model.Causes() {
		assert.NotZero(t, ways[cause], "%s: no program in %v blocks a loop by it", cause, names)
	}
}
