// SPDX-License-Identifier: Apache-2.0

package report

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReasonsAreShortAndDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/report.md")
	require.NoError(t, err)
	for reason, text := range reasonTexts {
		assert.Contains(t, string(doc), "| `"+reason+"` |")
		assert.LessOrEqual(t, len(text), 50, text)
	}
}
