/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Registers, one part for each architecture: takes a task, gives the syscall it is in with its
 * arguments, its instruction pointer and its thread pointer.
 */
#pragma once

#include "../abi.h"
#include "types.h"

#if defined(__TARGET_ARCH_x86)
#define NR_CLOSE 3
#define NR_FUTEX 202
#define NR_EXIT 60
#define NR_EPOLL_WAIT 232
#define NR_EPOLL_PWAIT 281
#define NR_EPOLL_PWAIT2 441
#define KERNEL_STACK_SIZE (16 << 10) /* x86-64, 4.x and later, without KASAN */
#define THREAD_DESCRIPTION THREAD_DESCRIPTION_X86
#elif defined(__TARGET_ARCH_arm64)
#define NR_CLOSE 57
#define NR_FUTEX 98
#define NR_EXIT 93
#define NR_EPOLL_WAIT -1
#define NR_EPOLL_PWAIT 22
#define NR_EPOLL_PWAIT2 441
#define KERNEL_STACK_SIZE (16 << 10)
#define THREAD_DESCRIPTION THREAD_DESCRIPTION_ARM64
#endif

static __always_inline bool is_epoll_wait(__s32 nr)
{
	return nr == NR_EPOLL_WAIT || nr == NR_EPOLL_PWAIT || nr == NR_EPOLL_PWAIT2;
}

/* What the registers say of the way a task entered the kernel. */
struct entry {
	__s32 nr; /* -1: not by a syscall, or it could not be read */
	__u64 ip;
	__u64 args[3];
};

/* Where the registers lie that `task` entered the kernel with. bpf_task_pt_regs is 5.15 and wants
 * a pointer the verifier knows as a task; before, the registers end where the stack does. */
#define entry_regs(task)                                                                           \
	(bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs) ?                     \
		 (const void *)bpf_task_pt_regs(task) :                                            \
		 (const void *)((__u64)BPF_CORE_READ(task, stack) + KERNEL_STACK_SIZE -            \
				bpf_core_type_size(struct pt_regs___entry)))

/* The registers are stale for a task that runs in user mode. */
static __always_inline void read_entry(const struct pt_regs___entry *regs, struct entry *e)
{
	e->nr = -1;
	e->ip = 0;
	e->args[0] = e->args[1] = e->args[2] = 0;
	if (!regs)
		return;
#if defined(__TARGET_ARCH_x86)
	e->ip = BPF_CORE_READ(regs, ip);
	/* orig_ax is the error code after a fault. The SYSCALL instruction leaves the return
	 * address in rcx, a fault leaves it alone. */
	if (BPF_CORE_READ(regs, cx) != e->ip)
		return;
	e->nr = (__s32)BPF_CORE_READ(regs, orig_ax);
	e->args[0] = BPF_CORE_READ(regs, di);
	e->args[1] = BPF_CORE_READ(regs, si);
	e->args[2] = BPF_CORE_READ(regs, dx);
#elif defined(__TARGET_ARCH_arm64)
	e->ip = BPF_CORE_READ(regs, pc);
	e->nr = BPF_CORE_READ(regs, syscallno);
	e->args[0] = BPF_CORE_READ(regs, regs[0]);
	e->args[1] = BPF_CORE_READ(regs, regs[1]);
	e->args[2] = BPF_CORE_READ(regs, regs[2]);
#endif
}

static __always_inline __u64 syscall_argument(const struct pt_regs___entry *regs, __u32 n)
{
#if defined(__TARGET_ARCH_x86)
	switch (n) {
	case 0:
		return BPF_CORE_READ(regs, di);
	case 1:
		return BPF_CORE_READ(regs, si);
	case 2:
		return BPF_CORE_READ(regs, dx);
	case 3:
		return BPF_CORE_READ(regs, r10);
	case 4:
		return BPF_CORE_READ(regs, r8);
	default:
		return BPF_CORE_READ(regs, r9);
	}
#elif defined(__TARGET_ARCH_arm64)
	switch (n) {
	case 0:
		return BPF_CORE_READ(regs, regs[0]);
	case 1:
		return BPF_CORE_READ(regs, regs[1]);
	case 2:
		return BPF_CORE_READ(regs, regs[2]);
	case 3:
		return BPF_CORE_READ(regs, regs[3]);
	case 4:
		return BPF_CORE_READ(regs, regs[4]);
	default:
		return BPF_CORE_READ(regs, regs[5]);
	}
#endif
}

static __always_inline __u64 thread_pointer(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ(task, thread.fsbase);
#elif defined(__TARGET_ARCH_arm64)
	return BPF_CORE_READ(task, thread.uw.tp_value);
#endif
}

/* Whether the thread with this pointer is the one that pthread_self calls `self`. */
static __always_inline bool is_thread(__u64 pointer, __u64 self)
{
	return pointer - self <= THREAD_DESCRIPTION;
}
