/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The room in which a target is put together, one for each CPU.
 *
 * Cursors and results of loops lie here and not on the BPF stack: of a variable there the verifier
 * follows every value it can have, in every order in which branches can come.
 */
#pragma once

#include "../abi.h"
#include "../kernel/types.h"

#define PATH_STEPS 40   /* components and mounts of one path */
#define ARGUMENT_MAX 4096
#define FAULT_WORDS 256 /* of the kernel stack, looked at for a page fault */
#define SET_WORDS 16    /* of one fd_set: 1,024 descriptors */

/* Where a target is to be found. */
struct target_source {
	__u64 argument; /* a path of the process's making, counting from `fd` */
	__u64 address;  /* of a socket, besides `fd` */
	__u32 address_len;
	__s32 fd;
	__u32 gathered; /* one of scratch.fds */
	__u32 has_argument;
};

struct scratch {
	/* A name is at most 255 bytes long and begins below TARGET_DATA. */
	char path[2 * TARGET_DATA];
	union {
		char argument[ARGUMENT_MAX];
		__u64 words[FAULT_WORDS];
		__u64 sets[3][SET_WORDS];
		struct {
			__s32 fd;
			__s32 events;
		} polled[POLL_MAX];
	};
	__s32 fds[POLL_MAX];
	__u32 at;    /* how much of path is written, or which word of the sets is next */
	__u32 found; /* of fds */
	__u32 best;  /* rank of those */
	__s32 best_fd;
	struct target_source source;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");
