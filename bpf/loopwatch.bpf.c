// SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only)
/*
 * The programs, a few lines each over the headers: wait (entry and return of the epoll waits),
 * switch, tick, and life (fork, exec, exit). docs/design.md has the whole picture.
 */
#include "absence.h"
#include "cgroup.h"
#include "evidence.h"
#include "maps.h"
#include "periods.h"
#include "pystack.h"
#include "ready.h"
#include "samples.h"
#include "target.h"
#include "usdt.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Types no map or function names are lost from the object's type information, and with it for
 * Go, unless a variable has them. */
const struct wait_record *type_wait_record __attribute__((unused));
const struct thread_pointer *type_thread_pointer __attribute__((unused));
const struct holder *type_holder __attribute__((unused));
const struct block_record *type_block_record __attribute__((unused));
const struct delayed_record *type_delayed_record __attribute__((unused));
const struct life_record *type_life_record __attribute__((unused));
const enum record_type *type_record_type __attribute__((unused));
const enum verdict *type_verdict __attribute__((unused));
const enum seed_pass *type_seed_pass __attribute__((unused));
const enum sample_kind *type_sample_kind __attribute__((unused));
const enum sample_flag *type_sample_flag __attribute__((unused));
const enum instr_kind *type_instr_kind __attribute__((unused));
const struct usdt_site *type_usdt_site __attribute__((unused));
const struct inside *type_inside __attribute__((unused));
const enum usdt_probe *type_usdt_probe __attribute__((unused));
const enum usdt_how *type_usdt_how __attribute__((unused));
const enum room *type_room __attribute__((unused));
const enum counter *type_counter __attribute__((unused));
const enum syscall_object *type_syscall_object __attribute__((unused));
const enum target_kind *type_target_kind __attribute__((unused));

#define LOST_AGAIN_NS 100000000ULL /* there was no room for the question */
#define ASK_AGAIN_NS 1000000000ULL /* a descriptor number may be reused for a loop's */
#define ASK_DOUBLINGS 6            /* of the wait for an answer, before the question is put again */

static __always_inline __u32 fd_verdict(const struct thread *t, __s32 fd)
{
	for (int i = 0; i < FDS_PER_THREAD; i++)
		if (t->config.fds[i] == fd)
			return t->config.fd_verdicts[i];
	return VERDICT_PENDING;
}

static __always_inline void describe(struct wait_record *r, const struct thread *t, __u32 tid,
				     __s32 fd)
{
	r->type = RECORD_WAIT;
	r->tgid = t->tgid;
	r->tid = tid;
	r->fd = fd;
	r->thread_id = t->thread_id;
	r->period = t->period;
	r->has_stack = 0;
	r->stack.depth = 0;
	r->stack.failed = 0;
}

/* Asks user space what this wait is. The stack goes along as soon as it can be walked. */
static __always_inline void ask(struct thread *t, __u32 tid, __s32 fd, __u64 now)
{
	struct wait_record *r;

	if (t->asked_fd != fd)
		t->asks = 0;
	if (t->asks < ASK_DOUBLINGS)
		t->asks++;
	t->asked_at = now;
	t->asked_fd = fd;
	t->asked_with_stack = !!t->config.tstate;
	t->ask_lost = 0;
	if (t->config.tstate) {
		r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);
		if (!r)
			goto lost;
		describe(r, t, tid, fd);
		r->has_stack = !walk_stack(&t->config, &r->stack, 0, 0);
	} else {
		r = bpf_ringbuf_reserve(&records,
					__builtin_offsetof(struct wait_record, stack.frames), 0);
		if (!r)
			goto lost;
		describe(r, t, tid, fd);
	}
	bpf_ringbuf_submit(r, 0);
	return;
lost:
	t->ask_lost = 1;
	count(LOST_RECORDS);
}

