/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Lag: takes each event that becomes ready for a loop, and each return of its wait, gives how long the events had been ready by
 * then. Only where fentry is.
 *
 * An event of a descriptor that is ready already is no new one. What a callback has handled on the side is on no list when the
 * wait returns, and was not late. Two CPUs that note an event of one loop at the same moment may lose one of the two.
 */
#pragma once

#include "../maps.h"
#include "histogram.h"

#define EPOLLET (1U << 31)
#define EPOLLONESHOT (1U << 30)

static __always_inline __u64 item_bit(__u64 item)
{
	return 1ULL << (item >> 7 & 63); /* an epitem has 128 bytes */
}

/* A function of its own: the verifier checks it once. */
__attribute__((noinline)) int enter_lag(__u32 slot, __u64 ns)
{
	struct loop_statistics *sum = bpf_map_lookup_elem(&statistics, &slot);
	__u32 n = bucket(ns);

	if (!sum || n >= HIST_BUCKETS)
		return 0;
	sum->ready_histogram[n]++;
	if (ns > sum->ready_max_ns)
		sum->ready_max_ns = ns;
	return 0;
}

/* Whether an item is among the first n of those that are ready. */
static __always_inline bool is_noted(const struct ready_events *r, __u32 n, __u64 item)
{
	for (__u32 i = 0; i < READY_MAX && i < n; i++)
		if (r->events[i].item == item)
			return true;
	return false;
}

/* An event is ready for a loop. */
static __always_inline void begin_lag(const struct thread *t, __u64 item, __u64 now)
{
	__u32 slot = t->config.slot, n;
	struct ready_events *r;

	if (slot == NO_SLOT)
		return;
	r = bpf_map_lookup_elem(&ready_events, &slot);
	if (!r)
		return;
	n = r->n;
	if (r->seen & item_bit(item) && is_noted(r, n, item))
		return;
	if (n >= READY_MAX) {
		count(UNTIMED_EVENTS);
		return;
	}
	barrier_var(n); /* the verifiers of 5.10 and 6.1 do not remember the check */
	n &= READY_MAX - 1;
	r->events[n].item = item;
	r->events[n].at = now;
	r->seen |= item_bit(item);
	r->n = n + 1;
}

/* Whether an item may be ready still: then it is on the list of what is. Of one that is told once, that cannot be seen. */
static __always_inline bool may_be_ready(__u64 at)
{
	struct epitem *item = (void *)at;

	if (!bpf_core_field_exists(item->rdllink) || BPF_CORE_READ(item, event.events) & (EPOLLET | EPOLLONESHOT))
		return true;
	return (__u64)BPF_CORE_READ(item, rdllink.next) != at + bpf_core_field_offset(struct epitem, rdllink);
}

/* The wait of a loop has returned so many events. Those that were ready first go first. */
__attribute__((noinline)) int end_lags(__u32 slot, __u32 events, __u64 now)
{
	struct ready_events *r = bpf_map_lookup_elem(&ready_events, &slot);
	__u64 item, at;
	__u32 n, kept;

	if (!r)
		return 0;
	n = r->n;
	r->kept = r->returned = 0;
	r->seen = 0;
	for (__u32 i = 0; i < READY_MAX && i < n; i++) {
		item = r->events[i].item;
		at = r->events[i].at;
		if (n > events && !may_be_ready(item))
			continue;
		if (r->returned < events) {
			r->returned++;
			if (at < now)
				enter_lag(slot, now - at);
			continue;
		}
		kept = r->kept;
		if (!events || kept >= READY_MAX)
			break;
		barrier_var(kept);
		kept &= READY_MAX - 1;
		r->events[kept].item = item;
		r->events[kept].at = at;
		r->seen |= item_bit(item);
		r->kept = kept + 1;
	}
	r->n = r->kept;
	return 0;
}

/* The wait of a loop has returned: events, or an error. */
static __always_inline void return_events(const struct thread *t, __s32 events, __u64 now)
{
	__u32 slot = t->config.slot;
	struct ready_events *r;

	if (!watch_ready || slot == NO_SLOT || events < 0)
		return;
	r = bpf_map_lookup_elem(&ready_events, &slot);
	if (r && r->n)
		end_lags(slot, events, now);
	if (t->due && t->due < now)
		enter_lag(slot, now - t->due);
	if (t->deadline && t->deadline < now)
		enter_lag(slot, now - t->deadline);
}

/* The thread falls asleep in its wait: nothing is ready. What was, another one took. */
static __always_inline void forget_events(const struct thread *t)
{
	__u32 slot = t->config.slot;
	struct ready_events *r;

	if (!watch_ready || slot == NO_SLOT)
		return;
	r = bpf_map_lookup_elem(&ready_events, &slot);
	if (r && r->n) {
		r->n = 0;
		r->seen = 0;
	}
}
