// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBudget reads this process's own memory until a budget is spent, in every way there is.
func TestBudget(t *testing.T) {
	p, err := Open(os.Getpid())
	require.NoError(t, err)
	room := make([]byte, 4096)
	for i := range room {
		room[i] = byte(i)
	}
	at := uint64(uintptr(unsafe.Pointer(&room[0])))
	const each, times = 36, 10 // 100 with what a read costs
	piece := make([]byte, each)
	for name, read := range map[string]func(m Memory) bool{
		"one by one": func(m Memory) bool { return m.Read(at, piece) == nil },
		"many": func(m Memory) bool {
			places := []Place{{Addr: at, P: piece}}
			ReadEach(m, places)
			return places[0].OK
		},
		"together": func(m Memory) bool {
			ok, err := ReadTogether(m, func(m Memory) (bool, error) { return true, m.Read(at, piece) })
			return ok && err == nil
		},
		"many together": func(m Memory) bool {
			places, err := ReadTogether(m, func(m Memory) ([]Place, error) {
				places := []Place{{Addr: at, P: make([]byte, each)}}
				ReadEach(m, places)
				return places, nil
			})
			return err == nil && places[0].OK
		},
	} {
		budget := NewBudget(times * (each + costOfRead))
		m := budget.Of(p.Memory())
		for range times {
			require.True(t, read(m), name)
		}
		require.False(t, budget.Spent(), name)
		for range 3 {
			assert.False(t, read(m), name)
		}
		assert.True(t, budget.Spent(), name)
	}
	// Of many places those that fit are read.
	budget := NewBudget(2 * (each + costOfRead))
	places := []Place{{Addr: at, P: make([]byte, each)}, {Addr: at, P: make([]byte, each)}, {Addr: at, P: make([]byte, each), OK: true}}
	ReadEach(budget.Of(p.Memory()), places)
	assert.Equal(t, []bool{true, true, false}, []bool{places[0].OK, places[1].OK, places[2].OK})
	assert.ErrorIs(t, budget.Of(p.Memory()).Read(at, piece[:1]), ErrSpent)
}
