// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/cpython/image"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
)

// FuzzAsyncioDebug: what a process says of its layout stays in bounds.
func FuzzAsyncioDebug(f *testing.F) {
	f.Add(make([]byte, image.AsyncioSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < image.AsyncioSize {
			return
		}
		if d, err := parseAsyncioDebug(b); err == nil {
			assert.Less(t, max(d.TaskCoro, d.TaskName, d.RunningTask), uint32(release.MaxOffset))
		}
	})
}
