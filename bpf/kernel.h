/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The few kernel types the programs touch, kept by hand. Only names and types matter here:
 * CO-RE relocates every access to the running kernel's own layout. Field names are those of
 * Linux 5.10 to 7.3; where a name changed, both are declared (the ___old flavour is matched
 * by the name before the three underscores).
 */
#pragma once

#include <stdbool.h>
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sched_info {
	unsigned long long run_delay;
};

struct inode {
	unsigned short i_mode;
};

struct sock_common {
	unsigned short skc_family;
	__be16 skc_dport;
};

struct sock {
	struct sock_common __sk_common;
};

struct socket {
	struct sock *sk;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

#if defined(__TARGET_ARCH_x86)
struct thread_struct {
	unsigned long fsbase;
};
#elif defined(__TARGET_ARCH_arm64)
struct thread_struct {
	struct {
		unsigned long tp_value;
	} uw;
};
#endif

struct task_struct {
	unsigned int __state; /* 5.14 and later */
	int pid;
	int tgid;
	unsigned int flags;
	void *stack;
	void *mm;
	struct files_struct *files;
	struct sched_info sched_info;
	struct thread_struct thread;
};

struct task_struct___old {
	volatile long state; /* to 5.13 */
};

/* The registers a task entered the kernel with. The flavour keeps the name apart from the
 * forward declaration in <bpf/bpf_tracing.h>. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs___entry {
	unsigned long r11, r10, cx, dx, si, di, orig_ax, ip, flags;
};
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs___entry {
	__u64 regs[31];
	__u64 pc;
	__s32 syscallno;
};
#endif

struct linux_binprm;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#define TASK_RUNNING 0
#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000
#define S_IFMT 0170000
#define S_IFSOCK 0140000

/* What a syscall tracepoint hands over (events/syscalls/.../format). */
struct sys_enter_ctx {
	__u64 common;
	__s64 nr;
	__u64 args[6];
};
