/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The GIL and the holder of a lock: takes a loop's sample, gives who held what the loop waits for,
 * with that thread's stack, and what the interpreter says of itself meanwhile.
 *
 * All of it is read from the memory of the watched process, by one of its own threads, and may be
 * garbage.
 */
#pragma once

#include "../kernel/read.h"
#include "../kernel/registers.h"
#include "../kernel/task.h"
#include "../maps.h"
#include "stack.h"

static __always_inline struct holder *holder_of(struct sample *s)
{
	return &((struct held_sample *)s)->holder;
}

/* The holder goes out before the sample it belongs to, once. */
static __always_inline void send_holder(struct sample *s)
{
	struct holder *h = holder_of(s);
	__u64 frames;

	if (h->at != s->at || h->period != s->period || h->tid != s->tid)
		return; /* of another sample, which had this place before */
	frames = h->stack.depth;
	if (frames > HOLDER_MAX)
		frames = HOLDER_MAX;
	if (bpf_ringbuf_output(&records, h,
			       __builtin_offsetof(struct holder, stack.frames) +
				       frames * sizeof(struct py_frame), 0))
		count(LOST_HOLDERS);
	h->tid = 0;
}

static __always_inline struct holder *begin_holder(struct sample *s)
{
	struct holder *h = holder_of(s);

	h->type = RECORD_HOLDER;
	h->tid = s->tid;
	h->period = s->period;
	h->at = s->at;
	h->thread_id = 0;
	h->holder_tgid = 0;
	h->holder_tid = 0;
	h->stack.depth = 0;
	h->stack.failed = 0;
	return h;
}

/* The thread state that holds the GIL, 0 where nobody does or that cannot be read. */
static __always_inline __u64 gil_holder(const struct thread_config *config,
					const struct py_layout *py)
{
	__u32 locked = 0;
	__u64 holder = 0;

	if (read_u32(&locked, config->gil + py->gil_locked) || !locked ||
	    read_u64(&holder, config->gil + py->gil_holder))
		return 0;
	return holder;
}

/* What the interpreter says of itself, read in the loop's own process. */
static __always_inline __u32 interpreter_flags(const struct thread_config *config)
{
	__u32 flags = 0, collecting = 0, layout = config->layout, locked = 0;
	const struct py_layout *py;
	__u64 holder = 0;

	if (config->collecting && !read_u32(&collecting, config->collecting) && collecting)
		flags |= FLAG_GC;
	py = bpf_map_lookup_elem(&layouts, &layout);
	if (!py || !config->gil || read_u32(&locked, config->gil + py->gil_locked) ||
	    read_u64(&holder, config->gil + py->gil_holder))
		return flags;
	flags |= FLAG_GIL_KNOWN;
	if (locked && holder == config->tstate)
		flags |= FLAG_GIL_HELD;
	return flags;
}

/* The GIL's mutexes and conditions are futexes inside its structure. */
static __always_inline bool in_gil_wait(const struct thread_config *config, const struct sample *s)
{
	const struct py_layout *py;
	__u32 layout = config->layout;

	if (s->nr != NR_FUTEX || !config->gil)
		return false;
	py = bpf_map_lookup_elem(&layouts, &layout);
	return py && s->args[0] - config->gil < py->gil_size;
}

#define SIBLINGS_MAX 64 /* threads looked at to find the one with a thread pointer, newest first */

/* Notes which thread of the loop's process `h` is about: when user space looks, it may have ended. */
static __always_inline void identify_holder(struct task_struct *loop, struct holder *h)
{
	struct signal_struct *signal = BPF_CORE_READ(loop, signal);
	struct list_head *end, *at;
	struct task_struct *task;

	end = (void *)signal + bpf_core_field_offset(struct signal_struct, thread_head);
	at = BPF_CORE_READ(end, prev);
	for (int i = 0; i < SIBLINGS_MAX && at && at != end; i++) {
		task = (void *)at - bpf_core_field_offset(struct task_struct, thread_node);
		if (is_thread(thread_pointer(task), h->thread_id)) {
			h->holder_tid = BPF_CORE_READ(task, pid);
			bpf_core_read_str(h->comm, sizeof(h->comm), &task->comm);
			return;
		}
		at = BPF_CORE_READ(at, prev);
	}
}

