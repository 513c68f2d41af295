/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Stands in for libbpf's header of this name: every field is where this compiler puts it, every
 * field and type is there, and a read through a null pointer gives 0, as in the kernel.
 */
#pragma once

#include "bpf_helpers.h"

#define CORE_READ_1(p, a)                                                                          \
	({                                                                                         \
		__typeof__(p) core_from = (p);                                                     \
		core_from ? core_from->a : (__typeof__(core_from->a))0;                            \
	})
#define CORE_READ_2(p, a, b) CORE_READ_1(CORE_READ_1(p, a), b)
#define CORE_READ_3(p, a, b, c) CORE_READ_1(CORE_READ_2(p, a, b), c)
#define CORE_READ_NAME(_1, _2, _3, name, ...) name
#define BPF_CORE_READ(p, ...)                                                                      \
	CORE_READ_NAME(__VA_ARGS__, CORE_READ_3, CORE_READ_2, CORE_READ_1, )(p, __VA_ARGS__)
#define BPF_CORE_READ_INTO(to, p, a) __builtin_memcpy(to, &(p)->a, sizeof((p)->a))
#define BPF_CORE_READ_BITFIELD_PROBED(p, a) ((p)->a)

#define bpf_core_field_exists(field) 1
#define bpf_core_field_offset(type, field) __builtin_offsetof(type, field)
#define bpf_core_type_exists(type) 1
#define bpf_core_type_size(type) sizeof(type)
#define bpf_core_enum_value_exists(type, value) 1
#define bpf_core_read_str(to, size, from) bpf_probe_read_kernel_str(to, size, from)
