// SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only)
/*
 * The programs that watch loops, a few lines each over the headers: waits, scheduler, clock, the
 * interpreter's own probes, the lives of processes, and threads that are there already.
 * docs/design.md has the whole picture.
 */
#include "kernel/registers.h"
#include "kernel/task.h"
#include "loop/life.h"
#include "loop/offcpu.h"
#include "loop/ready.h"
#include "loop/sample.h"
#include "loop/seed.h"
#include "loop/sleepers.h"
#include "loop/usdt.h"
#include "loop/wait.h"
#include "maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* All three syscalls end up in here, on every architecture. Their own wrappers are no good: the
 * BTF of some kernels has them twice, or without the type of their argument. */
SEC("fentry/do_epoll_wait")
int BPF_PROG(fentry_wait, int fd, void *events, int maxevents, __u64 timeout)
{
	return wait_enter(fd, timeout, OF_FUNCTION, 0);
}

SEC("fexit/do_epoll_wait")
int BPF_PROG(fexit_wait, int fd, void *events, int maxevents, __u64 timeout, int ret)
{
	return wait_exit(ret);
}

/* Attached to the tracepoints of all of epoll_wait (x86 alone has it), epoll_pwait and
 * epoll_pwait2: the descriptor is the first argument of each. */
SEC("tracepoint/syscalls/sys_enter_epoll_pwait")
int enter_wait(struct sys_enter_ctx *ctx)
{
	return wait_enter((__s32)ctx->args[0], ctx->args[3], OF_SYSCALL, (__s32)ctx->nr);
}

SEC("tracepoint/syscalls/sys_exit_epoll_pwait")
int exit_wait(struct sys_exit_ctx *ctx)
{
	return wait_exit((__s32)ctx->ret);
}

SEC("fentry/ep_poll_callback")
int BPF_PROG(on_ready, struct wait_queue_entry *wait, unsigned int mode, int sync, void *key)
{
	note_ready(wait, (__u32)(__u64)key);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	bool out = may_be_tracked(prev->pid), in = may_be_tracked(next->pid);
	__u64 now;

	if (!out && !in)
		return 0;
	now = bpf_ktime_get_ns();
	if (out)
		switch_out(ctx, prev, preempt, now);
	if (in)
		switch_in(next, now);
	return 0;
}

SEC("tp_btf/sched_waking")
int BPF_PROG(on_waking, struct task_struct *task)
{
	if (may_be_tracked(task->pid))
		woken(task);
	return 0;
}

/* A loop's thread is found running outside its wait. */
SEC("perf_event")
int on_tick(void *ctx)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	__u64 now = bpf_ktime_get_ns();
	struct thread *t;

	for (__u32 i = 0; i < SLEEPERS; i++)
		tell_sleeper(i, now);
	if (!may_be_tracked(tid))
		return 0;
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t)
		return 0;
	/* It may have been running since before user space knew how to walk it. */
	refresh(t, tid);
	if (is_off_cpu(t))
		catch_up(tid, now);
	if (!t->in_wait)
		sample_running(t, tid, current_task(), t->crossed ? 0 : quantum(), now);
	return 0;
}

/* A site of one of the interpreter's own probes is hit. Which one, the attachment says; where that
 * cannot be asked (bpf_get_attach_cookie is 5.15), there is a program for each. */
#ifndef WITHOUT_BPF_LOOP
SEC("uprobe")
int usdt(struct pt_regs *regs)
{
	return usdt_hit(regs, (__u32)bpf_get_attach_cookie(regs));
}
#else
#define USDT_PROGRAM(n)                                                                            \
	SEC("uprobe")                                                                              \
	int usdt_##n(struct pt_regs *regs)                                                         \
	{                                                                                          \
		return usdt_hit(regs, n);                                                          \
	}
USDT_PROGRAM(0)
USDT_PROGRAM(1)
USDT_PROGRAM(2)
USDT_PROGRAM(3)
USDT_PROGRAM(4)
USDT_PROGRAM(5)
USDT_PROGRAM(6)
USDT_PROGRAM(7)
USDT_PROGRAM(8)
USDT_PROGRAM(9)
USDT_PROGRAM(10)
USDT_PROGRAM(11)
USDT_PROGRAM(12)
USDT_PROGRAM(13)
USDT_PROGRAM(14)
USDT_PROGRAM(15)
USDT_PROGRAM(16)
USDT_PROGRAM(17)
USDT_PROGRAM(18)
USDT_PROGRAM(19)
USDT_PROGRAM(20)
USDT_PROGRAM(21)
USDT_PROGRAM(22)
USDT_PROGRAM(23)
#endif

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	forked(parent, child);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid)
{
	execed(task, old_pid);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	exited(task);
	return 0;
}

/* Thread pointers of one process: what the interpreter calls its threads by. */
SEC("iter/task")
int list_pointers(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread_pointer entry = {};

	if (!task || !ctx->meta || task->tgid != listed)
		return 0;
	entry.tid = task->pid;
	entry.pointer = thread_pointer(task);
	bpf_seq_write(ctx->meta->seq, &entry, sizeof(entry));
	return 0;
}

/* Run now and then: see tracked_tids. */
SEC("iter/task")
int remark(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u32 tid;

	if (!task)
		return 0;
	tid = task->pid;
	if (may_be_tracked(tid) && bpf_map_lookup_elem(&threads, &tid))
		track_tid(tid);
	return 0;
}

/* Run at the start: every thread of a process known as Python that no hook has met yet. */
SEC("iter/task")
int seed(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		seed_task(task);
	return 0;
}
