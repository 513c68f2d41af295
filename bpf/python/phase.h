/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Phases: takes what the interpreter's own probes say of a loop's thread in a period, gives its
 * account of collections and imports, to the nanosecond, and of audit events. An account belongs
 * to the thread's slot (`usdt_accounts`) and is written on that thread alone.
 *
 * Of two phases the outer one takes the time of both: a collection within an import is import. The
 * figures of collections (gc_ns and so on) have it nevertheless.
 */
#pragma once

#include "../maps.h"

/* What the probes have said in the present period, or 0. */
static __always_inline struct usdt_account *usdt_account_of(const struct thread *t, __u32 tid)
{
	__u32 slot = t->config.slot;
	struct usdt_account *a;

	if (slot == NO_SLOT)
		return 0;
	a = bpf_map_lookup_elem(&usdt_accounts, &slot);
	if (!a || a->period != t->period || a->tid != tid)
		return 0;
	return a;
}

static __always_inline __u32 phase_of(const struct thread *t, __u32 tid)
{
	struct usdt_account *a = usdt_account_of(t, tid);

	return a ? a->phase : PHASE_NONE;
}

static __always_inline void begin_phase(struct usdt_account *a, const struct thread *t, __u32 phase,
					__u64 now)
{
	a->since = now;
	a->off_ns = t->off_ns;
	a->waited_or_stopped_ns = t->waited_ns + t->stopped_ns;
	a->phase = phase;
}

static __always_inline void end_phase(struct usdt_account *a, const struct thread *t, __u64 now)
{
	__u32 n = a->phase - 1;
	struct phase_time *sum;

	if (n >= PHASES)
		return;
	sum = &a->phases[n];
	sum->ns += now - a->since;
	sum->off_ns += t->off_ns - a->off_ns;
	sum->waited_or_stopped_ns += t->waited_ns + t->stopped_ns - a->waited_or_stopped_ns;
	a->phase = PHASE_NONE;
}

static __always_inline void count_gc(struct usdt_account *a, __u64 now)
{
	__u64 ns = now - a->gc_since;

	a->gc_since = 0;
	a->gcs++;
	a->gc_ns += ns;
	if (ns >= a->gc_max_ns) {
		a->gc_max_ns = ns;
		a->gc_max_generation = a->gc_generation;
	}
}

static __always_inline void count_import(struct usdt_account *a, __u64 now)
{
	__u64 ns = now - a->import_since;

	a->import_since = 0;
	a->imports_open = 0;
	a->imports++;
	a->import_ns += ns;
	if (ns >= a->import_max_ns) {
		a->import_max_ns = ns;
		__builtin_memcpy(a->max_module, a->module, sizeof(a->module));
	}
}

/* Empties what an earlier period left behind. */
static __always_inline void begin_usdt_account(struct usdt_account *a, const struct thread *t,
					       __u32 tid)
{
	a->tid = tid;
	a->phase = PHASE_NONE;
	a->imports_open = 0;
	a->gc_since = 0;
	a->import_since = 0;
	__builtin_memset(a->phases, 0, sizeof(a->phases));
	a->gc_ns = 0;
	a->gc_max_ns = 0;
	a->gc_collected = 0;
	a->gcs = 0;
	a->gc_max_generation = 0;
	a->imports = 0;
	a->import_ns = 0;
	a->import_max_ns = 0;
	a->module[0] = 0;
	a->max_module[0] = 0;
	a->audits_more = 0;
	for (int i = 0; i < USDT_AUDITS; i++)
		a->audits[i].count = 0;
	a->type = RECORD_USDT;
	a->period = t->period;
}

/* A collection begins. One that is open already has lost its end. */
static __always_inline void begin_gc(struct usdt_account *a, const struct thread *t, __u64 now)
{
	if (a->phase == PHASE_NONE || a->phase == PHASE_GC)
		begin_phase(a, t, PHASE_GC, now);
	a->gc_since = now;
}

/* A collection ends; false if it began before the period. */
static __always_inline bool end_gc(struct usdt_account *a, const struct thread *t, __u64 now)
{
	if (!a->gc_since)
		return false;
	if (a->phase == PHASE_GC)
		end_phase(a, t, now);
	count_gc(a, now);
	return true;
}

/* An import begins; false if it is within another. */
static __always_inline bool begin_import(struct usdt_account *a, const struct thread *t, __u64 now)
{
	if (a->imports_open++)
		return false;
	if (a->phase == PHASE_NONE)
		begin_phase(a, t, PHASE_IMPORT, now);
	a->import_since = now;
	return true;
}

static __always_inline void end_import(struct usdt_account *a, const struct thread *t, __u64 now)
{
	if (!a->imports_open || --a->imports_open)
		return;
	if (a->phase == PHASE_IMPORT)
		end_phase(a, t, now);
	count_import(a, now);
}

/* The period ends: so does what is still open. */
static __always_inline void end_usdt_account(struct usdt_account *a, const struct thread *t,
					     __u64 now)
{
	end_phase(a, t, now); /* if it is in one */
	if (a->gc_since)
		count_gc(a, now);
	if (a->import_since)
		count_import(a, now);
}

/* Sends the account of a period that is a block. */
static __always_inline void send_usdt_account(struct thread *t, __u32 tid, __u64 now)
{
	struct usdt_account *a = usdt_account_of(t, tid);

	if (!a)
		return;
	end_usdt_account(a, t, now);
	if (bpf_ringbuf_output(&records, a, sizeof(*a), 0))
		count(LOST_RECORDS);
}
