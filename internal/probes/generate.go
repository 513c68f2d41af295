// SPDX-License-Identifier: Apache-2.0

package probes

// The kernel side is compiled for both architectures and committed; `make generate` runs this
// with the system's include directory in BPF2GO_CFLAGS. There is a second object for kernels
// before 5.17, see bpf/pystack.h, and a small one of its own for the census. The records are declared once, in
// bpf/records.h: their Go types come from the object's BTF.
//
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 -type py_layout -type py_frame -type process -type thread_config -type thread -type loop_books -type stack -type wait_record -type sample -type sample_flag -type holder -type thread_pointer -type held_sample -type block_record -type stackless -type life_record -type delayed_record -type record_type -type verdict -type seed_pass -type sample_kind -type instr_kind -type counter -type target -type target_kind -type syscall_object -type usdt_site -type usdt_arg -type inside -type usdt_probe -type usdt_how -type room loopwatch ../../bpf/loopwatch.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 withoutLoop ../../bpf/loopwatch.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3 -DWITHOUT_BPF_LOOP
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 -type census_thread -type census_fd -type asked_fds -no-global-types census ../../bpf/census.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3
