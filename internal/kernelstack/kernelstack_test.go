// SPDX-License-Identifier: Apache-2.0

package kernelstack

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const symbols = `ffffffff81001000 T schedule
ffffffff81002000 T io_schedule
ffffffff81002040 t __pfx_ext4_sync_file
ffffffff81002050 t ext4_sync_file.isra.0
ffffffff81002100 D some_data
ffffffff81002200 T vfs_fsync
ffffffffc0001000 t xfs_file_fsync	[xfs]
ffffffffc0001100 t other	[xfs]
nonsense
0000000000000000 T pipe_read
`

func TestFind(t *testing.T) {
	table := parse(strings.NewReader(symbols))
	assert.Equal(t, Elsewhere, find(table, 0xffffffff81001010))
	assert.Equal(t, Disk, find(table, 0xffffffff81002000))
	assert.Equal(t, Disk, find(table, 0xffffffff8100203f))
	assert.Equal(t, Elsewhere, find(table, 0xffffffff81002040))
	assert.Equal(t, Disk, find(table, 0xffffffff81002100), "data ends no function")
	assert.Equal(t, Elsewhere, find(table, 0xffffffff81002200))
	assert.Equal(t, Disk, find(table, 0xffffffffc0001080))
	assert.Equal(t, Elsewhere, find(table, 0xffffffffc0001100))
	assert.Equal(t, Elsewhere, find(nil, 1))
	assert.Equal(t, Elsewhere, find(table, 0))
}

func TestPlaceOf(t *testing.T) {
	for name, want := range map[string]Place{
		"io_schedule": Disk, "jbd2_log_wait_commit": Disk, "p9_client_rpc": Disk, "virtio_fs_enqueue_req": Disk, "nfs4_proc_open": Disk,
		"pipe_write": Pipe, "wait_for_vfork_done": Child, "__tcp_close": Network,
		"schedule": Elsewhere, "mutex_lock": Elsewhere, "": Elsewhere, "_": Elsewhere, "ext4": Elsewhere, "x_": Elsewhere,
	} {
		assert.Equal(t, want, placeOf(name), name)
	}
}

// This kernel's own list has the functions that matter most.
func TestThisKernel(t *testing.T) {
	f, err := os.Open("/proc/kallsyms")
	require.NoError(t, err)
	defer f.Close()
	table := parse(f)
	if os.Geteuid() != 0 && len(table) == 0 {
		return // addresses are shown to root alone
	}
	assert.Greater(t, len(table), 20)
	for _, s := range table {
		assert.Greater(t, s.end, s.start)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(symbols), uint64(0xffffffff81002000))
	f.Fuzz(func(t *testing.T, raw []byte, ip uint64) {
		find(parse(strings.NewReader(string(raw))), ip)
	})
}
