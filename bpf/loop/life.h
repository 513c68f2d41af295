/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The lives of processes and threads: takes a fork, exec or exit, gives a record of it, and
 * forgets what has ended.
 */
#pragma once

#include "../maps.h"
#include "period.h"
#include "ready.h"

static __always_inline void send_life(__u32 type, __u32 tgid, __u32 tid, __u32 last)
{
	struct life_record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!r) {
		count(LOST_RECORDS);
		return;
	}
	r->type = type;
	r->tgid = tgid;
	r->tid = tid;
	r->last = last;
	bpf_ringbuf_submit(r, 0);
}

static __always_inline void forget_thread(__u32 tid)
{
	struct thread *t;

	if (!may_be_tracked(tid))
		return;
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t)
		return;
	refresh(t, tid);
	if (!t->in_wait)
		close_period(tid, bpf_ktime_get_ns(), BLOCK_EXITED);
	forget_epoll(t);
	bpf_map_delete_elem(&threads, &tid);
	bpf_map_delete_elem(&configs, &tid);
}

/* A child of a process that is watched is watched too, where the user wants that. */
static __always_inline void forked(struct task_struct *parent, struct task_struct *child)
{
	__u32 from = parent->tgid, to = child->tgid, one = 1;

	if (!follow_children || from == to || !bpf_map_lookup_elem(&wanted, &from))
		return;
	set_ignored(to, false);
	if (bpf_map_update_elem(&wanted, &to, &one, BPF_ANY))
		count(FULL_PROCESSES);
}

/* A process has become another program; its other threads have ended. */
static __always_inline void execed(struct task_struct *task, __u32 old_tid)
{
	__u32 tgid = task->tgid;

	forget_thread(task->pid);
	forget_thread(old_tid);
	set_ignored(tgid, false);
	if (bpf_map_delete_elem(&processes, &tgid) == 0)
		send_life(RECORD_EXEC, tgid, old_tid, 1);
}

static __always_inline void exited(struct task_struct *task)
{
	__u32 tid = task->pid, tgid = task->tgid, verdict;
	bool last = ends_process(task);
	struct process *known;

	forget_thread(tid);
	if (last) {
		set_ignored(tgid, false);
		if (filtered)
			bpf_map_delete_elem(&wanted, &tgid);
	}
	known = bpf_map_lookup_elem(&processes, &tgid);
	if (!known)
		return;
	verdict = known->verdict;
	if (last)
		bpf_map_delete_elem(&processes, &tgid);
	if (verdict != VERDICT_IGNORED || last)
		send_life(RECORD_EXIT, tgid, tid, last);
}
