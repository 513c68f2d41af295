/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The waits: takes the entry and the return of an epoll wait, closes and opens the active period
 * where the descriptor is the loop's own, and announces it where that is not known.
 */
#pragma once

#include "../maps.h"
#include "announce.h"
#include "delayed.h"
#include "lag.h"
#include "offcpu.h"
#include "period.h"
#include "ready.h"
#include "timer.h"

static __always_inline __u32 fd_verdict(const struct thread *t, __s32 fd)
{
	for (int i = 0; i < FDS_PER_THREAD; i++)
		if (t->config.fds[i] == fd)
			return t->config.fd_verdicts[i];
	return VERDICT_PENDING;
}

/* What the timeout of a wait is given as. */
enum timeout_form {
	OF_FUNCTION, /* do_epoll_wait */
	OF_SYSCALL,
};

static __always_inline int wait_enter(__s32 fd, __u64 timeout, enum timeout_form form, __s32 nr)
{
	__u64 id = bpf_get_current_pid_tgid(), now;
	__u32 tgid = id >> 32, tid = (__u32)id, verdict;
	struct thread *t;

	if (!may_be_tracked(tid) && is_ignored(tgid))
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
		/* A wait on another descriptor, inside a callback, is no rest. Where nothing is
		 * known yet, take it for the loop's until user space says otherwise. */
		if (verdict == VERDICT_IGNORED || t->config.verdict != VERDICT_PENDING)
			return 0;
	}
	if (is_off_cpu(t))
		catch_up(tid, now);
	learn_epoll(t, tid, fd, now);
	begin_timer(t, form == OF_FUNCTION ? due_at(timeout, now) : due_after(nr, timeout, now), now);
	if (t->in_wait) { /* its return was missed: no period to close */
		if (t->wait_fd != NO_FD)
			count(MISSED_RETURNS);
		if (t->wait_fd == NO_FD || t->slept)
			note_rest(t, now);
		else
			count_wait(t, now);
		t->since = now;
		t->slept = 0;
		t->joined.ns = 0;
		begin_wait(t);
	} else if (t->again) { /* the wait that was interrupted */
		t->in_wait = 1;
		t->slept = 0;
		begin_wait(t);
	} else {
		close_period(tid, now, 0);
	}
	t->wait_fd = fd;
	return 0;
}

/* The wait that a stop had interrupted found something at once: the period goes on. */
static __always_inline void go_on(struct thread *t, struct task_struct *task, __u64 now)
{
	struct late late = late_by(t, task, now);

	t->off_ns += late.ns;
	t->stopped_ns += late.stopped_ns;
	t->waited_ns += late.ns - late.stopped_ns;
	t->throttled_ns += late.throttled_ns;
	begin_wait(t);
	t->again = 0;
	barrier();
	t->in_wait = 0;
}

static __always_inline int wait_exit(__s32 events)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct thread *t;
	__u64 now, since;
	__s32 fd;

	if (!may_be_tracked(tid))
		return 0;
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t || !t->in_wait || t->wait_fd == NO_FD)
		return 0;
	now = bpf_ktime_get_ns();
	refresh(t, tid);
	fd = t->wait_fd;
	since = t->since;
	t->wait_fd = NO_FD;
	if (t->again) {
		since = now;
		go_on(t, current_task(), now);
	} else {
		count_wait(t, now);
		return_events(t, events, now);
		if (t->blocked)
			send_delayed(t, tid, fd, events);
		t->prompted = events > 0 || t->slept;
		open_period(t, current_task(), now);
	}
	if (events == -EINTR) {
		t->interrupted_fd = fd;
		t->interrupted_at = since;
	}
	return 0;
}
