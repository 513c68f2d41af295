/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Two iterations for one answer: takes an active period that ends, and the wait behind it, gives how long the next period's
 * loop has been held back by then.
 *
 * A loop reads what has come in one iteration, and often runs the task that answers in the next; between the two it looks
 * for events without waiting. Kept from running in both, it makes its clients wait for the sum, though neither may reach the
 * threshold. The two are joined where the first began with an event or after a rest, where the loop was held back for most of
 * the time in both, and where the first belongs to no block. A loop that goes round and round with nothing to do is no such case.
 */
#pragma once

#include "../maps.h"

static __always_inline bool mostly_held_back(const struct thread *t, __u64 ns)
{
	return 2 * (t->late.ns + t->waited_ns + t->stopped_ns) >= ns + t->late.ns;
}

/* A period of `ns` ends that is no block by itself. */
static __always_inline void keep_iteration(struct thread *t, __u64 ns)
{
	__u64 held = t->waited_ns + t->stopped_ns;

	t->joined.ns = 0;
	if (!t->prompted || !mostly_held_back(t, ns) || t->late.ns + held < threshold / LATE_PART)
		return;
	t->joined = t->late;
	t->joined.ns += ns;
	t->joined.throttled_ns += t->throttled_ns;
	t->joined.stopped_ns += t->stopped_ns;
	t->joined.ran_ns = ns > t->off_ns ? ns - t->off_ns : 0;
	t->joined.asleep_ns = t->off_ns > held ? t->off_ns - held : 0;
}

/* The wait behind it has returned, after `ns`; t->late is of that. */
static __always_inline void join_iteration(struct thread *t, __u64 ns)
{
	if (!t->joined.ns)
		return;
	if (t->slept) {
		t->joined.ns = 0;
		return;
	}
	t->joined.ns += ns;
	t->joined.throttled_ns += t->late.throttled_ns;
	t->joined.stopped_ns += t->late.stopped_ns;
	t->joined.ran_ns += ns > t->late.ns ? ns - t->late.ns : 0;
}
