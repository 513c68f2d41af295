/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The running totals of a loop, with the histograms of its active periods and of its lag.
 */
#pragma once

#include <linux/types.h>

/* Each octave is cut into HIST_PARTS buckets, so the middle of a bucket is off by 3.1 % at most.
 * Bucket 0 has all periods below 2^HIST_MIN_SHIFT ns (8.192 us), the last one all from
 * 2^HIST_MAX_SHIFT ns (137 s) on. */
enum histogram {
	HIST_MIN_SHIFT = 13,
	HIST_MAX_SHIFT = 37,
	HIST_PARTS_SHIFT = 4,
	HIST_PARTS = 1 << HIST_PARTS_SHIFT,
	HIST_BUCKETS = 1 + HIST_PARTS * (HIST_MAX_SHIFT - HIST_MIN_SHIFT) + 1,
};

/* How many events of a loop may be ready at one time, and each be timed. */
enum ready_size { READY_MAX = 64 };

/* Events that are ready for a loop whose wait has not returned them yet, the first to become ready first. Where fentry is. */
struct ready_events {
	__u32 n;
	__u32 kept;     /* scratch room of end_lags */
	__u32 returned; /* the same */
	__u32 pad;
	__u64 seen;     /* bits that their items set: of no other item the list has to be searched */
	struct {
		__u64 item; /* address of the epitem */
		__u64 at;
	} events[READY_MAX];
};

struct loop_statistics {
	__u64 iterations;
	__u64 idle_ns;   /* in waits that were a rest */
	__u64 active_ns; /* in all others, and outside the wait */
	__u64 late_ns;   /* in any wait: the loop was woken, or should have been, and was not let run */
	__u64 max_ns;    /* of one active period */
	__u64 blocks;
	__u64 unrested_ns; /* stretches of several periods without a rest in between, of at least the threshold */
	__u64 unrested_max_ns;
	__u64 histogram[HIST_BUCKETS];
	__u64 ready_max_ns; /* of one event, from when it was ready to the return of the wait. Where fentry is */
	__u64 ready_histogram[HIST_BUCKETS];
};
