/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * What the programs of listing.bpf.c write of threads and their sockets.
 */
#pragma once

#include <linux/types.h>

#include "target.h"

enum listing_size {
	LISTED_FDS = 8, /* descriptors of one thread that are described */
};

struct listed_thread {
	__u64 pointer;  /* thread pointer */
	__u64 now;      /* when this was read */
	__u64 clock;    /* the scheduler's clock on the thread's CPU, a little behind */
	__u64 left;     /* by that clock: last on a CPU, 0 unknown */
	__u64 switches; /* how often it has left the CPU so far */
	__u64 args[5];  /* of the syscall it sleeps in */
	__u32 tgid;
	__u32 tid;
	__s32 nr;    /* of that, or -1 */
	__u32 state; /* 0: running, or about to */
	__u32 stopped;
	__u32 pad;
};

/* Descriptors of one thread that user space wants described. */
struct wanted_fds {
	__u32 n;
	__s32 fd[LISTED_FDS];
};

struct listed_socket {
	__u32 tid;
	__u32 pad;
	struct target target;
};
