/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Safe reads of a process's memory: takes an address there, gives the value, or an error where
 * nothing is mapped.
 */
#pragma once

#include "types.h"

static __always_inline int read_u64(__u64 *to, __u64 from)
{
	return bpf_probe_read_user(to, sizeof(*to), (void *)from);
}

static __always_inline int read_u32(__u32 *to, __u64 from)
{
	return bpf_probe_read_user(to, sizeof(*to), (void *)from);
}
