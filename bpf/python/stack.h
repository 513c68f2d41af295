/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The walk of a Python stack: takes a thread state and the layout of its CPython, gives the frames
 * of this very moment, with the running task and the loop's callback among them. All that is read
 * belongs to the watched process and may be garbage: every read can fail, the chain may be a cycle.
 */
#pragma once

#include "../kernel/read.h"
#include "../maps.h"
#include "task.h"

/*
 * Deeper stacks lose their root (ROOTLESS_STACKS). CPython's default recursion limit is 1000.
 *
 * bpf_loop is 5.17. Kernels before 5.13 refuse even dead code that takes the address of a
 * function, so there is a second object for those without it, in which the verifier follows
 * every step, a million instructions at most.
 */
#ifndef WITHOUT_BPF_LOOP
#define WALK_STEPS WALK_MAX
#else
#define WALK_STEPS WALK_MAX_UNROLLED
#endif

/* Steps of a walk of another thread's stack, which may change meanwhile. */
#ifndef WITHOUT_BPF_LOOP
#define HOLDER_WALK_STEPS 1024
#else
#define HOLDER_WALK_STEPS 100
#endif

/* The depth is kept in `out`, not here: of what lies on its own stack the verifier tracks every
 * value, and would follow the loop step by step. */
struct walk {
	const struct py_layout *py;
	struct stack *out; /* or a short_stack */
	__u64 frame;
	struct py_task *task;
	struct py_callback *callback;
};

/* In code units, or enum instr_value. Branches cost much here: the verifier of a kernel without
 * bpf_loop follows each of them in each step of a walk. */
static __always_inline __s32 instruction(const struct py_layout *py, __u64 code, __u64 raw)
{
	__s64 n = (__s32)raw;

	if (py->instr_kind == INSTR_POINTER)
		n = raw - (code + py->code_adaptive);
	if ((__u64)(n + 2) > 0x80000001ULL)
		return INSTR_UNKNOWN;
	return n >> (~py->instr_kind & INSTR_UNITS); /* bytes, of which a unit has two */
}

/* One frame; returns 1 at the end of the chain. */
static __always_inline long walk_frame(struct walk *w, const __u32 leaf, const __u32 root)
{
	const struct py_layout *py = w->py;
	__u64 code, previous, instr;
	__u32 path = 0, line = 0, at;
	const bool own = leaf == STACK_LEAF;
	struct py_frame *to;
	__u8 owner;

	if (!w->frame)
		return 1;
	if (own && w->task && w->task->running)
		match_task(w->task, w->frame, w->out->depth);
	if (read_u64(&code, w->frame + py->frame_code) |
	    read_u64(&previous, w->frame + py->frame_previous) |
	    read_u64(&instr, w->frame + py->frame_instr))
		goto failed;
	if (py->shim_owners) {
		if (bpf_probe_read_user(&owner, 1, (void *)(w->frame + py->frame_owner)))
			goto failed;
		if (owner < 32 && (py->shim_owners >> owner & 1))
			goto next;
	}
	code &= ~(__u64)py->code_tag_mask;
	if (own && w->callback) {
		if (code == w->callback->code) /* of nested loops the outer one decides */
			w->callback->frame = w->callback->inner;
		w->callback->inner = w->frame;
	}
	if (read_u32(&path, code + py->code_file) |
	    read_u32(&line, code + py->code_line)) {
		if (!own) /* the thread has moved on: what follows is no stack */
			goto failed;
		count(FAILED_CODE);
	}

	at = w->out->depth;
	if (at >= leaf)
		at = leaf + ((at - leaf) & (root - 1));
	if (at >= leaf + root) /* never; the verifier has to see it */
		return 1;
	to = &w->out->frames[at];
	to->code = code;
	to->instr = instruction(py, code, instr);
	to->check = path ^ line << 24;
	w->out->depth++;
next:
	w->frame = previous;
	return 0;
failed:
	count(own ? FAILED_FRAME : FAILED_HOLDER);
	w->out->failed = 1;
	return 1;
}

