/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Everything that crosses between the kernel side and user space, declared once: bpf2go makes
 * the Go types from these (see internal/probes/generate.go).
 */
#pragma once

#include <linux/types.h>

#define STACK_LEAF 192 /* frames kept from the leaf on */
#define STACK_ROOT 64  /* frames kept at the root, a ring while walking */
#define STACK_MAX (STACK_LEAF + STACK_ROOT)
#define HOLDER_LEAF 48 /* the same of the thread that held what a loop waited for */
#define HOLDER_ROOT 16
#define HOLDER_MAX (HOLDER_LEAF + HOLDER_ROOT)
#define COMM_LEN 16

#define SAMPLES_PER_LOOP 12 /* held back until a period crosses the threshold, and one spare */
#define FDS_PER_THREAD 4    /* epoll descriptors one thread is remembered to wait on */
#define KERNEL_SKIP 3      /* frames of our own on top of a kernel stack */

/* Histogram of active periods: 16 buckets an octave (relative error of a bucket's middle
 * 3.1 %) above 8.192 us, one below it, and all above 2^37 ns (137 s) in the last. */
#define HIST_MIN_SHIFT 13
#define HIST_MAX_SHIFT 37
#define HIST_BUCKETS (1 + 16 * (HIST_MAX_SHIFT - HIST_MIN_SHIFT) + 1)

#define TARGET_DATA 256   /* bytes of a path or name */
#define KERNEL_FRAMES 16  /* of a kernel stack, see struct sample */
#define SYSCALLS 512      /* numbers below this have an entry in `syscall_objects` */

#define NO_SLOT 0xffffffffU
#define NO_FD (-1)

enum record_type {
	RECORD_WAIT = 1,  /* struct wait_record: a thread waits in epoll, user space shall say what it is */
	RECORD_SAMPLE,    /* struct sample */
	RECORD_BLOCK,     /* struct block_record */
	RECORD_EXEC,      /* struct life_record */
	RECORD_EXIT,      /* struct life_record */
	RECORD_DELAYED,   /* struct delayed_record: after the block it is about */
	RECORD_CROSSED,   /* struct life_record: a loop asleep in a period that is half a block by now */
	RECORD_HOLDER,    /* struct holder: comes before the sample it belongs to */
	RECORD_INSIDE,    /* struct inside, before the block it is about */
};

enum verdict {
	VERDICT_PENDING = 0,
	VERDICT_LOOP = 1,    /* of a process: Python. Of a descriptor: the loop's own */
	VERDICT_IGNORED = 2,
};

/* Threads that are there at the start are announced in two passes, the urgent ones first. */
enum seed_pass {
	SEED_ACTIVE = 1, /* outside a wait: perhaps in a block */
	SEED_REST,
};

enum sample_kind {
	SAMPLE_OFF = 1, /* a stretch off the CPU */
	SAMPLE_TICK = 2,
};

enum instr_kind {
	INSTR_BYTES = 0,   /* f_lasti counts bytes (to 3.9) */
	INSTR_UNITS = 1,   /* f_lasti counts code units (3.10) */
	INSTR_POINTER = 2, /* a pointer into co_code_adaptive (3.11 on) */
};

/* Where a syscall says what it works on. User space fills the table (internal/syscalls). */
enum syscall_object {
	OBJECT_NONE = 0,
	OBJECT_FD,       /* descriptor in argument 0 */
	OBJECT_FD4,      /* descriptor in argument 4 (mmap) */
	OBJECT_CONNECT,  /* socket, address in 1 and 2 */
	OBJECT_SENDTO,   /* socket, address in 4 and 5 */
	OBJECT_SENDMSG,  /* socket, struct msghdr in 1 */
	OBJECT_SENDFILE, /* to descriptor 0, from descriptor 1 */
	OBJECT_SPLICE,   /* from descriptor 0, to descriptor 2 */
	OBJECT_PATH,     /* path in 0 */
	OBJECT_PATH1,    /* path in 1 */
	OBJECT_PATHAT,   /* directory descriptor in 0, path in 1 */
	OBJECT_PATHAT1,  /* directory descriptor in 1, path in 2 */
	OBJECT_POLL,     /* array of struct pollfd in 0, length in 1 */
	OBJECT_SELECT,   /* length in 0, sets in 1 to 3 */
	OBJECT_EPOLL,    /* epoll descriptor in 0 */
	OBJECT_WAIT,     /* child in 0 (wait4) */
	OBJECT_WAITID,   /* kind in 0, child in 1 */
	OBJECT_FORK,     /* the child just made */
};

