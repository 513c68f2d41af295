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
	if (t->stop_since) {
		end_stop(t, now);
		if (t->late_from)
			note_run_delay(t, task);
	}
	runnable_in_wait(t, task, now);
}

/* The wait ends at `now`. What the thread ran meanwhile, on its way out, was not late. */
static __always_inline void take_late(struct thread *t, struct task_struct *task, __u64 now)
{
	__u64 ns = 0, stopped = t->late_stopped_ns;

	if (t->late_from && t->late_from < now)
		ns = now - t->late_from;
	if (stopped > ns)
		stopped = ns;
	if (ns > stopped)
		ns = stopped + run_delay_since(t, task, ns - stopped);
	t->late.ns = ns;
	t->late.stopped_ns = stopped;
	t->late.throttled_ns = 0;
	if (ns >= threshold / LATE_PART)
		t->late.throttled_ns = throttled_for(t, ns - stopped);
	begin_wait(t);
}
