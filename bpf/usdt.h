/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The interpreter's own probes (USDT). They act only where the thread is a loop outside its wait;
 * for everybody else a hit is a look at one byte, behind the trap.
 */
#pragma once

#include "absence.h"
#include "maps.h"
#include "rooms.h"

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

static __always_inline void audit_hit(struct inside *in, __u64 name)
{
	struct audit_event *e;

	for (int i = 0; i < AUDITS; i++) {
		e = &in->audits[i];
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
	in->audits_more++;
}

static __always_inline int usdt_hit(struct pt_regs *regs, __u32 index)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid(), slot;
	__u64 *hits = bpf_map_lookup_elem(&usdt_hits, &index), now;
	const struct usdt_site *site;
	struct thread *t;
	struct inside *in;

	if (hits)
		(*hits)++;
	if (!marked(tid))
		return 0;
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t || t->in_wait)
		return 0;
	slot = t->config.slot;
	site = bpf_map_lookup_elem(&usdt_sites, &index);
	in = bpf_map_lookup_elem(&insides, &slot); /* none of NO_SLOT */
	if (!site || !in)
		return 0;
	if (in->period != t->period || in->tid != tid)
		begin_inside(in, t, tid);
	now = bpf_ktime_get_ns();
	if (is_away(t))
		catch_up(tid, now);
	switch (site->probe) {
	case USDT_GC_START:
		/* One that is open already has lost its end. */
		if (in->room == ROOM_NONE || in->room == ROOM_GC)
			enter_room(in, t, ROOM_GC, now);
		in->gc_since = now;
		in->gc_generation = (__s32)usdt_value(regs, &site->arg);
		break;
	case USDT_GC_DONE:
		if (!in->gc_since) /* began before the period */
			break;
		if (in->room == ROOM_GC)
			leave_room(in, t, now);
		in->gc_collected += (__s64)usdt_value(regs, &site->arg);
		gc_ends(in, now);
		break;
	case USDT_IMPORT_START:
		if (in->imports_open++)
			break;
		if (in->room == ROOM_NONE)
			enter_room(in, t, ROOM_IMPORT, now);
		in->import_since = now;
		if (bpf_probe_read_user_str(in->module, sizeof(in->module),
					    (void *)usdt_value(regs, &site->arg)) < 0)
			in->module[0] = 0;
		break;
	case USDT_IMPORT_DONE:
		if (!in->imports_open || --in->imports_open)
			break;
		if (in->room == ROOM_IMPORT)
			leave_room(in, t, now);
		import_ends(in, now);
		break;
	case USDT_AUDIT:
		audit_hit(in, usdt_value(regs, &site->arg));
		break;
	}
	return 0;
}
