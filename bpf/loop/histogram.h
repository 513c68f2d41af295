/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The histogram of active periods: takes a length, gives its bucket.
 */
#pragma once

#include "../abi.h"
#include "../kernel/types.h"

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
	return 1 + HIST_PARTS * (shift - HIST_MIN_SHIFT) +
	       (__u32)(ns >> (shift - HIST_PARTS_SHIFT) & (HIST_PARTS - 1));
}