/* The loop's thread goes to sleep waiting for the GIL: who has it, and what is it doing? */
static __always_inline void find_gil_holder(struct task_struct *loop,
					    const struct thread_config *config, struct sample *s)
{
	const struct py_layout *py;
	__u32 layout = config->layout;
	struct holder *h;
	__u64 tstate;

	py = bpf_map_lookup_elem(&layouts, &layout);
	if (!py)
		return;
	tstate = gil_holder(config, py);
	if (!tstate || tstate == config->tstate) {
		/* Between two holders. If one was seen in the shorter waits that this sample
		 * carries, it is taken. */
		h = holder_of(s);
		if (h->tid == s->tid && h->period == s->period)
			h->at = s->at;
		return;
	}
	h = begin_holder(s);
	if (read_u64(&h->thread_id, tstate + py->tstate_thread_id)) {
		count(FAILED_HOLDER);
		h->thread_id = 0;
		h->stack.failed = 1;
		return;
	}
	identify_holder(loop, h);
	walk_other(py, tstate, &h->stack);
}

#define FUTEX_PRIVATE 128
#define FUTEX_CMD(op) ((op) & 0x7f)
#define FUTEX_WAIT 0
#define FUTEX_WAIT_BITSET 9
#define PAGE_MASK 4095
#define THREADS_MAX 512 /* looked at to find a thread's state */

/* The state of the thread with this thread pointer, 0 where it is not among the first. The list
 * is newest first, and while a thread starts its state has the thread pointer of the thread that
 * made it: the last match counts. */
static __always_inline __u64 find_tstate(__u64 threads_head, const struct py_layout *py,
					 __u64 thread_id)
{
	__u64 at = 0, id, found = 0;

	if (!threads_head || !thread_id || read_u64(&at, threads_head))
		return 0;
	for (int i = 0; i < THREADS_MAX && at; i++) {
		if (read_u64(&id, at + py->tstate_thread_id))
			break;
		if (is_thread(thread_id, id))
			found = at;
		if (read_u64(&at, at + py->tstate_next))
			break;
	}
	return found;
}

/* Whether `e` is the call that wakes the thread that sleeps in the futex of `s`. A timer or a
 * signal that wakes it interrupts something else, save for a coincidence of nanoseconds. */
static __always_inline bool wakes(const struct entry *e, const struct sample *s, bool same_process)
{
	__u32 cmd = FUTEX_CMD(e->args[1]);

	if (same_process && e->nr == NR_EXIT) /* wakes the thread that joins it */
		return true;
	if (e->nr != NR_FUTEX || cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET)
		return false;
	if (same_process)
		return e->args[0] == s->args[0];
	/* In shared memory, which each process may have at another address. */
	return !((e->args[1] | s->args[1]) & FUTEX_PRIVATE) &&
	       (e->args[0] & PAGE_MASK) == (s->args[0] & PAGE_MASK);
}

/* A loop's thread that slept in a futex is being woken: by whom, and where is that one? Returns whether that is known. */
static __always_inline bool find_releaser(const struct thread *t, struct sample *s)
{
	struct task_struct *me = current_task();
	__u64 id = bpf_get_current_pid_tgid(), tstate, threads_head = t->config.threads;
	__u32 tgid = id >> 32, layout = t->config.layout;
	const struct process *other;
	const struct py_layout *py;
	struct holder *h;
	struct entry e;

	read_entry(entry_regs(me), &e);
	if (!wakes(&e, s, tgid == t->tgid))
		return false;
	h = begin_holder(s);
	h->holder_tid = (__u32)id;
	bpf_get_current_comm(h->comm, sizeof(h->comm));
	if (tgid != t->tgid) {
		h->holder_tgid = tgid;
		other = bpf_map_lookup_elem(&processes, &tgid);
		if (!other || other->verdict != VERDICT_LOOP)
			return true;
		threads_head = other->threads;
		layout = other->layout;
	}
	h->thread_id = thread_pointer(me);
	py = bpf_map_lookup_elem(&layouts, &layout);
	if (!py)
		return true;
	tstate = find_tstate(threads_head, py, h->thread_id);
	if (tstate)
		walk_other(py, tstate, &h->stack);
	return true;
}
