// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slow takes its time for all that is written to it.
type slow struct{ bytes.Buffer }

func (s *slow) Write(b []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return s.Buffer.Write(b)
}

func TestRelay(t *testing.T) {
	var out slow
	to, end, err := relay(&out)
	require.NoError(t, err)
	said := strings.Repeat("what a command says\n", 50_000) // more than a pipe holds
	_, err = to.WriteString(said)
	require.NoError(t, err)
	require.NoError(t, end(), "nobody has closed the pipe")
	assert.Equal(t, said, out.String())
}

func TestCopyUntil(t *testing.T) {
	for text, want := range map[string]string{
		"MARK": "", "aMARK": "a", "MARMARK": "MAR", "aMAMMARKMARK": "aMAM", "MARK more": "",
	} {
		var out bytes.Buffer
		require.NoError(t, copyUntil(&out, iotest.OneByteReader(strings.NewReader(text)), []byte("MARK")))
		assert.Equal(t, want, out.String(), text)
	}
	var out bytes.Buffer
	assert.Error(t, copyUntil(&out, strings.NewReader("no end"), []byte("MARK")))
}
