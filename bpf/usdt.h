/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The interpreter's own probes (USDT): collections and imports to the nanosecond, audit events by
 * name. They act only where the thread is a loop outside its wait, and write only what belongs to
 * that thread (`insides`, by its slot), on that thread.
 *
 * Of two rooms the outer one takes the time of both: a collection within an import is import. The
 * figures of collections (gc_ns and so on) have it nevertheless.
 */
#pragma once

#include "maps.h"

/* What the probes have said in the present period, or 0. */
static __always_inline struct inside *inside_now(const struct thread *t, __u32 tid)
{
	__u32 slot = t->config.slot;
	struct inside *in;

	if (slot == NO_SLOT)
		return 0;
	in = bpf_map_lookup_elem(&insides, &slot);
	if (!in || in->period != t->period || in->tid != tid)
		return 0;
	return in;
}

static __always_inline __u32 room_of(const struct thread *t, __u32 tid)
{
	struct inside *in = inside_now(t, tid);

	return in ? in->room : ROOM_NONE;
}

static __always_inline void enter_room(struct inside *in, const struct thread *t, __u32 room,
				       __u64 now, __u64 run_delay)
{
	in->since = now;
	in->off_ns = t->off_ns;
	in->run_delay = run_delay;
	in->room = room;
}

static __always_inline void leave_room(struct inside *in, const struct thread *t, __u64 now,
				       __u64 run_delay)
{
	__u32 n = in->room - 1;
	struct room_time *sum;

	if (n >= ROOMS)
		return;
	sum = &in->rooms[n];
	sum->ns += now - in->since;
	sum->off_ns += t->off_ns - in->off_ns;
	sum->run_delay += run_delay - in->run_delay;
	in->room = ROOM_NONE;
}

static __always_inline void gc_ends(struct inside *in, __u64 now)
{
	__u64 ns = now - in->gc_since;

	in->gc_since = 0;
	in->gcs++;
	in->gc_ns += ns;
	if (ns >= in->gc_max_ns) {
		in->gc_max_ns = ns;
		in->gc_max_generation = in->gc_generation;
	}
}

static __always_inline void import_ends(struct inside *in, __u64 now)
{
	__u64 ns = now - in->import_since;

	in->import_since = 0;
	in->imports_open = 0;
	in->imports++;
	in->import_ns += ns;
	if (ns >= in->import_max_ns) {
		in->import_max_ns = ns;
		__builtin_memcpy(in->max_module, in->module, sizeof(in->module));
	}
}

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

/* Empties what an earlier period left behind. */
static __always_inline void begin_inside(struct inside *in, const struct thread *t, __u32 tid)
{
	in->tid = tid;
	in->room = ROOM_NONE;
	in->imports_open = 0;
	in->gc_since = 0;
	in->import_since = 0;
	__builtin_memset(in->rooms, 0, sizeof(in->rooms));
	in->gc_ns = 0;
	in->gc_max_ns = 0;
	in->gc_collected = 0;
	in->gcs = 0;
	in->gc_max_generation = 0;
	in->imports = 0;
	in->import_ns = 0;
	in->import_max_ns = 0;
	in->module[0] = 0;
	in->max_module[0] = 0;
	in->audits_more = 0;
	for (int i = 0; i < AUDITS; i++)
		in->audits[i].count = 0;
	in->type = RECORD_INSIDE;
	in->period = t->period;
}

static __always_inline int usdt_hit(struct pt_regs *regs, __u32 index)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid(), slot;
	__u64 *hits = bpf_map_lookup_elem(&usdt_hits, &index), now, run_delay;
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
	run_delay = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(),
				  sched_info.run_delay);
	switch (site->probe) {
	case USDT_GC_START:
		/* One that is open already has lost its end. */
		if (in->room == ROOM_NONE || in->room == ROOM_GC)
			enter_room(in, t, ROOM_GC, now, run_delay);
		in->gc_since = now;
		in->gc_generation = (__s32)usdt_value(regs, &site->arg);
		break;
	case USDT_GC_DONE:
		if (!in->gc_since) /* began before the period */
			break;
		if (in->room == ROOM_GC)
			leave_room(in, t, now, run_delay);
		in->gc_collected += (__s64)usdt_value(regs, &site->arg);
		gc_ends(in, now);
		break;
	case USDT_IMPORT_START:
		if (in->imports_open++)
			break;
		if (in->room == ROOM_NONE)
			enter_room(in, t, ROOM_IMPORT, now, run_delay);
		in->import_since = now;
		if (bpf_probe_read_user_str(in->module, sizeof(in->module),
					    (void *)usdt_value(regs, &site->arg)) < 0)
			in->module[0] = 0;
		break;
	case USDT_IMPORT_DONE:
		if (!in->imports_open || --in->imports_open)
			break;
		if (in->room == ROOM_IMPORT)
			leave_room(in, t, now, run_delay);
		import_ends(in, now);
		break;
	case USDT_AUDIT:
		audit_hit(in, usdt_value(regs, &site->arg));
		break;
	}
	return 0;
}

/* Closes what is still open at the end of a period that is a block, and sends it. */
static __always_inline void send_inside(struct thread *t, __u32 tid, __u64 now)
{
	struct inside *in = inside_now(t, tid);
	__u64 run_delay;

	if (!in)
		return;
	if (in->room != ROOM_NONE) {
		run_delay = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(),
					  sched_info.run_delay);
		leave_room(in, t, now, run_delay);
	}
	if (in->gc_since)
		gc_ends(in, now);
	if (in->import_since)
		import_ends(in, now);
	if (bpf_ringbuf_output(&records, in, sizeof(*in), 0))
		count(LOST_RECORDS);
}
