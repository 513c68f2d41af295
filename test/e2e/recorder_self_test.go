// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/recording"
)

// TestStrip sees to it that a recording to be published tells nothing of the host or of what else ran there.
func TestStrip(t *testing.T) {
	tape := &recordingFile{filepath.Join(t.TempDir(), "tape")}
	file, err := os.Create(tape.name + ".zst")
	require.NoError(t, err)
	w, err := recording.NewWriter(file)
	require.NoError(t, err)
	w.Begin(recording.Header{Host: model.Host{Hostname: "secret", Kernel: "secret", Arch: "amd64", Attach: "fentry"}, ThresholdNS: 7})
	for _, pid := range []int{5, 6, 7} {
		w.Add(&block.Evidence{PID: pid, Samples: []block.Sample{{Task: "of its own"}}})
	}
	require.NoError(t, w.Close())
	require.NoError(t, file.Close())

	require.NoError(t, tape.strip(map[int]bool{5: true, 7: true}))
	file, err = os.Open(tape.name + ".zst")
	require.NoError(t, err)
	defer file.Close()
	r, err := recording.NewReader(file)
	require.NoError(t, err)
	defer r.Close()
	assert.Equal(t, recording.Header{Schema: recording.Schema, Host: model.Host{Arch: "amd64"}, ThresholdNS: 7}, r.Header)
	for _, pid := range []int{5, 7} {
		e, err := r.Next()
		require.NoError(t, err)
		assert.Equal(t, recording.Entry{Evidence: &block.Evidence{PID: pid, Samples: []block.Sample{{Task: "of its own"}}}}, e)
	}
	_, err = r.Next()
	assert.ErrorIs(t, err, io.EOF)
	entries, err := os.ReadDir(filepath.Dir(tape.name))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing is left beside it")
}
