// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"runtime"

	"github.com/loopwatch/loopwatch/internal/abi"
)

// threadDescription bounds how far pthread_self is below the thread pointer (bpf/abi/thread.h says why).
var threadDescription = map[string]uint64{"amd64": abi.ThreadDescriptionX86, "arm64": abi.ThreadDescriptionArm64}[runtime.GOARCH]

// IsThread reports whether the thread with this thread pointer is the one that pthread_self calls self.
func IsThread(pointer, self uint64) bool { return pointer-self <= threadDescription }
