/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The samples of the period going on: takes a thread that leaves the CPU or is found running,
 * gives a stack with what the thread was doing there.
 *
 * Samples are held back until the period is a block, so that a loop that never blocks sends
 * nothing. One is kept for every sixth of the threshold spent off the CPU, and for ticks as far
 * apart; once the period has crossed the threshold each goes out at once.
 */
#pragma once

#include "../kernel/registers.h"
#include "../kernel/task.h"
#include "../maps.h"
#include "../python/holder.h"
#include "../python/phase.h"
#include "../python/stack.h"
#include "../target/target.h"

#define HELD_MAX (SAMPLES_PER_LOOP - 1)
#define SAMPLES_MAX 4096 /* of one period; more are counted in SKIPPED_SAMPLES */

static __always_inline __u64 quantum(void)
{
	return threshold / 6;
}

static __always_inline struct sample *sample_at(const struct thread *t, __u32 n)
{
	struct held_sample *held;
	__u32 index;

	if (t->config.slot == NO_SLOT)
		return 0;
	index = t->config.slot * SAMPLES_PER_LOOP + n;
	held = bpf_map_lookup_elem(&samples, &index);
	return held ? &held->sample : 0;
}

/* The spare sample is the next to be held back: it is written first and kept later, or not. */
static __always_inline __u32 spare(const struct thread *t)
{
	return t->held < HELD_MAX ? t->held : HELD_MAX;
}

static __always_inline __u32 spare_index(const struct thread *t)
{
	return t->config.slot * SAMPLES_PER_LOOP + spare(t);
}

static __always_inline struct sample *spare_sample(const struct thread *t)
{
	return sample_at(t, spare(t));
}

static __always_inline void send_sample(struct thread *t, struct sample *s)
{
	__u64 frames = s->stack.depth;

	if (frames > STACK_MAX)
		frames = STACK_MAX;
	if (t->samples >= SAMPLES_MAX) {
		count(SKIPPED_SAMPLES);
		return;
	}
	t->samples++;
	send_holder(s);
	if (bpf_ringbuf_output(&records, s,
			       __builtin_offsetof(struct sample, stack.frames) +
				       frames * sizeof(struct py_frame), 0))
		count(LOST_SAMPLES);
}

static long send_held_step(__u32 n, struct thread *t)
{
	struct sample *s;

	if (n >= t->held)
		return 1;
	s = sample_at(t, n);
	if (s)
		send_sample(t, s);
	return 0;
}

/*
 * The verifier checks a function without `static` once, and not at every place that calls it. Such
 * functions take numbers only: of a pointer the verifier would know nothing there.
 */

/* The period is a block: what was held back goes out. */
__attribute__((noinline)) int cross(__u32 tid)
{
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);

	if (!t)
		return 0;
	t->crossed = 1;
	for (int n = 0; n < HELD_MAX; n++)
		if (send_held_step(n, t))
			break;
	t->held = 0;
	return 0;
}

/* Walks the stack of the thread on this CPU into a sample; 0 if there is at least one frame. */
__attribute__((noinline)) int walk_sample(__u32 index, __u32 tid)
{
	struct held_sample *held = bpf_map_lookup_elem(&samples, &index);
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);

	if (!held || !t)
		return -1;
	return walk_stack(&t->config, &held->sample.stack, &held->sample.task,
			  &held->sample.callback);
}

/* The same of the thread that holds the GIL which the thread on this CPU begins to wait for. */
__attribute__((noinline)) int see_gil_holder(__u32 index, __u32 tid)
{
	struct held_sample *held = bpf_map_lookup_elem(&samples, &index);
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);

	if (held && t && in_gil_wait(&t->config, &held->sample))
		find_gil_holder(current_task(), &t->config, &held->sample);
	return 0;
}

/* Keeps the spare sample, which `s` is. */
static __always_inline void keep_sample(struct thread *t, __u32 tid, struct sample *s, __u64 now)
{
	if (!t->crossed && now - t->since >= threshold) {
		/* cross() leaves `s` where it is: it is none of the held ones. */
		cross(tid);
	}
	if (t->crossed)
		send_sample(t, s);
	else if (t->held < HELD_MAX)
		t->held++;
	else
		count(SKIPPED_SAMPLES);
}

/* Writes everything but the stacks into the spare sample, which `s` is. */
static __always_inline void fill_sample(struct sample *s, const struct thread *t, __u32 tid,
					struct task_struct *task, __u32 kind, __u32 state, __u64 now)
{
	struct entry e;

