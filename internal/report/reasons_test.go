// SPDX-License-Identifier: Apache-2.0

package report

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReasonsAreShortAndDocumented(t *testing.T) {
	var doc []byte
	for _, name := range []string{"report.md", "dump.md"} {
		page, err := os.ReadFile("../../docs/" + name)
		require.NoError(t, err)
		doc = append(doc, page...)
	}
	for reason, text := range reasonTexts {
		assert.Contains(t, string(doc), "| `"+reason+"` | "+text+" |")
		assert.LessOrEqual(t, len(text), 50, text)
	}
}
