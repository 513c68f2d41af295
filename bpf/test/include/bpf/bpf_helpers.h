/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Stands in for libbpf's header of this name where the kernel side is compiled for the host: the
 * same macros and helpers, made of plain C. test/helpers.h has the functions.
 */
#pragma once

#include <stdbool.h>
#include <linux/types.h>

#define SEC(name)
#define __uint(name, val) int(*name)[val]
#define __type(name, val) val *name
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define barrier() __asm__ volatile("" ::: "memory")
#define barrier_var(var) __asm__ volatile("" : "=r"(var) : "0"(var))

struct pt_regs;

/* The kind, sizes and room of a map, as its declaration has them. */
struct map_info {
	__u32 type, key, value, entries;
};
#define MAP_INFO(m)                                                                                \
	((struct map_info){ sizeof(*(m)->type) / sizeof(int), sizeof(*(m)->key),                   \
			    sizeof(*(m)->value), sizeof(*(m)->max_entries) / sizeof(int) })
#define bpf_map_lookup_elem(m, k) map_lookup(m, MAP_INFO(m), k)
#define bpf_map_update_elem(m, k, v, flags) map_update(m, MAP_INFO(m), k, v, flags)
#define bpf_map_delete_elem(m, k) map_delete(m, MAP_INFO(m), k)

void *map_lookup(void *map, struct map_info info, const void *key);
long map_update(void *map, struct map_info info, const void *key, const void *value, __u64 flags);
long map_delete(void *map, struct map_info info, const void *key);

void *bpf_ringbuf_reserve(void *ring, __u64 size, __u64 flags);
void bpf_ringbuf_submit(void *data, __u64 flags);
long bpf_ringbuf_output(void *ring, void *data, __u64 size, __u64 flags);

long bpf_probe_read_user(void *to, __u32 size, const void *from);
long bpf_probe_read_user_str(void *to, __u32 size, const void *from);
long bpf_probe_read_kernel(void *to, __u32 size, const void *from);
long bpf_probe_read_kernel_str(void *to, __u32 size, const void *from);

long bpf_loop(__u32 times, void *step, void *ctx, __u64 flags);
__u64 bpf_get_current_pid_tgid(void);
void *bpf_get_current_task(void);
void *bpf_get_current_task_btf(void);
void *bpf_task_pt_regs(void *task);
long bpf_get_current_comm(void *to, __u32 size);
long bpf_get_stack(void *ctx, void *to, __u32 size, __u64 flags);
__u64 bpf_ktime_get_ns(void);
