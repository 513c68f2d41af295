// SPDX-License-Identifier: Apache-2.0

package listing

// The kernel side is compiled for both architectures and committed, see ../generate.go.
//
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 -no-global-types listing ../../../bpf/listing.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3
