// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// numbered is a memory whose pages say which they are, with a hole.
type numbered struct{ reads int }

func (m *numbered) Read(addr uint64, p []byte) error {
	m.reads++
	if addr/pageSize == 7 {
		return errors.New("a hole")
	}
	for i := range p {
		at := addr + uint64(i)
		p[i] = byte(at/pageSize) + byte(at)
	}
	return nil
}

func TestReadPaged(t *testing.T) {
	m := &numbered{}
	got, err := ReadPaged(m, func(m Memory) ([]byte, error) {
		all := make([]byte, 2*pageSize)
		require.NoError(t, m.Read(pageSize/2, all))
		for at := range uint64(2 * pageSize) {
			var b [1]byte
			require.NoError(t, m.Read(at, b[:]))
		}
		return all, nil
	})
	require.NoError(t, err)
	want := make([]byte, 2*pageSize)
	require.NoError(t, (&numbered{}).Read(pageSize/2, want))
	assert.Equal(t, want, got)
	assert.Equal(t, 3, m.reads, "each page once")

	_, err = ReadPaged(m, func(m Memory) (any, error) { return nil, m.Read(7*pageSize-4, make([]byte, 8)) })
	assert.Error(t, err, "a page that cannot be read")

	// More pages than are kept.
	m.reads = 0
	_, err = ReadPaged(m, func(m Memory) (any, error) {
		for round := range 2 {
			for page := uint64(8); page < 8+mostPages+1; page++ {
				var b [1]byte
				require.NoError(t, m.Read(page*pageSize, b[:]))
				assert.Equal(t, byte(page), b[0], round)
			}
		}
		return nil, nil
	})
	require.NoError(t, err)
	assert.Equal(t, 2*(mostPages+1), m.reads)

	// A budget is charged for what is asked for.
	budget := NewBudget(10 * (8 + costOfRead))
	_, err = ReadPaged(budget.Of(m), func(m Memory) (any, error) {
		var b [8]byte
		for range 10 {
			require.NoError(t, m.Read(0x10000, b[:]))
		}
		return nil, m.Read(0x10000, b[:])
	})
	assert.ErrorIs(t, err, ErrSpent)
	assert.True(t, budget.Spent())
}
