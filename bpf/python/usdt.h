/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The interpreter's own probes (USDT): takes the registers at a site that was hit, enters what the
 * probe says into the account of the period.
 */
#pragma once

#include "../maps.h"
#include "phase.h"

/* The value of an argument, 0 where it cannot be had. */
static __always_inline __u64 usdt_value(struct pt_regs *regs, const struct usdt_arg *arg)
{
	__u64 value = 0;
	__u32 unused = arg->size < 8 ? 64 - 8 * arg->size : 0;

	if (arg->how == USDT_CONSTANT)
		return (__u64)arg->offset;
	if (arg->how == USDT_UNKNOWN ||
	    bpf_probe_read_kernel(&value, sizeof(value), (void *)regs + arg->reg))
		return 0;
	if (arg->how == USDT_MEMORY &&
	    bpf_probe_read_user(&value, sizeof(value), (void *)(value + arg->offset)))
		return 0;
	/* Both architectures keep the low bytes first. */
	unused &= 63;
	value <<= unused;
	return arg->is_signed ? (__u64)((__s64)value >> unused) : value >> unused;
}

static __always_inline void count_audit(struct usdt_account *a, __u64 name)
{
	struct audit_event *e;

	for (int i = 0; i < USDT_AUDITS; i++) {
		e = &a->audits[i];
		if (e->at == name && e->count) {
			e->count++;
			return;
		}
		if (e->count)
			continue;
		if (bpf_probe_read_user_str(e->name, sizeof(e->name), (void *)name) < 0)
			e->name[0] = 0;
		e->at = name;
		e->count = 1;
		return;
	}
	a->audits_more++;
}

static __always_inline void enter_hit(struct usdt_account *a, const struct thread *t,
				      const struct usdt_site *site, struct pt_regs *regs, __u64 now)
{
	switch (site->probe) {
	case USDT_GC_START:
		begin_gc(a, t, now);
		a->gc_generation = (__s32)usdt_value(regs, &site->arg);
		break;
	case USDT_GC_DONE:
		if (end_gc(a, t, now))
			a->gc_collected += (__s64)usdt_value(regs, &site->arg);
		break;
	case USDT_IMPORT_START:
		if (begin_import(a, t, now) &&
		    bpf_probe_read_user_str(a->module, sizeof(a->module),
					    (void *)usdt_value(regs, &site->arg)) < 0)
			a->module[0] = 0;
		break;
	case USDT_IMPORT_DONE:
		end_import(a, t, now);
		break;
	case USDT_AUDIT:
		count_audit(a, usdt_value(regs, &site->arg));
		break;
	}
}
