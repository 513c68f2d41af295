// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCacheKeepsOnlyWhatIsWhole(t *testing.T) {
	t.Setenv("LOOPWATCH_CACHE", t.TempDir())
	c, err := OpenCache()
	require.NoError(t, err)

	broken := errors.New("disk full")
	half := func(path string) error {
		require.NoError(t, os.WriteFile(path, []byte("ha"), 0o600))
		return broken
	}
	_, err = c.entry(t.Context(), "disk", half)
	require.ErrorIs(t, err, broken)

	// What a killed run leaves behind is not taken either.
	require.NoError(t, os.WriteFile(filepath.Join(c.dir, "vm", "disk.unfinished"), []byte("ha"), 0o600))
	fills := 0
	whole := func(path string) error {
		fills++
		require.NoFileExists(t, path)
		return os.WriteFile(path, []byte("whole"), 0o600)
	}
	for range 2 {
		path, err := c.entry(t.Context(), "disk", whole)
		require.NoError(t, err)
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, "whole", string(content))
	}
	assert.Equal(t, 1, fills)
}
