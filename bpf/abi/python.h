/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Python as the walk sees it: where one CPython keeps things, and what a walk gives back.
 */
#pragma once

#include <linux/types.h>

enum stack_size {
	STACK_LEAF = 192, /* frames kept from the leaf on */
	STACK_ROOT = 64,  /* frames kept at the root, a ring while walking */
	STACK_MAX = STACK_LEAF + STACK_ROOT,
	HOLDER_LEAF = 48, /* the same of the thread that held what a loop waited for */
	HOLDER_ROOT = 16,
	HOLDER_MAX = HOLDER_LEAF + HOLDER_ROOT,
	WALK_MAX = 4096,         /* frames of one walk */
	WALK_MAX_UNROLLED = 128, /* the same on kernels without bpf_loop */
};

enum instr_kind {
	INSTR_BYTES = 0,   /* f_lasti counts bytes (to 3.9) */
	INSTR_UNITS = 1,   /* f_lasti counts code units (3.10) */
	INSTR_POINTER = 2, /* a pointer into co_code_adaptive (3.11 on) */
};

/* Values of py_frame.instr that are no code unit. */
enum instr_value {
	INSTR_NOT_STARTED = -1,
	INSTR_UNKNOWN = -0x7fffffff - 1,
};

/* Where the walk finds things in one CPython; offsets in bytes. */
struct py_layout {
	__u32 tstate_thread_id;
	__u32 tstate_frame; /* of the frame pointer, or of cframe where via_cframe */
	__u32 via_cframe;   /* 1: tstate->cframe->current_frame (3.11, 3.12) */
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
	__u32 tstate_next;  /* in the interpreter's list of threads */
	__u32 gil_size;     /* of the structure of the GIL: its futexes lie inside */
	__u32 gil_locked;   /* int32 */
	__u32 gil_holder;   /* pointer to the PyThreadState that holds it, or held it last */
	__u32 frame_locals; /* the first local variable */
	/* What follows names the running asyncio task (python/task.h). */
	__u32 tstate_task; /* of the running task (3.14 on), or 0 */
	__u32 dict_keys;   /* to 3.13: of the table of a dict */
	__u32 keys_log2;   /* of the logarithm of the index's size, one byte; 0: dk_size at 8 (to 3.10) */
	__u32 keys_count;  /* of the number of entries */
	__u32 keys_index;  /* of the index, which the entries follow */
	__u32 task_coro;   /* 0: tasks cannot be read */
	__u32 task_name;
	__u32 coro_frame;        /* of the frame, or of a pointer to it (to 3.10) */
	__u32 coro_frame_inside; /* 1: the frame itself */
	__u32 str_length;
	__u32 str_state;
	__u32 str_ascii;   /* of the text of a compact ASCII string */
	__u32 str_compact; /* of any other compact string */
	__u32 str_kind_bit;
	__u32 str_ascii_bit;
};

struct py_frame {
	__u64 code;
	__s32 instr; /* code unit, or enum instr_value */
	__u32 check; /* low half of co_filename ^ co_firstlineno << 24 */
};

struct stack {
	__u32 depth;  /* frames walked; more than STACK_MAX: the middle is missing */
	__u32 failed; /* the walk ended early */
	struct py_frame frames[STACK_MAX];
};

/* A struct stack of fewer frames: the walk fills either. */
struct short_stack {
	__u32 depth;
	__u32 failed;
	struct py_frame frames[HOLDER_MAX];
};

/* Values of thread_config.caller_code that are no code object. */
enum caller {
	CALLER_NONE = 0,
	CALLER_ROOT = 1, /* every stack is one callback's own (greenlets): its outermost frame tells them apart */
};

/* Who owns a frame, as CPython says it (FRAME_OWNED_BY_GENERATOR of pycore_interpframe_structs.h). */
enum frame_owner {
	OWNER_GENERATOR = 1,
	OWNER_UNKNOWN = 255,
};

/* Which callback of the loop a stack was taken in: the frame directly inside the loop's. */
struct py_callback {
	__u64 code;  /* thread_config.caller_code, while walking */
	__u64 inner; /* the frame last seen, while walking */
	__u64 frame; /* 0: none was seen */
	__u64 local; /* its first local variable, the handle where the loop runs one; of CALLER_ROOT
		      * the first three in one number */
	__u32 owner; /* enum frame_owner, or another of CPython's */
	__u32 pad;
};

enum task_size {
	TASK_NAME_HEAD = 56, /* bytes of the name's object that are always read */
	TASK_NAME_MAX = 128,
	TASKS_RUNNING = 8, /* loops of one process in a task at the same time, a power of two */
};

/* The asyncio task that a thread was running. */
struct py_task {
	__u64 task;    /* 0: none that could be shown */
	__u64 name;    /* the object, a str, or an int that stands for Task-N */
	__u32 bytes;   /* of the object, from its beginning */
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
