/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Processes and threads: what user space decides about them, and what the kernel side knows.
 */
#pragma once

#include <linux/types.h>

enum thread_size {
	NO_SLOT = 0xffffffffU,
	FDS_PER_THREAD = 4,    /* epoll descriptors one thread is remembered to wait on */
	SAMPLES_PER_LOOP = 12, /* held back until a period crosses the threshold, and one spare */
	WANTED_MAX = 16384,    /* processes that can be named to be watched */
};

/* A wait that returned late by less than this part of the threshold belongs to no block, and counts as late all the same.
 * Every wake-up takes some microseconds, more on a busy host. */
enum late_part {
	LATE_PART = 10,
};

/* What the variables of the same names begin with. */
enum initial {
	INITIAL_GENERATION = 1,
	INITIAL_EPOCH = 1,
	INITIAL_MARK = 1,
};

/* Marks of tracked_tids go from INITIAL_MARK to LAST_MARK, and begin again: 0 is none. */
enum mark { LAST_MARK = 255 };

enum verdict {
	VERDICT_PENDING = 0,
	VERDICT_LOOP = 1, /* of a process: Python. Of a descriptor: the loop's own */
	VERDICT_IGNORED = 2,
};

/* Threads that are there at the start are announced in two passes, the urgent ones first. */
enum seed_pass {
	SEED_ACTIVE = 1, /* outside a wait: perhaps in a block */
	SEED_REST,
};

/* On arm64 the C library keeps its description of a thread, which pthread_self points to, right
 * below the thread pointer; its size depends on the library. Stacks are farther apart. On x86-64
 * both are one address. */
enum thread_description {
	THREAD_DESCRIPTION_X86 = 0,
	THREAD_DESCRIPTION_ARM64 = 8192,
};

struct process {
	__u64 asked_at;
	__u32 verdict;
	__u32 tries;   /* how often it was asked about again */
	__u64 threads; /* of a Python: pointer to the first PyThreadState, 0 unknown */
	__u32 layout;
	__u32 pad;
};

/* What user space says of a thread. Only user space writes it. */
struct thread_config {
	__u64 tstate;
	__u64 thread_id;
	__u64 rest_code; /* code object whose nanosleep is rest (eventlet's hub), or 0 */
	/* Addresses in the process, 0 unknown. */
	__u64 gil;        /* the structure of the GIL */
	__u64 collecting; /* int32, not 0 while the cyclic garbage collector runs */
	__u64 threads;    /* pointer to the interpreter's first PyThreadState */
	__u64 tasks;      /* dict of the running asyncio tasks by loop (to 3.13), or 0 */
	__u32 layout;
	__u32 slot; /* of statistics and samples; NO_SLOT while it is no loop */
	__s32 fds[FDS_PER_THREAD];
	__u8 fd_verdicts[FDS_PER_THREAD];
	__u8 verdict;
	__u8 pad[3];
	__u32 tid; /* of the thread it is about */
	__u32 pad2;
	__u64 caller_code; /* of the loop's frame that calls callbacks, or enum caller */
};

/* A sleep of which no stack could be taken: too little was known of the thread when it began. */
struct stackless {
	__u64 at; /* left the CPU; of slices of one futex, the last time */
	__u64 ns; /* asleep, 0: there was none */
	__u64 args[3];
	__s32 nr; /* syscall, or -1 */
	__u32 pad;
};

/* How late a wait returned: from when the loop was woken, or should have been, to when it went on. Before it may lie an
 * iteration that is joined with the one behind it (loop/joined.h). */
struct late {
	__u64 ns;
	__u64 throttled_ns; /* of it held back by a quota */
	__u64 stopped_ns;   /* of it stopped by a signal, a tracer or a freezer; the rest without a CPU */
	__u64 ran_ns;       /* of it on the CPU, in the iteration before */
	__u64 asleep_ns;    /* and asleep there */
};

