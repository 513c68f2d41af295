// SPDX-License-Identifier: Apache-2.0

package elffile

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/process"
)

func TestReads(t *testing.T) {
	var r Reads
	one, other := FileOf(process.FileStamp{Inode: 1, Size: 1}), FileOf(process.FileStamp{Inode: 2})
	now := time.Unix(1000, 0)
	require.True(t, r.May(one, 0, now))
	r.Charge(one, 10*readRate, now)
	assert.Equal(t, one, FileOf(process.FileStamp{Inode: 1, Size: 2, Modified: 3}), "whatever it has become")
	assert.False(t, r.May(one, 4*readRate, now))
	assert.True(t, r.May(other, 0, now))
	assert.False(t, r.May(one, 4*readRate, now.Add(5*time.Second)))
	assert.True(t, r.May(one, 4*readRate, now.Add(6*time.Second)))
	r.Charge(one, readRate, now.Add(6*time.Second))
	assert.False(t, r.May(one, 4*readRate, now.Add(6*time.Second)))
	assert.True(t, r.May(one, 0, now.Add(11*time.Second)))
}

// TestReadsAreBounded: those that owe nothing any more are forgotten first.
func TestReadsAreBounded(t *testing.T) {
	var r Reads
	now := time.Unix(1000, 0)
	r.Charge(Who{1 << 40, 0}, 100*readRate, now)
	for i := range uint64(3 * maxOwing) {
		r.Charge(Who{0, i}, 1, now)
		now = now.Add(time.Millisecond)
		require.LessOrEqual(t, len(r.owes), maxOwing)
	}
	assert.False(t, r.May(Who{1 << 40, 0}, readRate, now))
}

// TestReadIsBounded: no file has more than MaxRead bytes read of it, however its parts overlap.
func TestReadIsBounded(t *testing.T) {
	b := own(t)
	from := &Counter{From: bytes.NewReader(b)}
	f, err := Open(from, int64(len(b)))
	require.NoError(t, err)
	piece := make([]byte, 1<<20)
	for err == nil {
		require.LessOrEqual(t, from.Bytes, int64(MaxRead))
		err = f.Read(piece, 0)
	}
	assert.ErrorIs(t, err, ErrTooMuch)
	assert.Greater(t, from.Bytes, int64(MaxRead-len(piece)))
	assert.LessOrEqual(t, from.Bytes, int64(MaxRead))
}
