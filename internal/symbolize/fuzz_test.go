// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/testmemory"
)

// FuzzFrames names frames of whatever memory says: each has a name, and all of them are text.
func FuzzFrames(f *testing.F) {
	f.Add(make([]byte, 256), byte(11), uint64(64), uint64(128), int32(3), uint32(7))
	f.Fuzz(func(t *testing.T, memory []byte, minor byte, code, other uint64, instr int32, check uint32) {
		version := release.MakeVersion(3, minor, 0)
		layout, err := release.Measured(version)
		if err != nil || len(memory) < 8 {
			return
		}
		m := &testmemory.Everywhere{Bytes: memory, Left: 1 << 20}
		r := New(&cpython.Runtime{Reader: object.Reader{Version: version, Layout: layout}}, m, eventloop.IsApp, nil, NewPool(MaxTogether))
		raw := []cpython.RawFrame{{Code: code, Instr: instr, Check: check}, {Code: other, Instr: -instr}, {Code: code, Instr: instr + 1, Check: check}}
		for range 2 {
			frames := r.Frames(raw)
			require.Len(t, frames, len(raw))
			for _, frame := range frames {
				require.NotEmpty(t, frame.Function)
				require.True(t, utf8.ValidString(frame.Function) && utf8.ValidString(frame.File))
			}
		}
		_ = countLines(memory)
	})
}
