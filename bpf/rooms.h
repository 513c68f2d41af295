/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * What a loop's thread is inside of in a period, as the interpreter's own probes say: collections
 * and imports to the nanosecond, and audit events. It is kept by the thread's slot (`insides`) and
 * written on that thread alone.
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
				       __u64 now)
{
	in->since = now;
	in->off_ns = t->off_ns;
	in->kept_ns = t->waited_ns + t->stopped_ns;
	in->room = room;
}

static __always_inline void leave_room(struct inside *in, const struct thread *t, __u64 now)
{
	__u32 n = in->room - 1;
	struct room_time *sum;

	if (n >= ROOMS)
		return;
	sum = &in->rooms[n];
	sum->ns += now - in->since;
	sum->off_ns += t->off_ns - in->off_ns;
	sum->kept_ns += t->waited_ns + t->stopped_ns - in->kept_ns;
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

/* Closes what is still open at the end of a period that is a block, and sends it. */
static __always_inline void send_inside(struct thread *t, __u32 tid, __u64 now)
{
	struct inside *in = inside_now(t, tid);

	if (!in)
		return;
	leave_room(in, t, now); /* if it is in one */
	if (in->gc_since)
		gc_ends(in, now);
	if (in->import_since)
		import_ends(in, now);
	if (bpf_ringbuf_output(&records, in, sizeof(*in), 0))
		count(LOST_RECORDS);
}
