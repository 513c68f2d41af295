/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The books of a loop: waits and active periods, and the samples of the period going on.
 *
 * Samples are held back until the period is a block, so that a loop that never blocks sends
 * nothing. A sample is kept for every sixth of the threshold spent off the CPU, and for ticks
 * as far apart; once the period has crossed the threshold each goes out at once.
 *
 * All of it runs on the loop's own thread, or while that is off the CPU. A tick may come in
 * between: `in_wait` is set before a period is closed and cleared after one is opened.
 */
#pragma once

#include "evidence.h"
#include "maps.h"
#include "pystack.h"

#define HELD_MAX (SAMPLES_PER_LOOP - 1)
#define SAMPLES_MAX 4096 /* of one period; more are counted in SKIPPED_SAMPLES */

#define barrier() asm volatile("" ::: "memory")

static __always_inline __u64 quantum(void)
{
	return threshold / 6;
}

static __always_inline __u32 bucket(__u64 ns)
{
	__u32 shift = HIST_MIN_SHIFT;

	if (ns < 1ULL << HIST_MIN_SHIFT)
		return 0;
	if (ns >= 1ULL << HIST_MAX_SHIFT)
		return HIST_BUCKETS - 1;
	/* Octave of ns, by halving: there are 24. */
	if (ns >> (shift + 16))
		shift += 16;
	if (ns >> (shift + 8))
		shift += 8;
	if (ns >> (shift + 4))
		shift += 4;
	if (ns >> (shift + 2))
		shift += 2;
	if (ns >> (shift + 1))
		shift += 1;
	return 1 + 16 * (shift - HIST_MIN_SHIFT) + (__u32)(ns >> (shift - 4) & 15);
}

static __always_inline struct sample *sample_at(const struct thread *t, __u32 n)
{
	__u32 index;

	if (t->config.slot == NO_SLOT)
		return 0;
	index = t->config.slot * SAMPLES_PER_LOOP + n;
	return bpf_map_lookup_elem(&samples, &index);
}

static __always_inline struct sample *spare_sample(const struct thread *t)
{
	return sample_at(t, t->held < HELD_MAX ? t->held : HELD_MAX);
}

/* Takes over what user space says of the thread, if that has changed. */
static __always_inline void refresh(struct thread *t, __u32 tid)
{
	const struct thread_config *config;
	__u32 now = generation;

	if (t->generation == now)
		return;
	t->generation = now;
	config = bpf_map_lookup_elem(&configs, &tid);
	if (!config)
		return;
	/* No books were kept while it was ignored: they begin with its next wait. */
	if (t->config.verdict == VERDICT_IGNORED && config->verdict != VERDICT_IGNORED) {
		t->in_wait = 1;
		t->wait_fd = NO_FD;
	}
	t->config = *config;
}

static __always_inline void send_sample(struct thread *t, struct sample *s)
{
	__u64 frames = s->stack.depth;

	if (frames > STACK_MAX)
		frames = STACK_MAX;
	if (t->samples >= SAMPLES_MAX) {
		count(SKIPPED_SAMPLES);
		return;
	}
	t->samples++;
	if (bpf_ringbuf_output(&records, s,
			       __builtin_offsetof(struct sample, stack.frames) +
				       frames * sizeof(struct py_frame), 0))
		count(LOST_SAMPLES);
}

static long send_held_step(__u32 n, struct thread *t)
{
	struct sample *s;

	if (n >= t->held)
		return 1;
	s = sample_at(t, n);
	if (s)
		send_sample(t, s);
	return 0;
}

/* The period is a block: what was held back goes out. */
static __always_inline void cross(struct thread *t)
{
	t->crossed = 1;
	for (int n = 0; n < HELD_MAX; n++)
		if (send_held_step(n, t))
			break;
	t->held = 0;
}

/* Keeps the spare sample, which `s` is. */
static __always_inline void keep(struct thread *t, struct sample *s, __u64 now)
{
	if (!t->crossed && now - t->since >= threshold) {
		/* cross() leaves `s` where it is: it is none of the held ones. */
		cross(t);
	}
	if (t->crossed)
		send_sample(t, s);
	else if (t->held < HELD_MAX)
		t->held++;
	else
		count(SKIPPED_SAMPLES);
}

static __always_inline void open_period(struct thread *t, __u64 now)
{
	t->since = now;
	t->period++;
	t->off_since = 0;
	t->off_ns = 0;
	t->ready_ns = 0;
	t->pending_ns = 0;
	t->last_tick = 0;
	t->held = 0;
	t->samples = 0;
	t->crossed = 0;
	t->has_stack = 0;
	t->seeded = 0;
	barrier();
	t->in_wait = 0;
}

static __always_inline void send_block(struct thread *t, __u32 tid, __u64 now, __u64 run_delay,
				       __u32 flags)
{
	struct block_record *b;
	struct sample *s;

	if (!t->crossed)
		cross(t);
	/* What no sample carries yet goes with the last stack seen off the CPU. */
	if (t->pending_ns && t->has_stack) {
		s = spare_sample(t);
		if (s) {
			s->ns = t->pending_ns;
			send_sample(t, s);
		}
	}
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
	b->ready_ns = t->ready_ns;
	b->run_delay = run_delay;
	b->samples = t->samples;
	b->pad = 0;
	bpf_ringbuf_submit(b, 0);
}

/* Ends the active period at `now` and enters it into the books. The thread rests after. */
static __always_inline void close_period(struct thread *t, __u32 tid, __u64 now, __u64 run_delay,
					 __u32 flags)
{
	__u64 ns = now - t->since;
	__u32 slot = t->config.slot, n;
	struct loop_books *b = 0;

	t->in_wait = 1;
	barrier();
	if (slot != NO_SLOT)
		b = bpf_map_lookup_elem(&books, &slot);
	if (b) {
		b->iterations++;
		b->active_ns += ns;
		if (ns > b->max_ns)
			b->max_ns = ns;
		n = bucket(ns);
		if (n < HIST_BUCKETS)
			b->histogram[n]++;
	}
	if (ns >= threshold && t->config.verdict != VERDICT_IGNORED) {
		if (b)
			b->blocks++;
		send_block(t, tid, now, t->off_ns ? run_delay - t->run_delay : 0, flags);
	}
	t->since = now;
}

static __always_inline void book_rest(struct thread *t, __u64 now)
{
	__u32 slot = t->config.slot;
	struct loop_books *b;

	if (slot == NO_SLOT)
		return;
	b = bpf_map_lookup_elem(&books, &slot);
	if (b)
		b->idle_ns += now - t->since;
}
