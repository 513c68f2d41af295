// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unpacked is an entry as the kernel would see it.
type unpacked struct {
	name    string
	mode    uint64
	content string
}

// unpack reads an archive by the description of the format, not by the code that wrote it.
func unpack(t *testing.T, archive []byte) []unpacked {
	const head = 110
	up := func(n int) int { return (n + 3) / 4 * 4 }
	var entries []unpacked
	for at := 0; ; {
		require.GreaterOrEqual(t, len(archive), at+head, "no trailer")
		h := string(archive[at : at+head])
		require.Equal(t, "070701", h[:6])
		field := func(n int) int {
			v, err := strconv.ParseUint(h[6+8*n:14+8*n], 16, 32)
			require.NoError(t, err)
			return int(v)
		}
		size, nameSize := field(6), field(11)
		name := string(archive[at+head : at+head+nameSize-1])
		require.Zero(t, archive[at+head+nameSize-1])
		at = up(at + head + nameSize)
		if name == "TRAILER!!!" {
			return entries
		}
		entries = append(entries, unpacked{name, uint64(field(1)), string(archive[at : at+size])})
		at = up(at + size)
	}
}

func TestInitramfs(t *testing.T) {
	var b bytes.Buffer
	a := newInitramfs(&b)
	a.file("/init", 0o755, []byte("start"))
	a.file("/vmtest/deep/er", 0o644, nil)
	a.dir("/vmtest")
	a.file("/vmtest/even", 0o600, []byte("four"))
	require.NoError(t, a.close())
	assert.Equal(t, []unpacked{
		{"init", 0o100755, "start"},
		{"vmtest", 0o040755, ""},
		{"vmtest/deep", 0o040755, ""},
		{"vmtest/deep/er", 0o100644, ""},
		{"vmtest/even", 0o100600, "four"},
	}, unpack(t, b.Bytes()))
}
