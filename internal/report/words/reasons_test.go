// SPDX-License-Identifier: Apache-2.0

package words

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReasonsAreShortAndDocumented(t *testing.T) {
	var doc []byte
	for _, name := range []string{"report.md", "dump.md", "waits.md"} {
		page, err := os.ReadFile("../../../docs/" + name)
		require.NoError(t, err)
		doc = append(doc, page...)
	}
	for reason, text := range reasonTexts {
		assert.Contains(t, string(doc), "| `"+reason+"` | "+text+" |")
		assert.LessOrEqual(t, len(text), 80, text)
		assert.Regexp(t, "^[a-z]+s[ ,]", text, "things in the plural")
	}
}

func TestReasonLines(t *testing.T) {
	counts := map[string]int64{"processes_gone": 1, "stacks_lost_ring_full": 2, "from_a_newer_version": 3, "returns_to_cpu_worked_out": 4}
	assert.Equal(t, []string{
		"  from_a_newer_version: 3",
		"  1 process that ended meanwhile",
		"  2 stacks that came too fast to be read: some lines may be missing",
	}, ReasonLines(counts, false, 0), "what was made good is no loss")
	assert.Equal(t, []string{
		"  from_a_newer_version: 3",
		"  1 process that ended meanwhile (processes_gone)",
		"  4 returns to a CPU worked out by loopwatch: nothing is\n      lost (returns_to_cpu_worked_out)",
		"  2 stacks that came too fast to be read: some lines may be\n      missing (stacks_lost_ring_full)",
	}, ReasonLines(counts, true, 60))
}
