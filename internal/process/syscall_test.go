// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestParseSyscall(t *testing.T) {
	s, err := parseSyscall("232 0x3 0x7ffd 0x40 0xffffffffffffffff 0x0 0x8 0x7ffe1 0x7f12\n")
	require.NoError(t, err)
	assert.Equal(t, Syscall{Number: 232, Args: [6]uint64{3, 0x7ffd, 0x40, ^uint64(0), 0, 8}}, s)

	s, err = parseSyscall("running\n")
	require.NoError(t, err)
	assert.True(t, s.Running)

	s, err = parseSyscall("-1 0x7ffe1 0x7f12\n")
	require.NoError(t, err)
	assert.Equal(t, -1, s.Number)

	for _, bad := range []string{"", "x", "1 2 3", "1 0x1 0x2 0x3 0x4 0x5 zz"} {
		_, err := parseSyscall(bad)
		assert.Error(t, err, bad)
	}
}

func TestDescriptor(t *testing.T) {
	self, err := Open(os.Getpid())
	require.NoError(t, err)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	mode, _, name := self.Descriptor(int(r.Fd()))
	assert.EqualValues(t, unix.S_IFIFO, mode&unix.S_IFMT)
	assert.Regexp(t, `^pipe:\[\d+\]$`, name)
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	mode, device, name := self.Descriptor(int(null.Fd()))
	assert.EqualValues(t, unix.S_IFCHR, mode&unix.S_IFMT)
	assert.EqualValues(t, 1<<20|3, device)
	assert.Equal(t, os.DevNull, name)
	mode, _, name = self.Descriptor(99_999)
	assert.Zero(t, mode)
	assert.Empty(t, name)
}
