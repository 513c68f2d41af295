// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const layoutRoom = 64

// TestLayoutsAreShared: processes of one layout have one entry, which goes with the last of them.
func TestLayoutsAreShared(t *testing.T) {
	var table layoutTable
	first, added, err := table.add(Layout{FrameCode: 1}, true, layoutRoom)
	require.NoError(t, err)
	assert.True(t, added)
	for range 1000 {
		again, added, err := table.add(Layout{FrameCode: 1}, true, layoutRoom)
		require.NoError(t, err)
		assert.Equal(t, first, again)
		assert.False(t, added)
	}
	other, _, err := table.add(Layout{FrameCode: 2}, true, layoutRoom)
	require.NoError(t, err)
	assert.NotEqual(t, first, other)
	for range 1000 {
		assert.False(t, table.release(first))
	}
	assert.True(t, table.release(first), "the last one")
	assert.False(t, table.release(first), "once")
	assert.False(t, table.release(1<<32-1))
	third, added, err := table.add(Layout{FrameCode: 3}, true, layoutRoom)
	require.NoError(t, err)
	assert.True(t, added)
	assert.Equal(t, first, third, "its place is used again")
	assert.Len(t, table.used, 2)
}

// TestMadeUpLayoutsLeaveRoom: whatever processes say of themselves, there is room for the usual layouts.
func TestMadeUpLayoutsLeaveRoom(t *testing.T) {
	var table layoutTable
	var held []uint32
	refused := 0
	for i := range uint32(10_000) {
		index, _, err := table.add(Layout{FrameCode: i}, false, layoutRoom)
		if err != nil {
			require.ErrorIs(t, err, ErrLayouts)
			refused++
			continue
		}
		held = append(held, index)
	}
	assert.Len(t, held, layoutRoom-UsualLayouts)
	assert.Equal(t, 10_000-len(held), refused)
	for i := range uint32(UsualLayouts) {
		_, _, err := table.add(Layout{FrameCode: 1 << 20, CodeLine: i}, true, layoutRoom)
		require.NoError(t, err)
	}
	assert.Len(t, table.used, layoutRoom)
	// A place that is given back is there for the next.
	require.True(t, table.release(held[7]))
	index, added, err := table.add(Layout{FrameCode: 1 << 21}, false, layoutRoom)
	require.NoError(t, err)
	assert.True(t, added)
	assert.Equal(t, held[7], index)
}