enum target_kind {
	TARGET_NONE = 0,
	TARGET_FILE,   /* data: a path */
	TARGET_PATH,   /* data: the argument, NUL, and the path of the directory it counts from */
	TARGET_INET,   /* port, address */
	TARGET_UNIX,   /* data: name, as in sun_path */
	TARGET_SOCKET, /* of another family */
	TARGET_CHILD,  /* pid; 0: any of several */
};

#define TARGET_CUT 1      /* the outermost part of the path is missing, or the argument's beginning */
#define TARGET_DELETED 2  /* the file has no name any more */
#define TARGET_DETACHED 4 /* the path does not begin at a root: an object without a name in a directory */
#define TARGET_LOCAL 8    /* the address is the thread's own: there is no peer */
#define TARGET_LISTEN 16  /* so is that of a listening socket */

/* What a syscall works on, as the kernel knew it at that moment. A path is kept as its
 * components, innermost first, each ended by NUL, as seen from the process's own root. */
struct target {
	__u8 kind;
	__u8 flags;
	__u16 len;       /* of data in use */
	__s32 fd;        /* descriptor, or NO_FD */
	__u32 mode;      /* i_mode behind it, 0 unknown */
	__u32 rdev;      /* device, as the kernel numbers it: major << 20 | minor */
	__u32 magic;     /* of its file system, s_magic */
	__s32 pid;       /* of a child, as the host numbers it */
	__u16 family;    /* of a socket */
	__u16 port;      /* host order */
	__u8 type;
	__u8 protocol;
	__u16 others;    /* descriptors waited for just like this one (poll, select) */
	__u8 address[16];
	__u8 data[TARGET_DATA];
};

/* Where the walker finds things in one CPython; offsets in bytes. */
struct py_layout {
	__u32 tstate_thread_id;
	__u32 tstate_frame;  /* of the frame pointer, or of cframe where via_cframe */
	__u32 via_cframe;    /* 1: tstate->cframe->current_frame (3.11, 3.12) */
	__u32 cframe_frame;
	__u32 frame_code;
	__u32 frame_previous;
	__u32 frame_instr;
	__u32 frame_owner;   /* one byte; read where shim_owners is not 0 */
	__u32 shim_owners;   /* bit n set: frames with owner n are no Python frames */
	__u32 code_tag_mask; /* bits to clear in the code pointer */
	__u32 instr_kind;
	__u32 code_file; /* co_filename */
	__u32 code_line; /* co_firstlineno */
	__u32 code_adaptive;
	__u32 tstate_next;   /* in the interpreter's list of threads */
	__u32 gil_size;      /* of the structure of the GIL: its futexes lie inside */
	__u32 gil_locked;    /* int32 */
	__u32 gil_holder;    /* pointer to the PyThreadState that holds it, or held it last */
	__u32 frame_locals;  /* the first local variable */
	/* What follows names the running asyncio task (bpf/pytask.h). */
	__u32 tstate_task;      /* of the running task (3.14 on), or 0 */
	__u32 dict_keys;        /* to 3.13: of the table of a dict */
	__u32 keys_log2;        /* of the logarithm of the index's size, one byte; 0: dk_size at 8 (to 3.10) */
	__u32 keys_count;       /* of the number of entries */
	__u32 keys_index;       /* of the index, which the entries follow */
	__u32 task_coro;        /* 0: tasks cannot be read */
	__u32 task_name;
	__u32 coro_frame;       /* of the frame, or of a pointer to it (to 3.10) */
	__u32 coro_frame_inside; /* 1: the frame itself */
	__u32 str_length;
	__u32 str_state;
	__u32 str_ascii;        /* of the text of a compact ASCII string */
	__u32 str_compact;      /* of any other compact string */
	__u32 str_kind_bit;
	__u32 str_ascii_bit;
};

struct py_frame {
	__u64 code;
	__s32 instr; /* code unit; -1 not started; INT_MIN unknown */
	__u32 check; /* low half of co_filename ^ co_firstlineno << 24 */
};

struct process {
	__u64 asked_at;
	__u32 verdict;
	__u32 tries; /* how often it was asked about again */
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
	__u64 tasks;     /* dict of the running asyncio tasks by loop (to 3.13), or 0 */
	__u32 layout;
	__u32 slot; /* of books and samples; NO_SLOT while it is no loop */
	__s32 fds[FDS_PER_THREAD];
	__u8 fd_verdicts[FDS_PER_THREAD];
	__u8 verdict;
	__u8 pad[3];
	__u32 tid; /* of the thread it is about */
	__u32 pad2;
	__u64 caller_code; /* of the loop's frame that calls callbacks, CALLER_ROOT, or 0 */
};

/* Every stack is one callback's own (greenlets): its outermost frame tells them apart. */
#define CALLER_ROOT 1

