/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The running asyncio task: takes a thread and, as the walk goes, each of its frames, gives the
 * task and its name. Both are read at the moment of a sample: by the time user space looks, the task
 * may be gone and another in its place.
 *
 * From 3.14 on the thread state has a pointer to it. Before, a dict of the _asyncio module has
 * the running task of each loop. Neither is believed alone: a task is the thread's if the frame
 * of its coroutine is on the thread's stack, which the walk finds out.
 */
#pragma once

#include "../kernel/read.h"
#include "../maps.h"

#define ENTRIES_MAX 24 /* of the dict, deleted ones included */

/* Where the walk is unrolled, the verifier follows each look at a task some 300 times. */
#ifndef WITHOUT_BPF_LOOP
#define TASKS_MATCHED TASKS_RUNNING
#else
#define TASKS_MATCHED 2
#endif

static __always_inline void add_running(const struct py_layout *py, struct py_task *to, __u64 task)
{
	__u64 at;
	__u32 n = to->running;
	__u64 frame;

	if (n >= TASKS_MATCHED || read_u64(&frame, task + py->task_coro))
		return;
	frame += py->coro_frame;
	if (!py->coro_frame_inside && read_u64(&frame, frame))
		return;
	at = n;
	barrier_var(at); /* the verifiers of 5.10 and 6.1 do not remember the check above */
	at &= TASKS_RUNNING - 1;
	to->of[at].task = task;
	to->of[at].frame = frame;
	to->running = n + 1;
}

/* The tasks that may be the thread's. All is kept in `to`: what lies on its own stack the
 * verifier would tell apart in every step of the walk. */
static __always_inline void find_running(const struct thread_config *config,
					 const struct py_layout *py, struct py_task *to)
{
	__u64 at, task, entries, n, entry[3] /* hash, key, value */;
	__u8 log2;

	if (!py->task_coro)
		return;
	if (py->tstate_task) {
		if (!read_u64(&task, config->tstate + py->tstate_task) && task)
			add_running(py, to, task);
		return;
	}
	if (!config->tasks || read_u64(&at, config->tasks + py->dict_keys) ||
	    read_u64(&n, at + py->keys_count))
		return;
	if (!py->keys_log2) {
		if (read_u64(&entries, at + 8) || entries > 0x80) /* one byte each */
			return;
	} else {
		if (bpf_probe_read_user(&log2, 1, (void *)(at + py->keys_log2)) || log2 > 7)
			return;
		entries = 1ULL << log2;
	}
	entries += at + py->keys_index;
	for (int i = 0; i < ENTRIES_MAX && i < n; i++) {
		if (bpf_probe_read_user(entry, sizeof(entry), (void *)(entries + i * sizeof(entry))))
			return;
		if (entry[2])
			add_running(py, to, entry[2]);
	}
}

/* The innermost frame of a task decides. */
static __always_inline void match_task(struct py_task *to, __u64 frame, __u32 depth)
{
	for (int i = 0; i < TASKS_MATCHED; i++) {
		if (i >= to->running)
			return;
		if (to->of[i].frame == frame) {
			to->task = to->of[i].task;
			to->depth = depth;
			to->running = 0;
			return;
		}
	}
}

/* Copies as much of the name as there is room for. */
static __always_inline void read_task_name(const struct py_layout *py, struct py_task *to)
{
	__u64 length;
	__u32 state;
	__u64 rest;

	if (read_u64(&to->name, to->task + py->task_name))
		return;
	/* An int is shorter, and what lies behind it need not be there. */
	if (bpf_probe_read_user(to->object, TASK_NAME_HEAD, (void *)to->name)) {
		if (!bpf_probe_read_user(to->object, 32, (void *)to->name))
			to->bytes = 32;
		return;
	}
	to->bytes = TASK_NAME_HEAD;
	if (read_u64(&length, to->name + py->str_length) ||
	    read_u32(&state, to->name + py->str_state))
		return;
	if (length > TASK_NAME_MAX)
		length = TASK_NAME_MAX;
	rest = (__u32)length * (state >> py->str_kind_bit & 7) +
	       (state >> py->str_ascii_bit & 1 ? py->str_ascii : py->str_compact);
	if (rest <= TASK_NAME_HEAD)
		return;
	rest -= TASK_NAME_HEAD;
	if (rest > TASK_NAME_MAX - TASK_NAME_HEAD)
		rest = TASK_NAME_MAX - TASK_NAME_HEAD;
	barrier_var(rest); /* once more for the verifiers of 5.10 and 6.1, which lose it */
	if (rest > TASK_NAME_MAX - TASK_NAME_HEAD)
		return;
	if (!bpf_probe_read_user(to->object + TASK_NAME_HEAD, rest, (void *)(to->name + TASK_NAME_HEAD)))
		to->bytes += rest;
}
