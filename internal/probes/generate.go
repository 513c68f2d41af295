// SPDX-License-Identifier: Apache-2.0

package probes

// The kernel side is compiled for both architectures and committed; `make generate` runs this with the
// system's include directory in BPF2GO_CFLAGS. There is a second object for kernels before 5.17, see
// bpf/python/stack.h. What both sides know is in internal/abi.
//
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 -no-global-types loopwatch ../../bpf/loopwatch.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 -no-global-types withoutLoop ../../bpf/loopwatch.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3 -DWITHOUT_BPF_LOOP
