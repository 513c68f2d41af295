// SPDX-License-Identifier: Apache-2.0

//go:build drills

package e2e

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDrillSoak: a short soak. It judges all that a long one does; of the slope it says whether it can be told from one within
// bounds.
func TestDrillSoak(t *testing.T) {
	d := newDrill(t)
	soak := os.Getenv("LOOPWATCH_SOAK")
	require.NotEmpty(t, soak, "where the soak is")
	cmd := exec.Command(soak, "-for", "2m", "-warming", "30s", "-loopwatch", binary, "-python", d.python.Path)
	said, err := cmd.CombinedOutput()
	t.Logf("%s", said)
	assert.NoError(t, err)
}
