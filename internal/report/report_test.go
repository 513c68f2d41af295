// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/report/reporttest"
)

func TestFormats(t *testing.T) {
	doc, err := os.ReadFile("../../docs/report.md")
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, name := range Names() {
		assert.False(t, seen[name], name)
		seen[name] = true
		assert.True(t, strings.Contains(string(doc), "\n| `"+name+"` |"), "docs/report.md lists the format %s", name)
		f, ok := Named(name)
		require.True(t, ok)
		var b bytes.Buffer
		require.NoError(t, f.Write(&b, reporttest.Everything(), Options{}))
		assert.Contains(t, b.String()[:min(b.Len(), 2000)], map[bool]string{true: "\x1f\x8b", false: "shop"}[f.Binary], name)
	}
	_, ok := Named("xml")
	assert.False(t, ok)
}
