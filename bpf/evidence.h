/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * What a thread was doing in the kernel: its syscall and state. What the syscall works on is
 * in target.h.
 */
#pragma once

#include "maps.h"

#if defined(__TARGET_ARCH_x86)
#define NR_CLOSE 3
#define NR_FUTEX 202
#define NR_EXIT 60
#define NR_EPOLL_WAIT 232
#define NR_EPOLL_PWAIT 281
#define NR_EPOLL_PWAIT2 441
#define KERNEL_STACK_SIZE (16 << 10) /* x86-64, 4.x and later, without KASAN */
#elif defined(__TARGET_ARCH_arm64)
#define NR_CLOSE 57
#define NR_FUTEX 98
#define NR_EXIT 93
#define NR_EPOLL_WAIT -1
#define NR_EPOLL_PWAIT 22
#define NR_EPOLL_PWAIT2 441
#define KERNEL_STACK_SIZE (16 << 10)
#endif

static __always_inline bool is_epoll_wait(__s32 nr)
{
	return nr == NR_EPOLL_WAIT || nr == NR_EPOLL_PWAIT || nr == NR_EPOLL_PWAIT2;
}

/* As a pointer the verifier knows, from 5.11 on. */
static __always_inline struct task_struct *current_task(void)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf))
		return (struct task_struct *)bpf_get_current_task_btf();
	return (struct task_struct *)bpf_get_current_task();
}

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

/* pthread_self is the thread pointer on x86-64. On arm64 the C library keeps its own description of the
 * thread, which pthread_self points to, right below the place the thread pointer points to; how large
 * that is depends on the library. Stacks are farther apart. */
#if defined(__TARGET_ARCH_x86)
#define THREAD_DESCRIPTION 0
#elif defined(__TARGET_ARCH_arm64)
#define THREAD_DESCRIPTION 8192
#endif

/* Whether the thread with this pointer is the one that pthread_self calls `self`. */
static __always_inline bool is_thread(__u64 pointer, __u64 self)
{
	return pointer - self <= THREAD_DESCRIPTION;
}

static __always_inline __u64 thread_pointer(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ(task, thread.fsbase);
#elif defined(__TARGET_ARCH_arm64)
	return BPF_CORE_READ(task, thread.uw.tp_value);
#endif
}

static __always_inline __u32 task_state(struct task_struct *task)
{
	if (bpf_core_field_exists(task->__state))
		return BPF_CORE_READ(task, __state);
	return (__u32)BPF_CORE_READ((struct task_struct___old *)task, state);
}

/* Whether a task is on a CPU now; where the kernel does not say, one that does not sleep may be. */
static __always_inline bool on_cpu(struct task_struct *task)
{
	if (bpf_core_field_exists(task->on_cpu))
		return BPF_CORE_READ(task, on_cpu);
	return task_state(task) == TASK_RUNNING;
}
