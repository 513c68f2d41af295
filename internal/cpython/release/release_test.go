// SPDX-License-Identifier: Apache-2.0

package release

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func FuzzDebugOffsets(f *testing.F) {
	for minor := range debugOffsets {
		f.Add(plausible(minor), uint8(minor))
	}
	f.Fuzz(func(t *testing.T, b []byte, minor uint8) {
		shape, ok := debugOffsets[int(minor)]
		if !ok || len(b) < 8*len(shape) {
			return
		}
		l, err := parseDebugOffsets(int(minor), b)
		if err != nil {
			return
		}
		for _, off := range []uint32{
			l.ThreadID, l.ThreadFrame, l.FrameCode, l.FrameBack, l.FrameInstr, l.FrameOwner, l.CodeLine,
			l.ThreadNext, l.ThreadInterp, l.ThreadNative, l.CodeName, l.CodeQualName, l.CodeFile, l.CodeLines, l.StrState,
		} {
			require.Less(t, off, uint32(MaxOffset))
		}
	})
}

// plausible makes debug offsets that pass: each structure of 1024 bytes, each field at 16.
func plausible(minor int) []byte {
	var b []byte
	for _, name := range debugOffsets[minor] {
		value := uint64(16)
		if strings.HasSuffix(name, ".size") {
			value = 1024
		}
		b = binary.LittleEndian.AppendUint64(b, value)
	}
	return b
}

func TestDebugOffsetsAreChecked(t *testing.T) {
	for minor, shape := range debugOffsets {
		_, err := parseDebugOffsets(minor, plausible(minor))
		require.NoError(t, err)
		for i, name := range shape {
			switch name {
			case "-", "version", "free_threaded", "gc.size":
				continue
			}
			b := plausible(minor)
			binary.LittleEndian.PutUint64(b[8*i:], 1<<60)
			_, err := parseDebugOffsets(minor, b)
			assert.Error(t, err, "3.%d %s", minor, name)
		}
	}
}

func TestDebugOffsetsOfOthersAreRefused(t *testing.T) {
	runtime := func(version Version, free byte) fakeMemory {
		b := append([]byte(debugCookie), make([]byte, 8)...)
		binary.LittleEndian.PutUint64(b[8:], uint64(version))
		b = append(b, free, 0, 0, 0, 0, 0, 0, 0)
		return append(b, make([]byte, 888)...) // the size of the largest structure known, 3.15's
	}
	newest := newest()
	tooNew := func(version string) string {
		return fmt.Sprintf("CPython %s: too new, 3.%d is the newest supported", version, newest)
	}
	for reason, m := range map[string]fakeMemory{
		tooNew(fmt.Sprintf("3.%d.0", newest+1)): runtime(0x030000f0|Version(newest+1)<<16, 0),
		tooNew("4.0.0"):                         runtime(0x040000f0, 0),
		"CPython 3.15.0b3, a pre-release: only candidates and final releases are supported":         runtime(0x030f00b3, 0),
		"CPython 3.14.2, a free-threaded build: only builds with the GIL are supported":             runtime(0x030e02f0, 1),
		"CPython 3.13.1: its debug offsets make no sense: thread_id is out of bounds: 0 in 0 bytes": runtime(0x030d01f0, 0),
	} {
		_, _, err := ReadDebugOffsets(m, 0)
		assert.EqualError(t, err, reason)
		var unsupported *UnsupportedError
		assert.ErrorAs(t, err, &unsupported)
	}
	_, _, err := ReadDebugOffsets(make(fakeMemory, 100), 0)
	assert.ErrorIs(t, err, ErrNoDebugOffsets)
}

func TestDebugOffsetsHaveTheirSize(t *testing.T) {
	for minor, size := range map[int]int{13: 584, 14: 760, 15: 888} {
		assert.Equal(t, size, 8+8*len(debugOffsets[minor]), "3.%d", minor)
	}
}

func TestVersion(t *testing.T) {
	for v, want := range map[Version]string{
		0x030b02f0: "3.11.2", 0x030f00b1: "3.15.0b1", 0x030e00c2: "3.14.0rc2", 0x030f00a7: "3.15.0a7",
		MakeVersion(3, 9, 18): "3.9.18", MakeMinor(3, 9): "3.9",
	} {
		assert.Equal(t, want, v.String())
	}
	v := Version(0x030c01f0)
	assert.Equal(t, []int{3, 12, 1}, []int{v.Major(), v.Minor(), v.Patch()})
}

type fakeMemory []byte

func (m fakeMemory) Read(addr uint64, p []byte) error {
	if addr > uint64(len(m)) || uint64(len(p)) > uint64(len(m))-addr {
		return os.ErrInvalid
	}
	copy(p, m[addr:])
	return nil
}
