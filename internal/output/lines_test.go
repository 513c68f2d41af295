// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bytes"
	"context"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// torn writes two bytes of the first line and fails.
type torn struct {
	bytes.Buffer
	failed bool
}

func (w *torn) Write(p []byte) (int, error) {
	if !w.failed {
		w.failed = true
		n, _ := w.Buffer.Write(p[:2])
		return n, syscall.ENOSPC
	}
	return w.Buffer.Write(p)
}

// The line after one that was cut short begins anew.
func TestLinesMendATornLine(t *testing.T) {
	var w torn
	var warnings []string
	out, err := Open(context.Background(), "--output", Stdout, &w)
	require.NoError(t, err)
	l := out.Lines(func(s string) { warnings = append(warnings, s) }, nil)
	_, _ = l.Write([]byte("first\n"))
	_, _ = l.Write([]byte("second\n"))
	assert.Equal(t, "fi\nsecond\n", w.String())
	assert.EqualValues(t, 1, l.Dropped())
	assert.Equal(t, []string{"cannot write to stdout: no space left on device; make room there, or name another file with --output; going on"}, warnings)
}

// A reader that is gone is noticed though no line is written, and otherwise by the line.
func TestLinesNoticeThatTheReaderIsGone(t *testing.T) {
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer write.Close()
	closed := 0
	out, err := OpenStream(context.Background(), "--output", "", write)
	require.NoError(t, err)
	l := out.Lines(func(string) {}, func() { closed++ })
	l.CheckReader()
	assert.Zero(t, closed)
	require.NoError(t, read.Close())
	l.CheckReader()
	assert.Equal(t, 1, closed)
}
