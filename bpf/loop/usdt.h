/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Hits of the interpreter's own probes: takes a site that was hit, counts it, and enters it into
 * the account of the period where the thread is a loop outside its wait. For every other thread a
 * hit is a look at one byte, behind the trap.
 */
#pragma once

#include "../maps.h"
#include "../python/usdt.h"
#include "offcpu.h"

static __always_inline int usdt_hit(struct pt_regs *regs, __u32 index)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid(), slot;
	__u64 *hits = bpf_map_lookup_elem(&usdt_hits, &index), now;
	const struct usdt_site *site;
	struct usdt_account *a;
	struct thread *t;

	if (hits)
		(*hits)++;
	if (!may_be_tracked(tid))
		return 0;
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t || t->in_wait)
		return 0;
	slot = t->config.slot;
	site = bpf_map_lookup_elem(&usdt_sites, &index);
	a = bpf_map_lookup_elem(&usdt_accounts, &slot); /* none of NO_SLOT */
	if (!site || !a)
		return 0;
	if (a->period != t->period || a->tid != tid)
		begin_usdt_account(a, t, tid);
	now = bpf_ktime_get_ns();
	if (is_off_cpu(t))
		catch_up(tid, now);
	enter_hit(a, t, site, regs, now);
	return 0;
}
