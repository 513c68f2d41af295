/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The state of a task: takes a task, gives whether it runs, sleeps or is stopped.
 */
#pragma once

#include "types.h"

#define JOBCTL_TRAP_FREEZE (1UL << 23)
#define TASK_STOPPED_OR_TRACED (0x4 | 0x8)
#define TASK_FROZEN 0x8000   /* cgroup v1's freezer, 6.1 and later */
#define PF_FROZEN 0x00010000 /* the same, before; later kernels give the bit to no user thread */

/* As a pointer the verifier knows, from 5.11 on. */
static __always_inline struct task_struct *current_task(void)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf))
		return (struct task_struct *)bpf_get_current_task_btf();
	return (struct task_struct *)bpf_get_current_task();
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

/* Whether a thread that exits is the last one of its process. The main thread may end before others, and
 * ends where another one calls exec. */
static __always_inline bool ends_process(struct task_struct *task)
{
	return BPF_CORE_READ(task, signal, live.counter) == 0;
}

/* Whether a thread that leaves the CPU asleep was stopped: by a signal, a tracer, or a freezer. */
static __always_inline bool is_stopped(struct task_struct *task, __u32 state)
{
	if (state & (TASK_STOPPED_OR_TRACED | TASK_FROZEN))
		return true;
	if (BPF_CORE_READ(task, flags) & PF_FROZEN)
		return true;
	/* cgroup v2's freezer lets it sleep like any other. `frozen` alone is also set while a
	 * parent waits for its vfork child. */
	return bpf_core_field_exists(task->frozen) && BPF_CORE_READ_BITFIELD_PROBED(task, frozen) &&
	       BPF_CORE_READ(task, jobctl) & JOBCTL_TRAP_FREEZE;
}