	read_entry(entry_regs(task), &e);
	s->type = RECORD_SAMPLE;
	s->kind = kind;
	s->tid = tid;
	s->period = t->period;
	s->at = now;
	s->ns = 0;
	s->cpu_ns = now - t->since - t->off_ns;
	s->waited_ns = t->waited_ns;
	s->throttled_ns = t->throttled_ns;
	s->stopped = 0;
	s->state = state;
	s->nr = e.nr;
	s->ip = e.ip;
	s->args[0] = e.args[0];
	s->args[1] = e.args[1];
	s->args[2] = e.args[2];
	s->flags = interpreter_flags(&t->config);
	s->kernel_depth = 0;
	s->phase = phase_of(t, tid);
	read_target(spare_index(t));
}

/* Writes what a thread slept in since `from`, where its memory is not at hand: no stack. */
static __always_inline void fill_stackless(struct sample *s, const struct thread *t, __u32 tid,
					   struct task_struct *task, __u64 from)
{
	struct file *file;
	struct entry e;

	read_entry(entry_regs(task), &e);
	s->type = RECORD_SAMPLE;
	s->kind = SAMPLE_OFF;
	s->tid = tid;
	s->period = t->period;
	s->at = from;
	s->cpu_ns = 0;
	s->stopped = t->stopped;
	s->state = 0;
	s->nr = e.nr;
	s->ip = e.ip;
	s->args[0] = e.args[0];
	s->args[1] = e.args[1];
	s->args[2] = e.args[2];
	s->flags = 0;
	s->kernel_depth = 0;
	s->phase = phase_of(t, tid);
	s->task.task = 0;
	s->callback.frame = 0;
	s->stack.depth = 0;
	s->stack.failed = 0;
	__builtin_memset(&s->target, 0, __builtin_offsetof(struct target, data));
	s->target.fd = NO_FD;
	if (s->nr < 0 || s->nr >= SYSCALLS)
		return;
	switch (syscall_objects[s->nr & (SYSCALLS - 1)]) {
	case OBJECT_FD:
	case OBJECT_CONNECT:
	case OBJECT_SENDTO:
	case OBJECT_SENDMSG:
		break;
	default:
		return;
	}
	file = file_of(task, (__s32)s->args[0]);
	if (!file)
		return;
	s->target.fd = (__s32)s->args[0];
	s->target.mode = BPF_CORE_READ(file, f_inode, i_mode);
	if ((s->target.mode & S_IFMT) == S_IFSOCK)
		describe_socket(&s->target, file);
}

/* The thread runs outside its wait, and has for a while; the last such sample is at least `gap`
 * nanoseconds old. */
static __always_inline void sample_running(struct thread *t, __u32 tid, struct task_struct *task,
					   __u64 gap, __u64 now)
{
	struct sample *s;

	if (t->config.slot == NO_SLOT || now - t->since < threshold / 4)
		return;
	if (t->last_tick && now - t->last_tick < gap)
		return;
	s = spare_sample(t);
	if (!s)
		return;
	/* The spare may describe short stretches off the CPU not yet carried: they go first. */
	if (t->pending_ns && t->has_stack) {
		s->ns = t->pending_ns;
		t->pending_ns = 0;
		keep_sample(t, tid, s, now);
		s = spare_sample(t);
		if (!s)
			return;
	}
	t->has_stack = 0;
	t->last_tick = now;
	fill_sample(s, t, tid, task, SAMPLE_TICK, TASK_RUNNING, now);
	walk_sample(spare_index(t), tid);
	keep_sample(t, tid, s, now);
}

#define PREEMPTED_GAP_NS 1000000ULL /* between walks of a thread that is preempted */

/* The thread runs and has to leave the CPU. It may be long until it gets one again, and no other
 * event would show where a period spent that way was: the spare sample takes the stack. */
static __always_inline void note_preempted(struct thread *t, __u32 tid, struct task_struct *task,
					   __u64 now)
{
	struct sample *s = spare_sample(t);

	if (!s || t->held || t->crossed || (t->pending_ns && t->has_stack))
		return;
	if (t->preempted && now - t->preempted < PREEMPTED_GAP_NS)
		return;
	t->preempted = now;
	t->has_stack = 0;
	fill_sample(s, t, tid, task, SAMPLE_TICK, TASK_RUNNING, now);
	walk_sample(spare_index(t), tid);
}

/* It is back on the CPU and has lost a while waiting for one. */
static __always_inline void keep_preempted(struct thread *t, __u32 tid, __u64 now)
{
	struct sample *s = spare_sample(t);

	if (s && t->preempted && s->at == t->preempted && s->tid == tid)
		keep_sample(t, tid, s, now);
	t->preempted = 0;
}
