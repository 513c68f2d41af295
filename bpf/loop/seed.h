/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Threads that are there at the start: takes every task of the host, announces those of Python
 * processes that no hook has met yet.
 */
#pragma once

#include "../kernel/registers.h"
#include "../kernel/task.h"
#include "../maps.h"
#include "announce.h"
#include "period.h"
#include "quota.h"
#include "stop.h"

static __always_inline void seed_task(struct task_struct *task)
{
	struct process *process;
	__u32 tgid, tid;
	struct thread *t;
	struct entry e;
	__s32 fd = NO_FD;
	__u32 state;
	bool off;
	__u64 now;

	tgid = task->tgid;
	tid = task->pid;
	if (filtered && !bpf_map_lookup_elem(&wanted, &tgid))
		return;
	process = bpf_map_lookup_elem(&processes, &tgid);
	if (!process || process->verdict != VERDICT_LOOP || bpf_map_lookup_elem(&threads, &tid))
		return;
	/* One that is on a CPU may be in user mode: its registers are stale. */
	off = !on_cpu(task);
	read_entry(entry_regs(task), &e);
	if (off && is_epoll_wait(e.nr)) /* woken already, perhaps */
		fd = (__s32)e.args[0];
	if (fd != NO_FD && seeding == SEED_ACTIVE)
		return;
	now = bpf_ktime_get_ns();
	t = new_thread(task, tgid, tid, now);
	if (!t)
		return;
	if (fd == NO_FD) {
		open_period(t, task, now);
		t->seeded = 1;
		if (off) {
			t->off_since = now;
			t->asleep = task_state(task) != TASK_RUNNING;
			t->stopped = t->asleep && is_stopped(task, task_state(task));
			note_run_delay(t, task);
			t->off_exec = BPF_CORE_READ(task, se.sum_exec_runtime);
		}
	} else {
		t->wait_fd = fd;
		state = task_state(task);
		t->slept = state != TASK_RUNNING;
		if (is_stopped(task, state)) /* when that wait began is not known */
			stop_in_wait(t, tid, task, 0, e.nr, fd, 0, now);
		else if (state == TASK_RUNNING)
			runnable_in_wait(t, task, now);
	}
	ask(t, tid, fd, now);
}