/* Whether a wait on a descriptor that is not known as the loop's is worth a question. */
static __always_inline bool to_ask(const struct thread *t, __s32 fd, __u32 verdict, __u64 now)
{
	__u64 since = now - t->asked_at;

	if (verdict == VERDICT_IGNORED)
		return since > ASK_AGAIN_NS;
	if (t->ask_lost)
		return since > LOST_AGAIN_NS;
	/* Who is slow to answer is not helped by more questions. */
	return fd != t->asked_fd || (t->config.tstate && !t->asked_with_stack) ||
	       since > ASK_AGAIN_NS << (t->asks & 7);
}

/* 1 if the process is one to be watched, or not yet known. What is no Python now may load one
 * later, so that is asked again, at ever longer intervals: 1 s to 17 min. */
static __always_inline int process_wanted(__u32 tgid, __u64 now)
{
	struct process *known, fresh = { .asked_at = now, .verdict = VERDICT_PENDING };

	if (filtered && !bpf_map_lookup_elem(&wanted, &tgid)) {
		set_ignored(tgid, true);
		return 0;
	}
	known = bpf_map_lookup_elem(&processes, &tgid);
	if (known) {
		if (known->verdict != VERDICT_IGNORED)
			return 1;
		if (now - known->asked_at < ASK_AGAIN_NS << (known->tries & 15)) {
			set_ignored(tgid, true);
			return 0;
		}
		known->asked_at = now;
		if (known->tries < 10)
			known->tries++;
		return 1;
	}
	if (bpf_map_update_elem(&processes, &tgid, &fresh, BPF_NOEXIST))
		count(FULL_PROCESSES);
	return 1;
}

/* The first time this thread is seen: its books begin here, whatever it turns out to be. */
static __always_inline struct thread *new_thread(struct task_struct *task, __u32 tgid, __u32 tid,
						 __u64 now)
{
	struct thread *t, *blank;
	__u32 zero = 0;

	blank = bpf_map_lookup_elem(&blank_threads, &zero);
	if (!blank)
		return 0;
	if (bpf_map_update_elem(&threads, &tid, blank, BPF_NOEXIST)) {
		count(FULL_THREADS);
		return 0;
	}
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t)
		return 0;
	t->since = now;
	t->tgid = tgid;
	t->thread_id = thread_pointer(task);
	t->wait_fd = NO_FD;
	t->in_wait = 1;
	t->config.slot = NO_SLOT;
	for (int i = 0; i < FDS_PER_THREAD; i++)
		t->config.fds[i] = NO_FD;
	marks[tid & (MARKS - 1)] = 1;
	return t;
}

static __always_inline int wait_enter(__s32 fd)
{
	__u64 id = bpf_get_current_pid_tgid(), now;
	__u32 tgid = id >> 32, tid = (__u32)id, verdict;
	struct thread *t;

	if (!marked(tid) && is_ignored(tgid))
		return 0;
	now = bpf_ktime_get_ns();
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t) {
		if (!process_wanted(tgid, now))
			return 0;
		t = new_thread((void *)bpf_get_current_task(), tgid, tid, now);
		if (!t)
			return 0;
		t->wait_fd = fd;
		ask(t, tid, fd, now);
		return 0;
	}
	refresh(t, tid);
	verdict = fd_verdict(t, fd);
	if (verdict != VERDICT_LOOP) {
		if (to_ask(t, fd, verdict, now))
			ask(t, tid, fd, now);
		/* Another descriptor inside a callback is no rest. Nothing known yet: take it
		 * for the loop's until user space says otherwise. */
		if (verdict == VERDICT_IGNORED || t->config.verdict != VERDICT_PENDING)
			return 0;
	}
	if (is_away(t))
		catch_up(tid, now);
	learn_epoll(t, tid, fd, now);
	if (t->in_wait) /* its return was missed: no period to close */
		t->since = now;
	else
		close_period(tid, now, 0);
	t->wait_fd = fd;
	return 0;
}

static __always_inline int wait_exit(__s32 events)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct thread *t;
	__u64 now;

	if (!marked(tid))
		return 0;
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t || !t->in_wait || t->wait_fd == NO_FD)
		return 0;
	now = bpf_ktime_get_ns();
	refresh(t, tid);
	book_rest(t, now);
	if (t->blocked)
		send_delayed(t, tid, events);
	t->wait_fd = NO_FD;
	open_period(t, now);
	return 0;
}

