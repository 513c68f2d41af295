// SPDX-License-Identifier: Apache-2.0

// Package abi is what the kernel side and user space both know: the records, map values, enums, sizes
// and counters that bpf/abi declares. It is generated from there, so that each is written down once.
// Its names are those of C in Go's spelling: STACK_LEAF is StackLeaf, struct py_frame is PyFrame. It
// imports nothing of loopwatch.
package abi

//go:generate go run ./gen -cc clang-19 ../../bpf abi.go
