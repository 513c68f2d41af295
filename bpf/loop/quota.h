/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * What held a runnable thread back: a full run queue, or the CPU quota of its cgroup or of one
 * above it (cgroup v1 and v2 are the same to the scheduler). Takes a thread as it leaves the CPU
 * and as it is back, gives how long it waited for a CPU, and how much of that was the quota.
 *
 * The scheduler keeps, for each group and CPU, a clock of the time in which the group was held
 * back, by itself or by a group above it. Read when the thread leaves the CPU and when it is back,
 * the difference is how much of its absence that was. From 6.18 on each thread is held back by
 * itself, on its way to user mode, and says so; before, its group as a whole leaves the run queue.
 */
#pragma once

#include "../maps.h"

#define MAX_RT_PRIO 100

/* How long the group behind `q` has been held back on its CPU. */
static __always_inline __u64 throttle_clock(struct cfs_rq *q)
{
	__u64 total, since, now;

	if (bpf_core_field_exists(q->throttled_clock_self)) { /* 6.6 */
		total = BPF_CORE_READ(q, throttled_clock_self_time);
		since = BPF_CORE_READ(q, throttled_clock_self);
		now = BPF_CORE_READ(q, rq, clock);
	} else if (bpf_core_field_exists(q->throttled_clock_pelt)) { /* 5.19 */
		/* Runs slower than time while the CPU does, and catches up when that idles. */
		total = BPF_CORE_READ(q, throttled_clock_pelt_time);
		since = BPF_CORE_READ(q, throttled_clock_pelt);
		now = BPF_CORE_READ(q, rq, clock_pelt);
		if (!BPF_CORE_READ(q, throttle_count))
			since = 0;
	} else if (bpf_core_field_exists(((struct cfs_rq___old *)q)->throttled_clock_task)) {
		total = BPF_CORE_READ((struct cfs_rq___old *)q, throttled_clock_task_time);
		since = BPF_CORE_READ((struct cfs_rq___old *)q, throttled_clock_task);
		now = BPF_CORE_READ(q, rq, clock_task);
		if (!BPF_CORE_READ(q, throttle_count))
			since = 0;
	} else {
		return 0;
	}
	return since && now > since ? total + (now - since) : total;
}

/* From now on the thread may be held back: notes how long its group has been. */
static __always_inline void note_quota(struct thread *t, struct task_struct *task)
{
	struct cfs_rq *q;

	t->quota_rq = 0;
	t->throttled = 0;
	if (!bpf_core_field_exists(task->se.cfs_rq))
		return;
	if (bpf_core_field_exists(task->throttled)) {
		if (!BPF_CORE_READ(task, throttled))
			return;
		t->throttled = 1;
	} else if (BPF_CORE_READ(task, prio) < MAX_RT_PRIO) {
		return; /* a quota holds back ordinary threads only */
	}
	q = BPF_CORE_READ(task, se.cfs_rq);
	t->quota_rq = (__u64)q;
	t->quota_clock = throttle_clock(q);
	if (!t->throttled && !t->asleep)
		t->throttled = BPF_CORE_READ(q, throttle_count) > 0;
}

/* The thread leaves the CPU: notes the scheduler's figures of it. */
static __always_inline void note_run_delay(struct thread *t, struct task_struct *task)
{
	t->run_delay = BPF_CORE_READ(task, sched_info.run_delay);
	note_quota(t, task);
}

/* How long it was runnable without a CPU since note_run_delay, at most `ns`. Where it gets one just now, the scheduler adds
 * the last of it to run_delay only after this. */
static __always_inline __u64 run_delay_since(const struct thread *t, struct task_struct *task, __u64 ns)
{
	__u64 waited, queued, now;

	waited = BPF_CORE_READ(task, sched_info.run_delay) - t->run_delay;
	queued = BPF_CORE_READ(task, sched_info.last_queued);
	if (queued && bpf_core_field_exists(task->se.cfs_rq)) {
		now = BPF_CORE_READ(task, se.cfs_rq, rq, clock);
		if (now > queued)
			waited += now - queued;
	}
	return waited < ns ? waited : ns;
}

/* How long it was runnable without a CPU in its absence from `from` to `now`. Before it was woken it was not, whatever the
 * scheduler has counted: from 6.12 on a thread that falls asleep may stay on its CPU's run queue for a while, and where it is moved
 * to another CPU's meanwhile, it counts as waiting there until it runs again. */
static __always_inline __u64 waited_for_cpu(const struct thread *t, struct task_struct *task,
					    __u64 from, __u64 now)
{
	if (!t->asleep)
		return now - from;
	if (t->woken_at > from)
		from = t->woken_at;
	return now > from ? run_delay_since(t, task, now - from) : 0;
}

/* How much of the `waited` just ended was due to the quota. */
static __always_inline __u64 throttled_for(const struct thread *t, __u64 waited)
{
	__u64 clock;

	if (!t->quota_rq || !waited)
		return 0;
	clock = throttle_clock((struct cfs_rq *)t->quota_rq);
	if (clock <= t->quota_clock)
		return 0;
	clock -= t->quota_clock;
	return clock < waited ? clock : waited;
}
