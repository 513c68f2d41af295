/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * What goes through the ring buffer. Every record begins with its type.
 */
#pragma once

#include <linux/types.h>

#include "python.h"
#include "target.h"
#include "thread.h"

enum record_type {
	RECORD_WAIT = 1, /* struct wait_record: a thread waits in epoll, user space is asked what it is */
	RECORD_SAMPLE,   /* struct sample */
	RECORD_BLOCK,    /* struct block_record */
	RECORD_EXEC,     /* struct life_record */
	RECORD_EXIT,     /* struct life_record */
	RECORD_DELAYED,  /* struct delayed_record, after the block it is about */
	RECORD_CROSSED,  /* struct life_record: a loop asleep in a period that is half a block by now */
	RECORD_HOLDER,   /* struct holder, before the sample it belongs to */
	RECORD_USDT,     /* struct usdt_account, before the block it is about */
};

struct wait_record {
	__u32 type;
	__u32 tgid;
	__u32 tid;
	__s32 fd; /* NO_FD: not waiting, seen at the start */
	__u64 thread_id;
	__u64 period;
	__u32 has_stack;
	__u32 pad;
	struct stack stack;
};

enum record_size {
	COMM_LEN = 16,
	KERNEL_FRAMES = 16, /* of a kernel stack, see struct sample */
};

enum sample_kind {
	SAMPLE_OFF = 1, /* a stretch off the CPU */
	SAMPLE_TICK = 2,
};

enum sample_flag {
	FLAG_GC = 1,        /* the interpreter's garbage collector was running */
	FLAG_GIL_KNOWN = 2, /* the next one says something */
	FLAG_GIL_HELD = 4,  /* by the loop's own thread */
};

struct sample {
	__u32 type;
	__u32 tid;
	__u64 period;
	__u64 at;     /* SAMPLE_OFF: left the CPU; SAMPLE_TICK: the tick */
	__u64 ns;     /* SAMPLE_OFF: asleep, with the shorter stretches before it */
	__u64 cpu_ns; /* on the CPU in this period up to `at` */
	__u64 waited_ns; /* runnable without a CPU in this period up to the sample's end */
	__u64 throttled_ns; /* of that held back by a quota */
	__u64 ip;     /* user instruction pointer */
	__u64 args[3];
	__u32 kind;
	__s32 nr;       /* syscall, or -1 */
	__u32 state;    /* task state when it left the CPU */
	__u32 stopped;  /* by a signal, a tracer or a freezer */
	__u32 flags;    /* enum sample_flag */
	__u32 phase;    /* enum phase */
	__u32 kernel_depth; /* frames in `kernel` */
	__u64 kernel[KERNEL_FRAMES]; /* kernel stack of an uninterruptible sleep, innermost first */
	struct target target;
	__s32 fds[POLL_MAX]; /* where target.others: what was waited for, NO_FD in unused places */
	struct py_task task;
	struct py_callback callback;
	struct stack stack;
};

/* The thread that held the GIL when a loop began to wait for it, or the one that released the
 * lock a loop waited for. It belongs to the sample of the same tid, period and at. */
struct holder {
	__u32 type;
	__u32 tid;
	__u64 period;
	__u64 at;
	__u64 thread_id;   /* its thread pointer, 0 unknown */
	__u32 holder_tgid; /* 0: the loop's process */
	__u32 holder_tid;  /* 0 unknown */
	char comm[COMM_LEN]; /* where holder_tid is known */
	struct short_stack stack;
};

/* A sample held back. */
struct held_sample {
	struct sample sample; /* first: a pointer to it is one to this */
	struct holder holder;
};

enum block_flag {
	BLOCK_EXITED = 1, /* the thread ended in the middle */
	BLOCK_SEEDED = 2, /* it was going on when first seen: start is when that was */
};

struct block_record {
	__u32 type;
	__u32 tgid;
	__u32 tid;
	__u32 flags; /* enum block_flag */
	__u64 period;
	__u64 start;
	__u64 end;
	__u64 off_ns;
	__u64 waited_ns; /* of it runnable without a CPU */
	__u64 throttled_ns; /* of that held back by a quota */
	__u64 stopped_ns; /* of it stopped by a signal, a tracer or a freezer */
	__u64 ready_at; /* the first event that waited for it to end, 0 not known */
	__u64 stackless_ns; /* of off_ns, asleep without a stack, and in no sample */
	struct stackless stackless; /* the longest of these */
	struct late late; /* of the wait before it */
	__u32 samples;
	__u32 pad;
};

enum delayed_size {
	DELAYED_EVENTS = 128, /* of one wait that are looked at */
	DELAYED_SOURCES = 16, /* different ones of one wait */
	SOURCE_NAME = 108,    /* bytes of a name, as in sun_path */
	WAKEUP_NUMBERS = 8,   /* a loop's own wake-up descriptor has one of so many numbers behind that of its epoll instance */
	NO_RANK = 255,
};

enum source_kind {
	SOURCE_OTHER = 0,
	SOURCE_INET,   /* protocol, port, address: its own */
	SOURCE_UNIX,   /* name: its own, or that of its peer where it has none */
	SOURCE_PAIR,   /* a unix socket without a name on either side */
	SOURCE_SOCKET, /* of another family */
	SOURCE_PIPE,
	SOURCE_ANONYMOUS, /* address: its name, such as "[eventfd]" */
	SOURCE_PIDFD,
	SOURCE_DEVICE,
};

/* What events came from that waited for a block to end. Up to `events`, all of it tells one from another. */
struct event_source {
	__u64 address[2]; /* of a unix socket, where the kernel has its name */
	__u8 kind;        /* enum source_kind */
	__u8 family;
	__u8 protocol;
	__u8 rank;        /* of what may be the loop's own: how many of its kind have a number between the epoll instance's and its own */
	__u16 port;       /* host order */
	__u8 type;
	__u8 pad;
	__u32 events;
	__u32 len; /* of `name` in use */
	__u8 name[SOURCE_NAME];
	__u32 pad2;
};

/* What the first wait after a block returned at once: events that waited for it to end. The record ends behind the sources. */
struct delayed_record {
	__u32 type;
	__u32 tgid;
	__u32 tid;
	__s32 events;
	__u64 period;
	__u32 timer; /* one came due in the block */
	__u32 sources;
	struct event_source source[DELAYED_SOURCES];
};

struct life_record {
	__u32 type;
	__u32 tgid;
	__u32 tid;
	__u32 last; /* the whole process */
};