/* Which callback of the loop's a stack was taken in: the frame directly inside the loop's. */
struct py_callback {
	__u64 code;  /* thread_config.caller_code, while walking */
	__u64 inner; /* the frame last seen, while walking */
	__u64 frame; /* 0: none was seen */
	__u64 local; /* its first local variable, the handle where the loop runs one */
	__u32 owner; /* whose the frame is: OWNER_GENERATOR, or another, or OWNER_UNKNOWN */
	__u32 pad;
};

#define OWNER_GENERATOR 1
#define OWNER_UNKNOWN 255

/* A sleep of which no stack could be taken: the thread was not known well enough when it began. */
struct stackless {
	__u64 at; /* left the CPU; of slices of one futex, the last time */
	__u64 ns; /* asleep, 0: there was none */
	__u64 args[3];
	__s32 nr; /* syscall, or -1 */
	__u32 pad;
};

/* What the kernel knows of a thread. Only the kernel writes it. */
struct thread {
	__u64 since;  /* the present wait or active period began, ns */
	__u64 period; /* number of the present active period */
	__u64 off_since; /* left the CPU in this period, 0: on it */
	__u64 off_exec;  /* sum_exec_runtime at that moment */
	__u64 off_clock; /* what the scheduler's clock is behind ours */
	__u64 off_ns;    /* off the CPU in this period, ended stretches only */
	__u64 waited_ns; /* of it runnable without a CPU */
	__u64 throttled_ns; /* of that held back by a quota */
	__u64 stopped_ns; /* of it stopped */
	__u64 pending_ns; /* of it not yet carried by a sample */
	__u64 stackless_ns; /* of it asleep without a stack, and in no sample */
	__u64 run_delay;  /* sched_info.run_delay when the present stretch began */
	__u64 quota_rq;   /* then: the cfs_rq a quota may hold back, 0 none */
	__u64 quota_clock; /* and how long it has been, by the scheduler's books */
	__u64 last_tick;
	__u64 preempted; /* when the stack in the spare sample was taken, 0: it is of something else */
	__u64 rested_at; /* the loop last rested, 0 not known */
	__u64 rested_period; /* then the number of the period before */
	__u64 epoll;    /* address of the instance it waits on, 0 unknown (ready.h) */
	__u64 ready_at; /* the first event since `since` that waits for the period to end; older: none */
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
	__u8 slept;    /* in the present wait */
	__u8 blocked;  /* the last period was a block, and how many events waited is not told yet */
	__u8 pad[7];
	__s32 asked_fd;
	__s32 epoll_fd; /* whose instance `epoll` is */
	__u32 pad2;
	struct stackless stackless; /* the longest of stackless_ns */
	struct thread_config config;
};

struct loop_books {
	__u64 iterations;
	__u64 idle_ns;
	__u64 active_ns;
	__u64 max_ns;
	__u64 blocks;
	__u64 unrested_ns; /* stretches of several periods without a rest in between, of at least the threshold */
	__u64 unrested_max_ns;
	__u64 histogram[HIST_BUCKETS];
};

struct stack {
	__u32 depth;  /* frames walked; more than STACK_MAX: the middle is missing */
	__u32 failed; /* the walk ended early */
	struct py_frame frames[STACK_MAX];
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

#define TASK_NAME_HEAD 56
#define TASK_NAME_MAX 128
#define TASKS_RUNNING 8 /* loops of one process in a task at the same time, a power of two */

/* The asyncio task that a thread was running. */
struct py_task {
	__u64 task;  /* 0: none that could be shown */
	__u64 name;  /* the object, a str, or an int that stands for Task-N */
	__u32 bytes; /* of the object, from its beginning */
	__u32 depth;   /* frames nearer to the leaf than its coroutine's */
	__u32 running; /* while walking: how many tasks there are below */
	__u32 pad;
	union {
		__u8 object[TASK_NAME_MAX];
		struct {
			__u64 task;
			__u64 frame; /* of its coroutine */
		} of[TASKS_RUNNING]; /* while walking */
	};
};

#define POLL_MAX 8 /* descriptors of one poll or select looked at */

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
	__u32 room;     /* enum room */
	__u32 kernel_depth; /* frames in `kernel` */
	__u64 kernel[KERNEL_FRAMES]; /* kernel stack of an uninterruptible sleep, innermost first */
	struct target target;
	__s32 fds[POLL_MAX]; /* where target.others: what was waited for, NO_FD in unused places */
	struct py_task task;
	struct py_callback callback;
	struct stack stack;
};

enum sample_flag {
	FLAG_GC = 1,        /* the interpreter's garbage collector was running */
	FLAG_GIL_KNOWN = 2, /* the next one says something */
	FLAG_GIL_HELD = 4,  /* by the loop's own thread */
};