/* All three syscalls end up in here, on every architecture. Their own wrappers are no good: the
 * BTF of some kernels has them twice, or without the type of their argument. */
SEC("fentry/do_epoll_wait")
int BPF_PROG(fentry_wait, int fd)
{
	return wait_enter(fd);
}

SEC("fexit/do_epoll_wait")
int BPF_PROG(fexit_wait, int fd, void *events, int maxevents, __u64 timeout, int ret)
{
	return wait_exit(ret);
}

/* Attached to the tracepoints of all of epoll_wait (x86 alone has it), epoll_pwait and
 * epoll_pwait2: the descriptor is the first argument of each. */
SEC("tracepoint/syscalls/sys_enter_epoll_pwait")
int enter_wait(struct sys_enter_ctx *ctx)
{
	return wait_enter((__s32)ctx->args[0]);
}

SEC("tracepoint/syscalls/sys_exit_epoll_pwait")
int exit_wait(struct sys_exit_ctx *ctx)
{
	return wait_exit((__s32)ctx->ret);
}

SEC("fentry/ep_poll_callback")
int BPF_PROG(on_ready, struct wait_queue_entry *wait, unsigned int mode, int sync, void *key)
{
	note_ready(wait, (__u32)(__u64)key);
	return 0;
}

/* A site of one of the interpreter's own probes is hit. Which one, the attachment says; where that
 * cannot be asked (bpf_get_attach_cookie is 5.15), there is a program for each. */
#ifndef WITHOUT_BPF_LOOP
SEC("uprobe")
int usdt(struct pt_regs *regs)
{
	return usdt_hit(regs, (__u32)bpf_get_attach_cookie(regs));
}
#else
#define USDT_PROGRAM(n)                                                                            \
	SEC("uprobe")                                                                              \
	int usdt_##n(struct pt_regs *regs)                                                         \
	{                                                                                          \
		return usdt_hit(regs, n);                                                          \
	}
USDT_PROGRAM(0)
USDT_PROGRAM(1)
USDT_PROGRAM(2)
USDT_PROGRAM(3)
USDT_PROGRAM(4)
USDT_PROGRAM(5)
USDT_PROGRAM(6)
USDT_PROGRAM(7)
USDT_PROGRAM(8)
USDT_PROGRAM(9)
USDT_PROGRAM(10)
USDT_PROGRAM(11)
USDT_PROGRAM(12)
USDT_PROGRAM(13)
USDT_PROGRAM(14)
USDT_PROGRAM(15)
USDT_PROGRAM(16)
USDT_PROGRAM(17)
USDT_PROGRAM(18)
USDT_PROGRAM(19)
USDT_PROGRAM(20)
USDT_PROGRAM(21)
USDT_PROGRAM(22)
USDT_PROGRAM(23)
#endif

/* Where in the kernel a thread sleeps that no signal wakes, or that is in no syscall: user space
 * tells a disk from a lock by it. A closed descriptor is gone before close waits, so nothing else
 * tells that. */
static __always_inline void read_kernel_stack(void *ctx, struct sample *s)
{
	long n;

	if (!(s->state & TASK_UNINTERRUPTIBLE) && s->nr >= 0 && s->nr != NR_CLOSE)
		return;
	n = bpf_get_stack(ctx, s->kernel, sizeof(s->kernel), KERNEL_SKIP);
	if (n > 0)
		s->kernel_depth = n / sizeof(s->kernel[0]);
}

