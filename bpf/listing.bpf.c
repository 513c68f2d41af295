// SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only)
/*
 * The thread listing: what the threads of some processes are doing at this moment, for one look at
 * them. It is an object of its own, which hooks nothing and loads in a moment.
 */
#include "kernel/registers.h"
#include "kernel/task.h"
#include "maps.h"
#include "target/file.h"
#include "target/socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct___switches {
	unsigned long nvcsw;
	unsigned long nivcsw;
};
#pragma clang attribute pop

/* Thread id -> descriptors to describe. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct wanted_fds);
} wanted_sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct listed_socket);
} listed_sockets SEC(".maps");

/* Every thread of the processes in `wanted`. */
SEC("iter/task")
int list_threads(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_struct___switches *t = (void *)task;
	struct listed_thread c = {};
	const struct pt_regs___entry *regs;
	struct entry e;
	__u64 task_clock;
	__u32 tgid;

	if (!task || !ctx->meta)
		return 0;
	tgid = task->tgid;
	if (!bpf_map_lookup_elem(&wanted, &tgid))
		return 0;
	c.tgid = tgid;
	c.tid = task->pid;
	c.nr = -1;
	c.pointer = thread_pointer(task);
	/* Before the state: a thread that wakes up in between has more of them the next time. */
	c.switches = BPF_CORE_READ(t, nvcsw) + BPF_CORE_READ(t, nivcsw);
	c.state = task_state(task);
	c.stopped = is_stopped(task, c.state);
	/* The scheduler brought its account of the thread up to date when it left the CPU. That clock
	 * leaves out the time of interrupts and of a hypervisor, the other one does not. */
	if (bpf_core_field_exists(task->se.cfs_rq)) {
		c.left = BPF_CORE_READ(task, se.exec_start);
		task_clock = BPF_CORE_READ(task, se.cfs_rq, rq, clock_task);
		c.clock = BPF_CORE_READ(task, se.cfs_rq, rq, clock);
		if (c.left && c.clock > task_clock)
			c.left += c.clock - task_clock;
	}
	c.now = bpf_ktime_get_ns();
	/* Only a thread that sleeps is in the kernel for sure: else the registers are stale. */
	if (c.state != TASK_RUNNING) {
		regs = entry_regs(task);
		read_entry(regs, &e);
		c.nr = e.nr;
		c.args[0] = e.args[0];
		c.args[1] = e.args[1];
		c.args[2] = e.args[2];
		if (regs) {
			c.args[3] = syscall_argument(regs, 3);
			c.args[4] = syscall_argument(regs, 4);
		}
	}
	bpf_seq_write(ctx->meta->seq, &c, sizeof(c));
	return 0;
}

/* The sockets among the descriptors in `wanted_sockets`. Of any other file its link in /proc says
 * enough. */
SEC("iter/task")
int list_sockets(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	const struct wanted_fds *ask;
	struct listed_socket *c;
	struct file *file;
	__u32 tid, zero = 0;

	if (!task || !ctx->meta)
		return 0;
	tid = task->pid;
	ask = bpf_map_lookup_elem(&wanted_sockets, &tid);
	c = bpf_map_lookup_elem(&listed_sockets, &zero);
	if (!ask || !c)
		return 0;
	for (int i = 0; i < LISTED_FDS && i < ask->n; i++) {
		file = file_of(task, ask->fd[i]);
		if (!file)
			continue;
		__builtin_memset(&c->target, 0, sizeof(c->target));
		c->tid = tid;
		c->target.fd = ask->fd[i];
		c->target.mode = BPF_CORE_READ(file, f_inode, i_mode);
		if ((c->target.mode & S_IFMT) != S_IFSOCK)
			continue;
		describe_socket(&c->target, file);
		bpf_seq_write(ctx->meta->seq, c, sizeof(*c));
	}
	return 0;
}
