/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Stops in the wait: takes a thread that a signal, a tracer or a freezer stops on the way out of its wait, gives the wait
 * that goes on until the thread does, and since when something was there to do.
 *
 * What stops a thread first has its wait return as interrupted, and the program waits again when it goes on. An event that
 * comes meanwhile wakes nobody. The ticks see it on the list of what is ready; and when a timer was to end the wait, the
 * syscall's arguments say.
 */
#pragma once

#include "../kernel/read.h"
#include "../kernel/registers.h"
#include "../maps.h"
#include "../target/file.h"
#include "period.h"
#include "sleepers.h"
#include "timer.h"

/* When a wait that began at `since` was to end at the latest, 0: not known or never. */
static __always_inline __u64 deadline_of(const struct pt_regs___entry *regs, __s32 nr, __u64 since)
{
	__u64 due;

	if (!since)
		return 0;
	due = due_after(nr, syscall_argument(regs, 3), since);
	return due == AT_ONCE ? since : due;
}

/* The wait on `fd` goes on, stopped, from `now`; it had begun at `since`, 0: not known. */
static __always_inline void stop_in_wait(struct thread *t, __u32 tid, struct task_struct *task,
					 const struct pt_regs___entry *regs, __s32 nr, __s32 fd, __u64 since, __u64 now)
{
	struct file *file = file_of(task, fd);

	t->off_since = 0;
	t->in_wait = 1;
	t->resting = 1;
	t->slept = 1;
	t->interrupted_fd = fd;
	t->stop_since = now;
	t->stop_deadline = deadline_of(regs, nr, since);
	if (file)
		enter_stop(tid, t, (__u64)BPF_CORE_READ(file, private_data), now);
}

/* A thread that is stopped outside its wait: whether it is still on the way out of it. Then the stop is part of the wait. */
static __always_inline bool stopped_in_wait(struct thread *t, __u32 tid, struct task_struct *task, __u64 now)
{
	const struct pt_regs___entry *regs = entry_regs(task);
	__s32 fd = t->interrupted_fd;
	struct entry e;

	if (fd == NO_FD)
		return false;
	read_entry(regs, &e);
	if (!is_epoll_wait(e.nr) || (__s32)e.args[0] != fd)
		return false;
	close_period(tid, now, 0);
	stop_in_wait(t, tid, task, regs, e.nr, fd, t->interrupted_at, now);
	return true;
}

/* The thread goes on after a stop in its wait. What was ready may turn out to be nothing: the program waits again, and
 * if it sleeps then, nobody had waited. A timer that is over is known to be. */
static __always_inline bool waits_again(struct thread *t, __u32 tid, __u64 now)
{
	if (t->interrupted_fd == NO_FD)
		return false;
	if (t->stop_since) /* its waking was not seen */
		end_stop(t, now);
	remove_sleeper(tid);
	return !t->stop_deadline || t->stop_deadline > now;
}
