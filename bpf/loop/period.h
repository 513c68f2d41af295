/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Active periods and the waits between them: takes where one ends, gives the loop's statistics and
 * the block that a long period is.
 *
 * All of it runs on the loop's own thread, or while that is off the CPU. A tick may come in
 * between: `in_wait` is set before a period is closed and cleared after one is opened.
 */
#pragma once

#include "../maps.h"
#include "../python/phase.h"
#include "histogram.h"
#include "joined.h"
#include "late.h"
#include "sample.h"

/* Takes over what user space says of the thread, if that has changed. */
static __always_inline void refresh(struct thread *t, __u32 tid)
{
	const struct thread_config *config;
	__u32 now = generation;

	if (t->generation == now)
		return;
	config = bpf_map_lookup_elem(&configs, &tid);
	if (!config) {
		t->generation = now;
		return;
	}
	/* An update frees the old entry at once, and another thread's may take its place while it
	 * is read. The generation moves after every update: the next event looks again. */
	if (config->tid != tid)
		return;
	t->generation = now;
	/* Nothing was counted while it was ignored: its statistics begin with its next wait. */
	if (t->config.verdict == VERDICT_IGNORED && config->verdict != VERDICT_IGNORED) {
		t->in_wait = 1;
		t->wait_fd = NO_FD;
		begin_wait(t);
	}
	t->config = *config;
}

static __always_inline void open_period(struct thread *t, struct task_struct *task, __u64 now)
{
	take_late(t, task, now);
	join_iteration(t, now - t->since);
	t->interrupted_fd = NO_FD;
	t->since = now;
	t->period++;
	t->off_since = 0;
	t->off_ns = 0;
	t->waited_ns = 0;
	t->throttled_ns = 0;
	t->stopped_ns = 0;
	t->pending_ns = 0;
	t->stackless_ns = 0;
	t->stackless.ns = 0;
	t->last_tick = 0;
	t->preempted = 0;
	t->held = 0;
	t->samples = 0;
	t->crossed = 0;
	t->has_stack = 0;
	t->unreleased = 0;
	t->seeded = 0;
	t->again = 0;
	barrier();
	t->in_wait = 0;
}

static __always_inline void send_block(struct thread *t, __u32 tid, __u64 now, __u32 flags, const struct late *late)
{
	struct block_record *b;
	struct sample *s;

	if (!t->crossed)
		cross(tid);
	/* What no sample carries yet goes with the last stack seen off the CPU. */
	if (t->pending_ns && t->has_stack) {
		s = spare_sample(t);
		if (s) {
			s->ns = t->pending_ns;
			send_sample(t, s);
		}
	}
	send_usdt_account(t, tid, now);
	b = bpf_ringbuf_reserve(&records, sizeof(*b), 0);
	if (!b) {
		count(LOST_RECORDS);
		return;
	}
	b->type = RECORD_BLOCK;
	b->tgid = t->tgid;
	b->tid = tid;
	b->flags = flags | (t->seeded ? BLOCK_SEEDED : 0);
	b->period = t->period;
	b->start = t->since;
	b->end = now;
	b->off_ns = t->off_ns;
	b->waited_ns = t->waited_ns;
	b->throttled_ns = t->throttled_ns;
	b->stopped_ns = t->stopped_ns;
	b->ready_at = t->ready_at >= t->since ? t->ready_at : 0;
	b->stackless_ns = t->stackless_ns;
	b->stackless = t->stackless;
	b->late = *late;
	b->samples = t->samples;
	b->pad = 0;
	bpf_ringbuf_submit(b, 0);
	t->blocked = 1;
}

/* Ends the active period at `now` and counts it. The thread rests after. */
__attribute__((noinline)) int close_period(__u32 tid, __u64 now, __u32 flags)
{
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);
	struct loop_statistics *sum = 0;
	const struct late *before;
	__u32 slot, n;
	__u64 ns, late, length;

	if (!t)
		return 0;
	ns = length = now - t->since;
	late = t->late.ns;
	before = &t->late;
	slot = t->config.slot;
	t->slept = 0;
	t->blocked = 0;
	t->again = 0;
	t->in_wait = 1;
	barrier();
	if (slot != NO_SLOT)
		sum = bpf_map_lookup_elem(&statistics, &slot);
	if (sum) {
		sum->iterations++;
		sum->active_ns += ns;
		sum->late_ns += late;
		if (ns > sum->max_ns)
			sum->max_ns = ns;
		n = bucket(ns);
		if (n < HIST_BUCKETS)
			sum->histogram[n]++;
	}
	/* In between the loop did not rest. */
	if (t->joined.ns && mostly_held_back(t, ns)) {
		before = &t->joined;
		ns += t->joined.ns;
	} else if (late >= threshold / LATE_PART) {
		ns += late;
	}
	if (ns >= threshold && t->config.verdict != VERDICT_IGNORED) {
		if (sum)
			sum->blocks++;
		send_block(t, tid, now, flags, before);
		t->joined.ns = 0;
	} else {
		keep_iteration(t, length);
	}
	t->since = now;
	t->late.ns = 0;
	begin_wait(t);
	return 0;
}

/* Up to `now` the loop has rested, or what it did is not known. */
static __always_inline void note_rest(struct thread *t, __u64 now)
{
	t->rested_at = now;
	t->rested_period = t->period;
}

/* Counts the wait that ends now. One in which the thread did not sleep is no rest. */
static __always_inline void count_wait(struct thread *t, __u64 now)
{
	__u32 slot = t->config.slot;
	struct loop_statistics *sum;
	__u64 ns;

	if (slot == NO_SLOT)
		return;
	sum = bpf_map_lookup_elem(&statistics, &slot);
	if (!sum)
		return;
	if (!t->slept) {
		sum->active_ns += now - t->since;
		return;
	}
	sum->idle_ns += now - t->since;
	/* A loop that always has more to do looks but does not rest: each of its periods may be
	 * short, all of them together are as long as a block. */
	ns = t->since - t->rested_at;
	if (ns >= threshold && t->period - t->rested_period > 1) {
		sum->unrested_ns += ns;
		if (ns > sum->unrested_max_ns)
			sum->unrested_max_ns = ns;
	}
	note_rest(t, now);
}