/* A loop's thread leaves the CPU outside its wait. */
static __always_inline void switch_out(void *ctx, struct task_struct *prev, bool preempt, __u64 now)
{
	__u32 tid = prev->pid, state;
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);
	struct sample *s;

	if (!t)
		return;
	if (is_away(t))
		catch_up(tid, now);
	if (t->in_wait) {
		if (preempt)
			return;
		t->slept = 1;
		if (t->blocked) /* nothing waited for it to end */
			send_delayed(t, tid, 0);
		return;
	}
	refresh(t, tid);
	state = task_state(prev);
	t->asleep = !preempt && state != TASK_RUNNING;
	t->stopped = t->asleep && is_stopped(prev, state);
	leave_cpu(t, prev);
	note_clocks(t, prev, now);
	if (!t->asleep) {
		/* As good as a tick, and on a busy CPU it may be the only one. */
		sample_running(t, tid, prev, quantum(), now);
		note_preempted(t, tid, prev, now);
		t->off_since = now;
		return;
	}
	t->off_since = now;
	s = spare_sample(t);
	if (!s || (BPF_CORE_READ(prev, flags) & PF_EXITING)) /* its memory may be gone */
		return;
	fill_sample(s, t, tid, prev, SAMPLE_OFF, state, now);
	s->stopped = t->stopped;
	read_kernel_stack(ctx, s);
	t->has_stack = !walk_sample(spare_index(t), tid);
	if (!t->has_stack) { /* the shorter sleeps before have lost theirs with it */
		t->stackless_ns += t->pending_ns;
		t->pending_ns = 0;
	}
	see_gil_holder(spare_index(t), tid);
	if (t->has_stack && t->config.rest_code && s->stack.frames[0].code == t->config.rest_code) {
		/* A loop that sleeps instead of waiting: eventlet's hub without descriptors. Its
		 * stack is no evidence of what came before. */
		t->has_stack = 0;
		close_period(tid, now, 0);
		t->off_since = 0;
		t->resting = 1;
		t->slept = 1;
	} else if (t->has_stack) {
		fall_asleep(tid, t);
	}
}

static __always_inline void switch_in(struct task_struct *next, __u64 now)
{
	__u32 tid = next->pid;
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);

	if (t && is_away(t))
		arrive(t, tid, next, now);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	bool out = marked(prev->pid), in = marked(next->pid);
	__u64 now;

	if (!out && !in)
		return 0;
	now = bpf_ktime_get_ns();
	if (out)
		switch_out(ctx, prev, preempt, now);
	if (in)
		switch_in(next, now);
	return 0;
}

/* A loop's thread that slept in a futex outside its wait is woken. Only where the stretch makes a
 * sample full: the others go with the next. */
static __always_inline void woken(struct task_struct *task)
{
	__u32 tid = task->pid;
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);
	struct sample *s;

	if (!t || t->in_wait || !t->asleep || !t->off_since)
		return;
	if (bpf_ktime_get_ns() - t->off_since + t->pending_ns < quantum())
		return;
	s = spare_sample(t);
	if (s && !t->has_stack && (s->at != t->off_since || s->tid != tid))
		fill_stackless(s, t, tid, task, t->off_since);
	if (!s || s->nr != NR_FUTEX || s->at != t->off_since || s->tid != tid ||
	    in_gil_wait(&t->config, s))
		return;
	find_releaser(t, s);
}

SEC("tp_btf/sched_waking")
int BPF_PROG(on_waking, struct task_struct *task)
{
	if (marked(task->pid))
		woken(task);
	return 0;
}

static __always_inline void send_life(__u32 type, __u32 tgid, __u32 tid, __u32 last)
{
	struct life_record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!r) {
		count(LOST_RECORDS);
		return;
	}
	r->type = type;
	r->tgid = tgid;
	r->tid = tid;
	r->last = last;
	bpf_ringbuf_submit(r, 0);
}

/* Tells user space of a sleep that is likely to become a block, while its stack can be named: the code
 * of a module is gone when its import ends. */
__attribute__((noinline)) int tell_sleeper(__u32 i, __u64 now)
{
	__u64 since;

	if (i >= SLEEPERS)
		return 0;
	since = sleepers[i].since;
	if (!since || now - since < threshold / 2)
		return 0;
	sleepers[i].since = 0;
	send_life(RECORD_CROSSED, sleepers[i].tgid, sleepers[i].tid, 0);
	return 0;
}

