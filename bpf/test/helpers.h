/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The helpers of the kernel for the host: maps in plain memory, a ring buffer that prints what is
 * put into it, the memory of a watched process as pieces that a test has named, and a clock and a
 * thread that a test sets.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kernel/types.h"

static void fail(const char *what)
{
	fprintf(stderr, "native: %s\n", what);
	exit(2);
}

static void *allocate(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		fail("no memory");
	return p;
}

static void print_hex(const void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		printf("%02x", ((const unsigned char *)data)[i]);
}

/* Maps: hashes are lists, arrays begin with all their elements, as in the kernel. */
struct element {
	struct element *next;
	char *key, *value;
};
struct map {
	struct map *next;
	void *of;
	__u32 count;
	struct element *elements;
} *maps;

static struct map *map_of(void *of)
{
	struct map *m;

	for (m = maps; m; m = m->next)
		if (m->of == of)
			return m;
	m = allocate(sizeof(*m));
	m->of = of;
	m->next = maps;
	return maps = m;
}

static bool is_hash(struct map_info info)
{
	return info.type == BPF_MAP_TYPE_HASH;
}

static struct element *add(struct map *m, struct map_info info, const void *key)
{
	struct element *e = allocate(sizeof(*e));

	e->key = allocate(info.key);
	memcpy(e->key, key, info.key);
	e->value = allocate(info.value);
	e->next = m->elements;
	m->elements = e;
	m->count++;
	return e;
}

void *map_lookup(void *map, struct map_info info, const void *key)
{
	struct map *m = map_of(map);
	__u32 index;

	for (struct element *e = m->elements; e; e = e->next)
		if (!memcmp(e->key, key, info.key))
			return e->value;
	if (is_hash(info))
		return 0;
	memcpy(&index, key, sizeof(index));
	return index < info.entries ? add(m, info, key)->value : 0;
}

long map_update(void *map, struct map_info info, const void *key, const void *value, __u64 flags)
{
	void *to = map_lookup(map, info, key);

	if (to && flags == BPF_NOEXIST)
		return -EEXIST;
	if (!to && !is_hash(info))
		return -E2BIG;
	if (!to) {
		if (map_of(map)->count >= info.entries)
			return -E2BIG;
		to = add(map_of(map), info, key)->value;
	}
	memcpy(to, value, info.value);
	return 0;
}

long map_delete(void *map, struct map_info info, const void *key)
{
	struct map *m = map_of(map);

	for (struct element **at = &m->elements; *at; at = &(*at)->next)
		if (!memcmp((*at)->key, key, info.key)) {
			*at = (*at)->next;
			m->count--;
			return 0;
		}
	return -ENOENT;
}

/* The ring buffer. */
static size_t reserved;

long bpf_ringbuf_output(void *ring, void *data, __u64 size, __u64 flags)
{
	printf("record ");
	print_hex(data, size);
	printf("\n");
	return 0;
}

void *bpf_ringbuf_reserve(void *ring, __u64 size, __u64 flags)
{
	reserved = size;
	return allocate(size);
}

void bpf_ringbuf_submit(void *data, __u64 flags)
{
	bpf_ringbuf_output(0, data, reserved, flags);
	free(data);
}

/* The memory of the watched process. */
struct memory {
	struct memory *next;
	__u64 at, size;
	unsigned char *bytes;
} *memory;

static void add_memory(__u64 at, void *bytes, __u64 size)
{
	struct memory *m = allocate(sizeof(*m));

	m->at = at;
	m->size = size;
	m->bytes = bytes;
	m->next = memory;
	memory = m;
}

long bpf_probe_read_user(void *to, __u32 size, const void *from)
{
	__u64 at = (__u64)from;

	for (struct memory *m = memory; m; m = m->next)
		if (at >= m->at && size <= m->size && at - m->at <= m->size - size) {
			memcpy(to, m->bytes + (at - m->at), size);
			return 0;
		}
	memset(to, 0, size);
	return -EFAULT;
}

/* Copies up to `size` bytes, the last of them 0, and returns how many. */
static long read_str(char *to, __u32 size, const char *from, long (*read)(void *, __u32, const void *))
{
	for (__u32 i = 0; i < size; i++) {
		if (read(to + i, 1, from + i))
			return -EFAULT;
		if (!to[i])
			return i + 1;
	}
	to[size - 1] = 0;
	return size;
}

long bpf_probe_read_user_str(void *to, __u32 size, const void *from)
{
	return read_str(to, size, from, bpf_probe_read_user);
}

long bpf_probe_read_kernel(void *to, __u32 size, const void *from)
{
	if (!from)
		return -EFAULT;
	memcpy(to, from, size);
	return 0;
}

long bpf_probe_read_kernel_str(void *to, __u32 size, const void *from)
{
	return read_str(to, size, from, bpf_probe_read_kernel);
}

long bpf_loop(__u32 times, void *step, void *ctx, __u64 flags)
{
	long (*next)(__u32, void *) = (long (*)(__u32, void *))step;
	__u32 i;

	for (i = 0; i < times; i++)
		if (next(i, ctx))
			return i + 1;
	return i;
}

/* The thread on this CPU, and the time. */
static struct task_struct current;
static struct pt_regs___entry registers;
static __u64 clock_ns;

__u64 bpf_get_current_pid_tgid(void)
{
	return (__u64)current.tgid << 32 | (__u32)current.pid;
}

void *bpf_get_current_task(void)
{
	return &current;
}

void *bpf_get_current_task_btf(void)
{
	return &current;
}

void *bpf_task_pt_regs(void *task)
{
	return &registers;
}

long bpf_get_current_comm(void *to, __u32 size)
{
	memset(to, 0, size);
	return 0;
}

long bpf_get_stack(void *ctx, void *to, __u32 size, __u64 flags)
{
	return -EFAULT;
}

__u64 bpf_ktime_get_ns(void)
{
	return clock_ns;
}
