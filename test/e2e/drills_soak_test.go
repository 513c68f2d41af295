// SPDX-License-Identifier: Apache-2.0

//go:build drills

package e2e

import (
	"bufio"
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
	cmd := exec.Command(soak, "-for", "2m", "-warming", "20s", "-quiet", "22s", "-loopwatch", binary, "-python", d.python.Path)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		t.Log(lines.Text()) // as it comes: a guest that says nothing is taken to hang
	}
	assert.NoError(t, cmd.Wait())
}