/* What the kernel side knows of a thread. Only the kernel side writes it. */
struct thread {
	__u64 since;  /* the present wait or active period began, ns */
	__u64 period; /* number of the present active period */
	__u64 off_since; /* left the CPU in this period, 0: on it */
	__u64 off_exec;  /* sum_exec_runtime at that moment */
	__u64 off_clock; /* how far the scheduler's clock was behind ours then */
	__u64 off_ns;    /* off the CPU in this period, ended stretches only */
	__u64 waited_ns; /* of it runnable without a CPU */
	__u64 throttled_ns; /* of that held back by a quota */
	__u64 stopped_ns; /* of it stopped */
	__u64 pending_ns; /* of it not yet carried by a sample */
	__u64 stackless_ns; /* of it asleep without a stack, and in no sample */
	__u64 woken_at;   /* the present or last sleep ended, 0: not seen */
	__u64 run_delay;  /* sched_info.run_delay when the present stretch began */
	__u64 quota_rq;   /* then: the cfs_rq a quota may hold back, 0 none */
	__u64 quota_clock; /* and how long it had been held back */
	__u64 last_tick;
	__u64 preempted; /* when the stack in the spare sample was taken, 0: it is of something else */
	__u64 rested_at; /* the loop last rested, or was first seen */
	__u64 rested_period; /* then the number of the period before */
	__u64 epoll;    /* address of the instance it waits on, 0 unknown (loop/ready.h) */
	__u64 ready_at; /* the first event since `since` that waits for the period to end; older: none */
	__u64 late_from;  /* the present wait could have ended, 0: it could not yet (loop/late.h) */
	__u64 late_stopped_ns; /* since then stopped, ended stops only */
	__u64 stop_since; /* stopped in the present wait, 0: not */
	__u64 stop_deadline; /* when that wait was to end at the latest, 0: not known or never */
	__u64 interrupted_at; /* the wait that a signal ended had begun then */
	__u64 deadline; /* the timer of the present or last wait, 0: none (loop/timer.h) */
	__u64 due;      /* a timer that came due in the last period, 0: none did, or it is not known */
	__u64 asked_at;
	__u64 thread_id; /* thread pointer, or what pthread_self returns */
	__u32 tgid;
	__u32 generation; /* of the configuration below */
	__s32 wait_fd;
	__u32 held;    /* samples held back */
	__u32 samples; /* sent in this period */
	__u8 in_wait;
	__u8 asleep;   /* the present stretch is a sleep, not a preemption */
	__u8 stopped;  /* by a signal, a tracer or a freezer */
	__u8 throttled; /* it began with being held back by a quota */
	__u8 has_stack; /* samples[held] describes the present or last stretch */
	__u8 crossed;  /* held samples were sent: the period is a block */
	__u8 resting;  /* the wait is a rest off the CPU, see rest_code */
	__u8 seeded;   /* the present period began before it was first seen */
	__u8 asked_with_stack;
	__u8 asks;     /* questions about `asked_fd`, up to a bound */
	__u8 ask_lost; /* the last one found no room */
	__u8 slept;    /* in the present wait: it is a rest */
	__u8 blocked;  /* the last period was a block, and how many events waited is not told yet */
	__u8 again;    /* the period began in the middle of a wait that a stop has interrupted */
	__u8 unreleased; /* the last wait for a lock in this period ended, and nobody was seen to end it */
	__u8 released; /* the present sleep is a wait for a lock, and its sample says who ended it */
	__u8 prompted; /* the period began with an event, or after a rest: somebody may wait for it */
	__u8 pad[3];
	__s32 asked_fd;
	__s32 epoll_fd; /* whose instance `epoll` is */
	__s32 interrupted_fd; /* what the wait was on that a signal ended, NO_FD: none */
	struct late late; /* of the wait before this period */
	struct late joined; /* the same with the iteration before; ns is 0 where that is not joined with this one */
	struct stackless stackless; /* the longest of stackless_ns */
	struct thread_config config;
};

/* What the program list_pointers writes. */
struct thread_pointer {
	__u64 pointer;
	__u32 tid;
	__u32 pad;
};
