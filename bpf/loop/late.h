/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Late returns of the wait: takes a loop's thread as it is woken or switched out in its wait, gives how long it could have
 * gone on by the time it does. A thread that falls asleep again had nothing to do: that was not late.
 */
#pragma once

#include "../maps.h"
#include "quota.h"

/* A wait begins: nothing of it is late yet. */
static __always_inline void begin_wait(struct thread *t)
{
	t->late_from = 0;
	t->late_stopped_ns = 0;
	t->stop_since = 0;
	t->stop_deadline = 0;
}

/* The thread can run from `now` on, and has not got a CPU yet. */
static __always_inline void runnable_in_wait(struct thread *t, struct task_struct *task, __u64 now)
{
	if (t->late_from)
		return;
	t->late_from = now;
	note_run_delay(t, task);
}

/* When a timer was to end the wait in which the thread has been stopped, 0: none by now. */
static __always_inline __u64 stopped_timer(const struct thread *t, __u64 now)
{
	if (!t->stop_deadline || t->stop_deadline >= now)
		return 0;
	return t->stop_deadline > t->stop_since ? t->stop_deadline : t->stop_since;
}

/* The thread is woken from a stop in its wait. */
static __always_inline void end_stop(struct thread *t, __u64 now)
{
	__u64 from = stopped_timer(t, now);

	if (from && (!t->late_from || from < t->late_from))
		t->late_from = from;
	if (t->late_from) {
		from = t->late_from > t->stop_since ? t->late_from : t->stop_since;
		if (now > from)
			t->late_stopped_ns += now - from;
	}
	t->stop_since = 0;
}

static __always_inline void woken_in_wait(struct thread *t, struct task_struct *task, __u64 now)
{
	bool before = t->late_from && t->late_from < t->stop_since;

	if (t->stop_since) {
		end_stop(t, now);
		if (t->late_from && !before)
			note_run_delay(t, task);
	}
	runnable_in_wait(t, task, now);
}

/* How late the wait is that ends at `now`. What the thread ran meanwhile, on its way out, was not late. */
static __always_inline struct late late_by(const struct thread *t, struct task_struct *task, __u64 now)
{
	struct late late = {};
	__u64 waited = 0;

	if (!t->late_from || t->late_from >= now)
		return late;
	late.ns = now - t->late_from;
	late.stopped_ns = t->late_stopped_ns < late.ns ? t->late_stopped_ns : late.ns;
	if (late.ns > late.stopped_ns)
		waited = run_delay_since(t, task, late.ns - late.stopped_ns);
	late.ns = late.stopped_ns + waited;
	if (late.ns >= threshold / LATE_PART)
		late.throttled_ns = throttled_for(t, waited);
	return late;
}

static __always_inline void take_late(struct thread *t, struct task_struct *task, __u64 now)
{
	t->late = late_by(t, task, now);
	begin_wait(t);
}
