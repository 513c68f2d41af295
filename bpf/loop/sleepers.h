/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Loops asleep outside their wait, or stopped in it: takes a loop that falls asleep or wakes, gives a record once its
 * period is half a block, and notes when something is ready for one that is stopped, although nothing happens on its
 * thread. The ticks of all CPUs look.
 */
#pragma once

#include "../maps.h"
#include "life.h"

/* Direct-mapped by thread id, with when the period or the stop began. Where two loops meet in one place, user
 * space finds out by itself a moment later; of a stop only its timer is known then. */
#define SLEEPERS 512
struct {
	__u64 since; /* 0: none, or already told */
	__u32 tid;
	__u32 tgid;
	__u64 epoll; /* address of the instance that a stopped loop waits on, 0: it is not in its wait */
} sleepers[SLEEPERS];

static __always_inline void enter(__u32 tid, const struct thread *t, __u64 epoll, __u64 since)
{
	__u32 i = tid & (SLEEPERS - 1);

	sleepers[i].since = 0;
	sleepers[i].tid = tid;
	sleepers[i].tgid = t->tgid;
	sleepers[i].epoll = epoll;
	barrier();
	sleepers[i].since = since;
}

static __always_inline void enter_sleeper(__u32 tid, const struct thread *t)
{
	enter(tid, t, 0, t->since);
}

static __always_inline void enter_stop(__u32 tid, const struct thread *t, __u64 epoll, __u64 since)
{
	if (epoll)
		enter(tid, t, epoll, since);
}

static __always_inline void remove_sleeper(__u32 tid)
{
	__u32 i = tid & (SLEEPERS - 1);

	if (sleepers[i].tid == tid)
		sleepers[i].since = 0;
}

static __always_inline bool has_ready(__u64 epoll)
{
	__u64 list = epoll + bpf_core_field_offset(struct eventpoll, rdllist), next;

	return !bpf_probe_read_kernel(&next, sizeof(next), (void *)list) && next != list;
}

/* A loop is stopped in its wait: since when it is late, if it is. Returns whether that is settled. */
static __always_inline bool see_stopped(__u32 tid, __u64 epoll, __u64 now)
{
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);
	__u64 timer;

	if (!t || !t->stop_since || t->late_from)
		return true;
	timer = stopped_timer(t, now);
	if (!timer && !has_ready(epoll))
		return false;
	t->late_from = timer ? timer : now;
	return true;
}

/* Tells user space of a sleep that is likely to become a block, while its stack can be named: the code
 * of a module is gone when its import ends. */
__attribute__((noinline)) int tell_sleeper(__u32 i, __u64 now)
{
	__u64 since;

	if (i >= SLEEPERS)
		return 0;
	since = sleepers[i].since;
	if (!since)
		return 0;
	if (sleepers[i].epoll) {
		if (see_stopped(sleepers[i].tid, sleepers[i].epoll, now))
			sleepers[i].since = 0;
		return 0;
	}
	if (now - since < threshold / 2)
		return 0;
	sleepers[i].since = 0;
	send_life(RECORD_CROSSED, sleepers[i].tgid, sleepers[i].tid, 0);
	return 0;
}
