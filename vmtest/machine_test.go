// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadStatus(t *testing.T) {
	for _, test := range []struct {
		said  string
		ready bool
		code  int
	}{
		{"", false, -1},
		{"rea", false, -1},
		{"ready\n", true, -1},
		{"ready\nexit 1", true, -1}, // the rest may be on its way
		{"ready\nexit 0\n", true, 0},
		{"ready\nexit 137\n", true, 137},
		{"ready\nexit x\n", true, -1},
	} {
		file := filepath.Join(t.TempDir(), "status")
		require.NoError(t, os.WriteFile(file, []byte(test.said), 0o600))
		ready, code := readStatus(file)
		assert.Equal(t, test.ready, ready, "%q", test.said)
		assert.Equal(t, test.code, code, "%q", test.said)
	}
	ready, code := readStatus(filepath.Join(t.TempDir(), "none"))
	assert.False(t, ready)
	assert.Negative(t, code)
}

func TestLastLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "console")
	require.NoError(t, os.WriteFile(file, []byte("a\r\nb\r\nc\r\n"), 0o600))
	assert.Equal(t, "b\nc", lastLines(file, 2))
	assert.Equal(t, "a\nb\nc", lastLines(file, 50))
	assert.Empty(t, lastLines(file+".none", 50))
}
