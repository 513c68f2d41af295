/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * A loop's thread away from the CPU outside its wait, and its way back.
 */
#pragma once

#include "cgroup.h"
#include "maps.h"
#include "periods.h"
#include "samples.h"

static __always_inline void fall_asleep(__u32 tid, const struct thread *t)
{
	__u32 i = tid & (SLEEPERS - 1);

	sleepers[i].since = 0;
	sleepers[i].tid = tid;
	sleepers[i].tgid = t->tgid;
	barrier();
	sleepers[i].since = t->since;
}

static __always_inline void wake_up(__u32 tid)
{
	__u32 i = tid & (SLEEPERS - 1);

	if (sleepers[i].tid == tid)
		sleepers[i].since = 0;
}

static __always_inline bool is_away(const struct thread *t)
{
	return t->resting || (t->off_since && !t->in_wait);
}

/* Taken when the thread leaves: the scheduler has just brought its accounts up to date. */
static __always_inline void note_clocks(struct thread *t, const struct task_struct *task, __u64 now)
{
	t->off_exec = task->se.sum_exec_runtime;
	t->off_clock = now - task->se.exec_start;
}

/* A thread has slept for `ns` and no stack says where. That time belongs to no other stack. */
static __always_inline void slept_stackless(struct thread *t, __u32 tid, struct task_struct *task,
					    __u64 from, __u64 ns, __u64 now)
{
	struct sample *s = spare_sample(t);
	struct entry e;

	if (s && ns >= quantum()) {
		if (s->at != from || s->tid != tid)
			fill_stackless(s, t, tid, task, from);
		s->ns = ns;
		s->waited_ns = t->waited_ns;
		s->throttled_ns = t->throttled_ns;
		keep(t, tid, s, now);
		return;
	}
	t->stackless_ns += ns;
	read_entry(entry_regs(task), &e);
	/* A lock is often waited for in slices, the GIL always: those of one futex are one. */
	if (t->stackless.ns && e.nr == NR_FUTEX && t->stackless.nr == NR_FUTEX &&
	    e.args[0] == t->stackless.args[0])
		ns += t->stackless.ns;
	else if (ns <= t->stackless.ns)
		return;
	t->stackless.at = from;
	t->stackless.ns = ns;
	t->stackless.nr = e.nr;
	t->stackless.args[0] = e.args[0];
	t->stackless.args[1] = e.args[1];
	t->stackless.args[2] = e.args[2];
}

/* A loop's thread is back on the CPU since `now`. */
static __always_inline void arrive(struct thread *t, __u32 tid, struct task_struct *task, __u64 now)
{
	struct sample *s;
	__u64 ns, waited, throttled, number, from = t->off_since;

	if (t->resting) {
		t->resting = 0;
		book_rest(t, now);
		open_period(t, now);
		return;
	}
	wake_up(tid);
	ns = now - from;
	t->off_since = 0;
	waited = waited_for_cpu(t, task, ns);
	throttled = held_back(t, waited);
	t->off_ns += ns;
	t->waited_ns += waited;
	t->throttled_ns += throttled;
	if (!t->asleep) {
		if (ns >= quantum())
			keep_preempted(t, tid, now);
		return;
	}
	ns -= waited;
	if (!t->stopped && !t->has_stack) {
		slept_stackless(t, tid, task, from, ns, now);
		return;
	}
	if (t->stopped)
		t->stopped_ns += ns;
	else
		ns = t->pending_ns += ns;
	if (t->has_stack && t->stopped && ns < quantum())
		t->has_stack = 0; /* no evidence of the sleeps around it */
	if (!t->has_stack || ns < quantum())
		return;
	s = spare_sample(t);
	if (!s)
		return;
	s->ns = ns;
	s->waited_ns = t->waited_ns;
	s->throttled_ns = t->throttled_ns;
	if (s->target.others) {
		/* A function of its own takes numbers only, and this makes one of a pointer. */
		bpf_probe_read_kernel(&number, sizeof(number), &task);
		settle_target(spare_index(t), number);
	}
	if (!t->stopped)
		t->pending_ns = 0;
	t->has_stack = 0;
	keep(t, tid, s, now);
}

/* The thread runs, and yet nothing told that it is back: some kernels switch from some tasks
 * without the tracepoint. Since when follows from the scheduler's own account of its CPU time. */
__attribute__((noinline)) int catch_up(__u32 tid, __u64 now)
{
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);
	struct task_struct *task = current_task();
	__u64 left, ran;
	__s64 since;

	if (!t)
		return 0;
	left = t->resting ? t->since : t->off_since;
	ran = BPF_CORE_READ(task, se.sum_exec_runtime) - t->off_exec;
	since = now - t->off_clock - BPF_CORE_READ(task, se.exec_start);
	if (t->off_clock && since > 0)
		ran += since;
	count(UNSEEN_RETURNS);
	arrive(t, tid, task, ran < now - left ? now - ran : left);
	return 0;
}
