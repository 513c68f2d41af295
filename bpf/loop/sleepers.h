/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Loops asleep outside their wait: takes a loop that falls asleep or wakes, gives a record once its
 * period is half a block, although nothing happens on its thread. The ticks of all CPUs look.
 */
#pragma once

#include "../maps.h"
#include "life.h"

/* Direct-mapped by thread id, with when the period began. Where two loops meet in one place, user
 * space finds out by itself a moment later. */
#define SLEEPERS 512
struct {
	__u64 since; /* 0: none, or already told */
	__u32 tid;
	__u32 tgid;
} sleepers[SLEEPERS];

static __always_inline void enter_sleeper(__u32 tid, const struct thread *t)
{
	__u32 i = tid & (SLEEPERS - 1);

	sleepers[i].since = 0;
	sleepers[i].tid = tid;
	sleepers[i].tgid = t->tgid;
	barrier();
	sleepers[i].since = t->since;
}

static __always_inline void remove_sleeper(__u32 tid)
{
	__u32 i = tid & (SLEEPERS - 1);

	if (sleepers[i].tid == tid)
		sleepers[i].since = 0;
}

/* Tells user space of a sleep that is likely to become a block, while its stack can be named: the code
 * of a module is gone when its import ends. */
__attribute__((noinline)) int tell_sleeper(__u32 i, __u64 now)
{
	__u64 since;

	if (i >= SLEEPERS)
		return 0;
	since = sleepers[i].since;
	if (!since || now - since < threshold / 2)
		return 0;
	sleepers[i].since = 0;
	send_life(RECORD_CROSSED, sleepers[i].tgid, sleepers[i].tid, 0);
	return 0;
}