static long walk_step(__u32 unused, struct walk *w)
{
	return walk_frame(w, STACK_LEAF, STACK_ROOT);
}

static long walk_step_short(__u32 unused, struct walk *w)
{
	return walk_frame(w, HOLDER_LEAF, HOLDER_ROOT);
}

/* Finds the innermost frame of a thread state. */
static __always_inline int innermost_frame(struct walk *w, __u64 tstate)
{
	__u64 at = tstate + w->py->tstate_frame;

	if (w->py->via_cframe) {
		if (read_u64(&at, at))
			return -1;
		at += w->py->cframe_frame;
	}
	return read_u64(&w->frame, at);
}

/* Reads what tells the callback found from others. */
static __always_inline void read_callback(const struct py_layout *py, struct py_callback *cb)
{
	__u64 locals[3];
	__u8 owner;

	if (cb->code == CALLER_ROOT)
		cb->frame = cb->inner;
	if (!cb->frame)
		return;
	if (cb->code == CALLER_ROOT) {
		if (!bpf_probe_read_user(locals, sizeof(locals), (void *)(cb->frame + py->frame_locals)))
			cb->local = locals[0] ^ locals[1] << 1 ^ locals[2] << 2;
	} else if (read_u64(&cb->local, cb->frame + py->frame_locals)) {
		cb->local = 0;
	}
	if (py->frame_owner && !bpf_probe_read_user(&owner, 1, (void *)(cb->frame + py->frame_owner)))
		cb->owner = owner;
}

/* Fills `out`, and `task` and `callback` if given; 0 if there is at least one frame. */
static __always_inline int walk_stack(const struct thread_config *config, struct stack *out,
				      struct py_task *task, struct py_callback *callback)
{
	struct walk w = { .out = out, .task = task, .callback = callback };
	__u64 thread_id = 0;
	__u32 layout = config->layout;

	out->depth = 0;
	out->failed = 0;
	if (task)
		task->task = task->bytes = task->running = 0;
	if (callback) {
		callback->code = config->caller_code;
		callback->inner = callback->frame = callback->local = 0;
		callback->owner = OWNER_UNKNOWN;
	}
	w.py = bpf_map_lookup_elem(&layouts, &layout);
	if (!w.py || !config->tstate)
		return -1;
	/* A thread state lives as long as its thread, and is reused after it. */
	if (read_u64(&thread_id, config->tstate + w.py->tstate_thread_id) ||
	    thread_id != config->thread_id || innermost_frame(&w, config->tstate)) {
		count(FAILED_THREAD_STATE);
		out->failed = 1;
		return -1;
	}
	if (task)
		find_running(config, w.py, task);
#ifndef WITHOUT_BPF_LOOP
	bpf_loop(WALK_STEPS, walk_step, &w, 0);
#else
	for (int i = 0; i < WALK_STEPS; i++)
		if (walk_step(i, &w))
			break;
#endif
	if (w.frame && !out->failed) {
		count(ROOTLESS_STACKS);
		out->failed = 1;
	}
	if (task && task->task)
		read_task_name(w.py, task);
	if (callback && callback->code && !out->failed)
		read_callback(w.py, callback);
	if (out->depth > STACK_MAX)
		count(TRUNCATED_STACKS);
	return out->depth ? 0 : -1;
}

/* Walks the stack of another thread, which may be running meanwhile. A frame that is gone is noticed
 * when it is named: its code object is gone, or is another one. */
static __always_inline void walk_other(const struct py_layout *py, __u64 tstate,
				       struct short_stack *out)
{
	struct walk w = { .py = py, .out = (struct stack *)out };

	out->depth = 0;
	out->failed = 0;
	if (innermost_frame(&w, tstate)) {
		count(FAILED_HOLDER);
		out->failed = 1;
		return;
	}
#ifndef WITHOUT_BPF_LOOP
	bpf_loop(HOLDER_WALK_STEPS, walk_step_short, &w, 0);
#else
	for (int i = 0; i < HOLDER_WALK_STEPS; i++)
		if (walk_step_short(i, &w))
			break;
#endif
	if (w.frame)
		out->failed = 1;
}
