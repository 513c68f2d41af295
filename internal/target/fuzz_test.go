// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// bounded is memory that begins at some address.
type bounded struct {
	base uint64
	b    []byte
}

func (m bounded) Read(addr uint64, p []byte) error {
	if addr < m.base || addr-m.base > uint64(len(m.b)) || uint64(len(p)) > uint64(len(m.b))-(addr-m.base) {
		return errors.New("not mapped")
	}
	copy(p, m.b[addr-m.base:])
	return nil
}

// FuzzArguments reads whatever there is as what a syscall was given: paths, and sets of descriptors.
func FuzzArguments(f *testing.F) {
	f.Add([]byte("/srv/shop/a\x00"), uint64(0), uint64(1))
	f.Add(make([]byte, 512), uint64(128), uint64(1024))
	f.Fuzz(func(t *testing.T, memory []byte, at, n uint64) {
		c := Call{Memory: bounded{4096, memory}}
		at += 4096
		text, _ := c.cString(at)
		require.LessOrEqual(t, len(text), maxPath+256)
		require.LessOrEqual(t, len(c.polled(at, n)), MaxFDs)
		require.LessOrEqual(t, len(c.selected(n, []uint64{at, at + 8, 0})), MaxFDs)
	})
}
