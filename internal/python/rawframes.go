// SPDX-License-Identifier: Apache-2.0

package python

import (
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// RawFrames converts a stack of the kernel's; nil has none. Where its middle was cut, a frame without code
// stands for what is missing.
func RawFrames(s *wire.Stack) []cpython.RawFrame {
	if s == nil {
		return nil
	}
	out := make([]cpython.RawFrame, 0, len(s.Frames))
	for _, f := range s.Frames {
		out = append(out, cpython.RawFrame(f))
	}
	return out
}
