// SPDX-License-Identifier: Apache-2.0

package cpython

import "runtime"

// threadDescription bounds how far pthread_self is below the thread pointer. On x86-64 they are one. On
// arm64 the C library keeps its own description of the thread there, whose size depends on the library;
// stacks are farther apart. bpf/evidence.h says the same.
var threadDescription = map[string]uint64{"amd64": 0, "arm64": 8192}[runtime.GOARCH]

// IsThread tells whether the thread with this thread pointer is the one that pthread_self calls self.
func IsThread(pointer, self uint64) bool { return pointer-self <= threadDescription }
