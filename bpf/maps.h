/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * All state: maps, variables, and the small tables in front of them that spare most tasks a
 * look-up. User space sets the sizes marked so before loading (internal/probes/budget.go); the
 * total in bytes is in docs/design.md.
 */
#pragma once

#include "abi.h"
#include "kernel/types.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} records SEC(".maps");

/* Thread id -> what the kernel side knows. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct thread);
} threads SEC(".maps");

/* What a thread begins with, all zero: it is too large for the stack of a program that calls others. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct thread);
} blank_threads SEC(".maps");

/* Thread id -> what user space says of it. Copied into struct thread when `generation` moves. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct thread_config);
} configs SEC(".maps");

/* Process id -> whether it is to be watched. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct process);
} processes SEC(".maps");

/* Process ids to watch, where `filtered`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WANTED_MAX);
	__type(key, __u32);
	__type(value, __u32);
} wanted SEC(".maps");

/* By thread_config.layout. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct py_layout);
} layouts SEC(".maps");

/* By thread_config.slot; max_entries: user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct loop_statistics);
} statistics SEC(".maps");

/* By thread_config.slot; max_entries: user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ready_events);
} ready_events SEC(".maps");

/* By slot * SAMPLES_PER_LOOP; max_entries: user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SAMPLES_PER_LOOP);
	__type(key, __u32);
	__type(value, struct held_sample);
} samples SEC(".maps");

/* By thread_config.slot; max_entries: user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct usdt_account);
} usdt_accounts SEC(".maps");

/* Places that have a probe on them, and how often each was hit. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, USDT_SITES);
	__type(key, __u32);
	__type(value, struct usdt_site);
} usdt_sites SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, USDT_SITES);
	__type(key, __u32);
	__type(value, __u64);
} usdt_hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* Address of an epoll instance -> the loop's thread that waits on it; used where fentry is. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} epolls SEC(".maps");

/* Set before loading or while running. */
volatile __u64 threshold;                       /* ns */
volatile __u32 generation = INITIAL_GENERATION; /* moved on with every change of `configs` */
volatile const __u32 filtered;        /* watch the processes in `wanted` only */
volatile const __u32 follow_children; /* and those they fork */
volatile __u32 watch_ready;           /* on_ready is attached */
volatile __u32 seeding;               /* enum seed_pass: which threads seed announces */
volatile __s32 listed;                /* the process whose threads list_pointers lists */

/* Which thread ids, modulo the size, may be in `threads`: every other task is spared the look-up. An
 * entry counts if it is one of the two marks. User space moves the present mark on, has the program
 * remark renew the entries of threads that are still there, and then gives up the mark before it. */
#define TRACKED_TIDS 65536
__u8 tracked_tids[TRACKED_TIDS];
volatile __u8 mark = INITIAL_MARK;
volatile __u8 mark_before = INITIAL_MARK;

static __always_inline bool may_be_tracked(__u32 tid)
{
	__u8 found = tracked_tids[tid & (TRACKED_TIDS - 1)];

	return found && (found == mark || found == mark_before);
}

static __always_inline void track_tid(__u32 tid)
{
	tracked_tids[tid & (TRACKED_TIDS - 1)] = mark;
}

/* Processes that are no Python, direct-mapped: their waits are spared all look-ups. User space
 * moves `epoch` on every ten seconds, and then their time to be asked about is looked at again. */
#define IGNORED 16384
struct {
	__u32 tgid;
	__u32 epoch;
} ignored[IGNORED];
volatile __u32 epoch = INITIAL_EPOCH;

static __always_inline bool is_ignored(__u32 tgid)
{
	__u32 i = tgid & (IGNORED - 1);

	return ignored[i].tgid == tgid && ignored[i].epoch == epoch;
}

static __always_inline void set_ignored(__u32 tgid, bool yes)
{
	__u32 i = tgid & (IGNORED - 1);

	if (yes) {
		ignored[i].epoch = epoch;
		ignored[i].tgid = tgid;
	} else if (ignored[i].tgid == tgid) {
		ignored[i].tgid = 0;
	}
}

static __always_inline void count(__u32 counter)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &counter);

	if (n)
		(*n)++;
}