/* A loop's thread is found running outside its wait. */
SEC("perf_event")
int on_tick(void *ctx)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	__u64 now = bpf_ktime_get_ns();
	struct thread *t;

	for (__u32 i = 0; i < SLEEPERS; i++)
		tell_sleeper(i, now);
	if (!marked(tid))
		return 0;
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t)
		return 0;
	/* It may have been running since before user space knew how to walk it. */
	refresh(t, tid);
	if (is_away(t))
		catch_up(tid, now);
	if (!t->in_wait)
		sample_running(t, tid, current_task(), t->crossed ? 0 : quantum(), now);
	return 0;
}

static __always_inline void forget_thread(__u32 tid, struct task_struct *task)
{
	struct thread *t;

	if (!marked(tid))
		return;
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t)
		return;
	refresh(t, tid);
	if (!t->in_wait)
		close_period(tid, bpf_ktime_get_ns(), BLOCK_EXITED);
	forget_epoll(t);
	bpf_map_delete_elem(&threads, &tid);
	bpf_map_delete_elem(&configs, &tid);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = parent->tgid, to = child->tgid, one = 1;

	if (!follow_children || from == to || !bpf_map_lookup_elem(&wanted, &from))
		return 0;
	set_ignored(to, false);
	if (bpf_map_update_elem(&wanted, &to, &one, BPF_ANY))
		count(FULL_PROCESSES);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid)
{
	__u32 tgid = task->tgid;

	forget_thread(task->pid, task);
	forget_thread(old_pid, task);
	set_ignored(tgid, false);
	if (bpf_map_delete_elem(&processes, &tgid) == 0)
		send_life(RECORD_EXEC, tgid, old_pid, 1);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	__u32 tid = task->pid, tgid = task->tgid, verdict;
	struct process *known;

	forget_thread(tid, task);
	known = bpf_map_lookup_elem(&processes, &tgid);
	if (!known)
		return 0;
	verdict = known->verdict;
	if (tid == tgid) {
		set_ignored(tgid, false);
		bpf_map_delete_elem(&processes, &tgid);
		if (filtered)
			bpf_map_delete_elem(&wanted, &tgid);
	}
	if (verdict != VERDICT_IGNORED || tid == tgid)
		send_life(RECORD_EXIT, tgid, tid, tid == tgid);
	return 0;
}

/* Thread pointers of one process: what the interpreter calls its threads by. */
SEC("iter/task")
int list_threads(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread_pointer entry = {};

	if (!task || !ctx->meta || task->tgid != listed)
		return 0;
	entry.tid = task->pid;
	entry.pointer = thread_pointer(task);
	bpf_seq_write(ctx->meta->seq, &entry, sizeof(entry));
	return 0;
}

/* Run at the start: every thread of a process known as Python that no hook has met yet. */
SEC("iter/task")
int seed(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct process *process;
	__u32 tgid, tid;
	struct thread *t;
	struct entry e;
	__s32 fd = NO_FD;
	bool away;
	__u64 now;

	if (!task)
		return 0;
	tgid = task->tgid;
	tid = task->pid;
	if (filtered && !bpf_map_lookup_elem(&wanted, &tgid))
		return 0;
	process = bpf_map_lookup_elem(&processes, &tgid);
	if (!process || process->verdict != VERDICT_LOOP || bpf_map_lookup_elem(&threads, &tid))
		return 0;
	/* One that is on a CPU may be in user mode: its registers are stale. */
	away = !on_cpu(task);
	read_entry(entry_regs(task), &e);
	if (away && is_epoll_wait(e.nr)) /* woken already, perhaps */
		fd = (__s32)e.args[0];
	if (fd != NO_FD && seeding == SEED_ACTIVE)
		return 0;
	now = bpf_ktime_get_ns();
	t = new_thread(task, tgid, tid, now);
	if (!t)
		return 0;
	if (fd == NO_FD) {
		open_period(t, now);
		t->seeded = 1;
		if (away) {
			t->off_since = now;
			t->asleep = task_state(task) != TASK_RUNNING;
			t->stopped = t->asleep && is_stopped(task, task_state(task));
			leave_cpu(t, task);
			t->off_exec = BPF_CORE_READ(task, se.sum_exec_runtime);
		}
	} else {
		t->wait_fd = fd;
	}
	ask(t, tid, fd, now);
	return 0;
}
