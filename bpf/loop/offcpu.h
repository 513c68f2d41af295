/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Time off the CPU outside the wait: takes a loop's thread as it is switched out, woken and
 * switched in, gives a sample of each long stretch, and the sums of all of them.
 */
#pragma once

#include "../maps.h"
#include "delayed.h"
#include "lag.h"
#include "period.h"
#include "quota.h"
#include "sample.h"
#include "sleepers.h"
#include "stop.h"

static __always_inline bool is_off_cpu(const struct thread *t)
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
		keep_sample(t, tid, s, now);
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
static __always_inline void back_on_cpu(struct thread *t, __u32 tid, struct task_struct *task,
					__u64 now)
{
	struct sample *s;
	__u64 ns, waited, throttled, number, from = t->off_since;
	bool again;

	if (t->resting) {
		t->resting = 0;
		again = waits_again(t, tid, now);
		count_wait(t, now);
		t->prompted = 1;
		open_period(t, task, now);
		t->again = again;
		return;
	}
	remove_sleeper(tid);
	ns = now - from;
	t->off_since = 0;
	waited = waited_for_cpu(t, task, from, now);
	throttled = throttled_for(t, waited);
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
		t->has_stack = 0; /* it says nothing about the sleeps around it */
	if (!t->has_stack || (ns < quantum() && !t->released))
		return;
	s = spare_sample(t);
	if (!s)
		return;
	if (s->nr == NR_FUTEX && !in_gil_wait(&t->config, s))
		t->unreleased = !t->released;
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
	keep_sample(t, tid, s, now);
}

/* The thread runs, but no event said that it is back: some kernels switch from some tasks without
 * the tracepoint. Since when follows from the scheduler's own account of its CPU time. */
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
	back_on_cpu(t, tid, task, ran < now - left ? now - ran : left);
	return 0;
}

#define KERNEL_SKIP 3 /* frames of our own on top of a kernel stack */

/* Where in the kernel a thread sleeps that no signal wakes, or that is in no syscall: user space
 * tells a disk from a lock by it. A closed descriptor is gone before close waits, so for close
 * nothing else shows that. */
static __always_inline void read_kernel_stack(void *ctx, struct sample *s)
{
	long n;

	if (!(s->state & TASK_UNINTERRUPTIBLE) && s->nr >= 0 && s->nr != NR_CLOSE)
		return;
	n = bpf_get_stack(ctx, s->kernel, sizeof(s->kernel), KERNEL_SKIP);
	if (n > 0)
		s->kernel_depth = n / sizeof(s->kernel[0]);
}

/* A loop's thread leaves the CPU asleep in its wait. */
static __always_inline void sleep_in_wait(struct thread *t, __u32 tid, struct task_struct *task, __u32 state, __u64 now)
{
	if (t->late_from) { /* woken before */
		if (is_stopped(task, state)) { /* a freezer lets it sleep in its wait until something comes */
			t->stop_since = now;
			return;
		}
		begin_wait(t); /* for nothing */
	}
	if (t->again) {
		t->late.ns = 0;
		close_period(tid, now, 0);
	}
	t->slept = 1;
	forget_events(t);
	if (t->blocked)
		send_nobody_delayed(t, tid);
}

/* A loop's thread leaves the CPU. */
static __always_inline void switch_out(void *ctx, struct task_struct *prev, bool preempt, __u64 now)
{
	__u32 tid = prev->pid, state;
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);
	struct sample *s;

	if (!t)
		return;
	if (is_off_cpu(t))
		catch_up(tid, now);
	state = task_state(prev);
	if (t->in_wait) {
		if (preempt || state == TASK_RUNNING)
			runnable_in_wait(t, prev, now);
		else
			sleep_in_wait(t, tid, prev, state, now);
		return;
	}
	refresh(t, tid);
	t->asleep = !preempt && state != TASK_RUNNING;
	t->released = 0;
	t->woken_at = 0;
	t->stopped = t->asleep && is_stopped(prev, state);
	note_run_delay(t, prev);
	note_clocks(t, prev, now);
	if (t->stopped && stopped_in_wait(t, tid, prev, now))
		return;
	if (!t->asleep) {
		/* As good as a tick, and on a busy CPU it may be the only one. */
		sample_running(t, tid, prev, quantum(), now);
		note_preempted(t, tid, prev, now);
		t->off_since = now;
		return;
	}
	t->off_since = now;
	s = spare_sample(t);
	if (!s || (BPF_CORE_READ(prev, flags) & PF_EXITING)) /* its memory may be gone */
		return;
	fill_sample(s, t, tid, prev, SAMPLE_OFF, state, now);
	s->stopped = t->stopped;
	read_kernel_stack(ctx, s);
	t->has_stack = !walk_sample(spare_index(t), tid);
	if (!t->has_stack) { /* the shorter sleeps before have lost theirs with it */
		t->stackless_ns += t->pending_ns;
		t->pending_ns = 0;
	}
	see_gil_holder(spare_index(t), tid);
	if (t->has_stack && t->config.rest_code && s->stack.frames[0].code == t->config.rest_code) {
		/* A loop that sleeps instead of waiting: eventlet's hub without descriptors. Its
		 * stack says nothing about what came before. */
		t->has_stack = 0;
		close_period(tid, now, 0);
		t->interrupted_fd = NO_FD;
		t->off_since = 0;
		t->resting = 1;
		t->slept = 1;
	} else if (t->has_stack) {
		enter_sleeper(tid, t);
	}
}

static __always_inline void switch_in(struct task_struct *next, __u64 now)
{
	__u32 tid = next->pid;
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);

	if (t && is_off_cpu(t))
		back_on_cpu(t, tid, next, now);
}

/* A loop's thread is woken: in its wait, or where it slept in a futex outside. Then only where the
 * stretch makes a sample full, or is the last slice of a wait for a lock: the others go with the
 * next. */
static __always_inline void woken(struct task_struct *task)
{
	__u32 tid = task->pid;
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);
	__u64 now = bpf_ktime_get_ns();
	struct sample *s;

	if (!t)
		return;
	if (t->in_wait) {
		woken_in_wait(t, task, now);
		return;
	}
	if (!t->asleep || !t->off_since)
		return;
	t->woken_at = now;
	if (now - t->off_since + t->pending_ns < quantum() && !t->unreleased)
		return;
	s = spare_sample(t);
	if (s && !t->has_stack && (s->at != t->off_since || s->tid != tid))
		fill_stackless(s, t, tid, task, t->off_since);
	if (!s || s->nr != NR_FUTEX || s->at != t->off_since || s->tid != tid ||
	    in_gil_wait(&t->config, s))
		return;
	t->released = find_releaser(t, s);
}