/* A struct stack of fewer frames: the walk fills either. */
struct short_stack {
	__u32 depth;
	__u32 failed;
	struct py_frame frames[HOLDER_MAX];
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

/* What list_threads writes. */
struct thread_pointer {
	__u64 pointer;
	__u32 tid;
	__u32 pad;
};

/* A sample held back. */
struct held_sample {
	struct sample sample; /* first: a pointer to it is one to this */
	struct holder holder;
};

struct block_record {
	__u32 type;
	__u32 tgid;
	__u32 tid;
	__u32 flags;
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
	__u32 samples;
	__u32 pad;
};

/* What the first wait after a block returned at once: events that waited for it to end. */
struct delayed_record {
	__u32 type;
	__u32 tgid;
	__u32 tid;
	__s32 events;
	__u64 period;
};

#define BLOCK_EXITED 1  /* the thread ended in the middle */
#define BLOCK_SEEDED 2  /* it was going on when first seen: start is when that was */

struct life_record {
	__u32 type;
	__u32 tgid;
	__u32 tid;
	__u32 last; /* the whole process */
};

/* What the interpreter's own probes (USDT) say a loop's thread is in. */
enum room {
	ROOM_NONE = 0,
	ROOM_GC = 1,
	ROOM_IMPORT = 2,
	ROOMS = 2,
};

enum usdt_probe {
	USDT_GC_START = 1,
	USDT_GC_DONE,
	USDT_IMPORT_START,
	USDT_IMPORT_DONE,
	USDT_AUDIT,
};

enum usdt_how {
	USDT_UNKNOWN = 0,
	USDT_CONSTANT,
	USDT_REGISTER,
	USDT_MEMORY,
};

/* Where a site has an argument (internal/usdt). */
struct usdt_arg {
	__s64 offset;
	__u16 reg; /* in struct pt_regs, bytes */
	__u8 how;
	__u8 size;
	__u8 is_signed;
	__u8 pad[3];
};

struct usdt_site {
	__u32 probe; /* enum usdt_probe */
	__u32 pad;
	struct usdt_arg arg; /* the first one */
};

#define MODULE_LEN 64
#define AUDITS 8 /* different events kept of one period */
#define EVENT_LEN 32

/* Time in one room; what was done in another room inside it included. */
struct room_time {
	__u64 ns;
	__u64 off_ns;    /* of it off the CPU */
	__u64 kept_ns;   /* of that, runnable or stopped */
};

struct audit_event {
	__u64 at; /* address of the name: string constants */
	__u32 count;
	char name[EVENT_LEN];
	__u32 pad;
};

/* What the probes said in one active period; by slot, and reset by the first probe of a period. */
struct inside {
	__u32 type;
	__u32 tid;
	__u64 period;
	__u32 room;           /* the outermost one that is open */
	__u32 imports_open;
	__u64 since;          /* that room was entered */
	__u64 off_ns;         /* struct thread's at that moment */
	__u64 kept_ns;        /* and that of waited_ns and stopped_ns */
	__u64 gc_since;       /* 0: no collection is going on */
	__u64 import_since;
	struct room_time rooms[ROOMS]; /* by enum room - 1: the outermost room takes it all */
	__u64 gc_ns;          /* of all collections, those within imports, too */
	__u64 gc_max_ns;
	__s64 gc_collected;
	__u32 gcs;
	__s32 gc_generation;  /* going on */
	__s32 gc_max_generation; /* of the longest */
	__u32 imports;        /* one within another is not counted */
	__u64 import_ns;
	__u64 import_max_ns;
	char module[MODULE_LEN];     /* imported last */
	char max_module[MODULE_LEN]; /* that took longest */
	__u32 audits_more;    /* events there was no room for */
	__u32 pad;
	struct audit_event audits[AUDITS];
};

/* Named counters of everything that was given up. */
enum counter {
	LOST_RECORDS = 0,      /* ring buffer full */
	LOST_SAMPLES,          /* ring buffer full */
	SKIPPED_SAMPLES,       /* bound of a period reached */
	FAILED_THREAD_STATE,   /* thread state unreadable or of another thread */
	FAILED_FRAME,          /* frame unreadable in mid-walk */
	FAILED_CODE,           /* code object unreadable */
	TRUNCATED_STACKS,      /* deeper than STACK_MAX: the middle is missing */
	ROOTLESS_STACKS,       /* deeper than the walk goes: the root is missing */
	LOST_HOLDERS,          /* ring buffer full */
	FAILED_HOLDER,         /* thread state of a holder unreadable or not found */
	FULL_THREADS,          /* no room in a map */
	FULL_PROCESSES,
	FAILED_TARGET,         /* the path or address of what a syscall works on was unreadable */
	FULL_EPOLLS,           /* no room for an epoll instance */
	UNSEEN_RETURNS,        /* to the CPU, without a sched_switch: worked out afterwards */
	COUNTERS,
};
