/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Threads that nobody has judged yet: takes a thread and the descriptor it waits on, gives a
 * question to user space, and does not ask more often than helps.
 */
#pragma once

#include "../kernel/registers.h"
#include "../maps.h"
#include "../python/stack.h"

#define LOST_AGAIN_NS 100000000ULL /* there was no room for the question */
#define ASK_AGAIN_NS 1000000000ULL /* a descriptor number may be reused for a loop's */
#define ASK_DOUBLINGS 6            /* of the wait for an answer, before the question is put again */

static __always_inline void describe(struct wait_record *r, const struct thread *t, __u32 tid,
				     __s32 fd)
{
	r->type = RECORD_WAIT;
	r->tgid = t->tgid;
	r->tid = tid;
	r->fd = fd;
	r->thread_id = t->thread_id;
	r->period = t->period;
	r->has_stack = 0;
	r->stack.depth = 0;
	r->stack.failed = 0;
}

/* Asks user space what this wait is. The stack goes along as soon as it can be walked. */
static __always_inline void ask(struct thread *t, __u32 tid, __s32 fd, __u64 now)
{
	struct wait_record *r;

	if (t->asked_fd != fd)
		t->asks = 0;
	if (t->asks < ASK_DOUBLINGS)
		t->asks++;
	t->asked_at = now;
	t->asked_fd = fd;
	t->asked_with_stack = !!t->config.tstate;
	t->ask_lost = 0;
	if (t->config.tstate) {
		r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);
		if (!r)
			goto lost;
		describe(r, t, tid, fd);
		r->has_stack = !walk_stack(&t->config, &r->stack, 0, 0);
	} else {
		r = bpf_ringbuf_reserve(&records,
					__builtin_offsetof(struct wait_record, stack.frames), 0);
		if (!r)
			goto lost;
		describe(r, t, tid, fd);
	}
	bpf_ringbuf_submit(r, 0);
	return;
lost:
	t->ask_lost = 1;
	count(LOST_RECORDS);
}

/* Whether a wait on a descriptor that is not known as the loop's is worth a question. */
static __always_inline bool to_ask(const struct thread *t, __s32 fd, __u32 verdict, __u64 now)
{
	__u64 since = now - t->asked_at;

	if (verdict == VERDICT_IGNORED)
		return since > ASK_AGAIN_NS;
	if (t->ask_lost)
		return since > LOST_AGAIN_NS;
	/* More questions do not help a user space that is slow to answer. */
	return fd != t->asked_fd || (t->config.tstate && !t->asked_with_stack) ||
	       since > ASK_AGAIN_NS << (t->asks & 7);
}

/* 1 if the process is one to be watched, or not yet known. A process that is no Python may load one
 * later, so it is asked about again, at ever longer intervals: 1 s to 17 min. */
static __always_inline int process_wanted(__u32 tgid, __u64 now)
{
	struct process *known, fresh = { .asked_at = now, .verdict = VERDICT_PENDING };

	if (filtered && !bpf_map_lookup_elem(&wanted, &tgid)) {
		set_ignored(tgid, true);
		return 0;
	}
	known = bpf_map_lookup_elem(&processes, &tgid);
	if (known) {
		if (known->verdict != VERDICT_IGNORED)
			return 1;
		if (now - known->asked_at < ASK_AGAIN_NS << (known->tries & 15)) {
			set_ignored(tgid, true);
			return 0;
		}
		known->asked_at = now;
		if (known->tries < 10)
			known->tries++;
		return 1;
	}
	if (bpf_map_update_elem(&processes, &tgid, &fresh, BPF_NOEXIST))
		count(FULL_PROCESSES);
	return 1;
}

/* The first time this thread is seen: from here on it is followed, whatever it turns out to be. */
static __always_inline struct thread *new_thread(struct task_struct *task, __u32 tgid, __u32 tid,
						 __u64 now)
{
	struct thread *t, *blank;
	__u32 zero = 0;

	blank = bpf_map_lookup_elem(&blank_threads, &zero);
	if (!blank)
		return 0;
	if (bpf_map_update_elem(&threads, &tid, blank, BPF_NOEXIST)) {
		count(FULL_THREADS);
		return 0;
	}
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t)
		return 0;
	t->since = now;
	t->rested_at = now;
	t->tgid = tgid;
	t->thread_id = thread_pointer(task);
	t->wait_fd = NO_FD;
	t->interrupted_fd = NO_FD;
	t->in_wait = 1;
	t->config.slot = NO_SLOT;
	for (int i = 0; i < FDS_PER_THREAD; i++)
		t->config.fds[i] = NO_FD;
	track_tid(tid);
	return t;
}
