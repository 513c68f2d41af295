/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The commands of the host build that play a thread's waits, and what the scheduler does with it there.
 */
#pragma once

#include "arguments.h"
#include "../loop/offcpu.h"
#include "../loop/wait.h"

static struct thread *this_thread(void)
{
	__u32 tid = current.pid;
	struct thread *t = bpf_map_lookup_elem(&threads, &tid);

	if (!t)
		fail("there is no thread");
	return t;
}

#define TASK_INTERRUPTIBLE 1

/* The thread stands on the run queue from now on. */
static void queue_up(void)
{
	if (!current.sched_info.last_queued)
		current.sched_info.last_queued = clock_ns;
}

/* running: the thread gets the CPU, if it has not. */
static void running_command(void)
{
	if (current.sched_info.last_queued)
		current.sched_info.run_delay += clock_ns - current.sched_info.last_queued;
	current.sched_info.last_queued = 0;
}

/* wait FD, timed FD MS, and return EVENTS: entry and return of an epoll wait. */
static void wait_command(void)
{
	wait_enter(read_number(), -1, OF_SYSCALL, 0);
}

static void timed_command(void)
{
	__s32 fd = read_number();

	wait_enter(fd, read_number(), OF_SYSCALL, 0);
}

/* ready ITEM: an event of this item is ready for the thread. listed ITEM YES: whether the item is on the list of those that are. */
static struct epitem items[READY_MAX * 2];

static struct epitem *read_item(void)
{
	return &items[read_number() % (READY_MAX * 2)];
}

static void ready_command(void)
{
	watch_ready = 1;
	begin_lag(this_thread(), (__u64)read_item(), clock_ns);
}

static void listed_command(void)
{
	struct epitem *item = read_item();

	item->rdllink.next = read_number() ? 0 : &item->rdllink;
}

static void return_command(void)
{
	running_command();
	wait_exit(read_number());
}

/* woken: in its wait, or where it slept outside. */
static void woken_command(void)
{
	woken(&current);
	queue_up();
}

/* queued: the scheduler takes it for one that waits for a CPU. */
static void queued_command(void)
{
	queue_up();
}

/* leave and back: the thread falls asleep outside its wait, and gets the CPU again. */
static void leave_command(void)
{
	running_command();
	current.__state = TASK_INTERRUPTIBLE;
	switch_out(0, &current, false, clock_ns);
}

static void back_command(void)
{
	static struct rq rq;
	static struct cfs_rq queue = { .rq = &rq };

	rq.clock = clock_ns;
	current.se.cfs_rq = &queue;
	switch_in(&current, clock_ns);
	current.se.cfs_rq = 0;
	running_command();
}

/* preempted: in its wait. */
static void preempted_command(void)
{
	runnable_in_wait(this_thread(), &current, clock_ns);
	queue_up();
}

/* asleep: in its wait. */
static void asleep_command(void)
{
	__u32 tid = current.pid;

	sleep_in_wait(this_thread(), tid, &current, TASK_INTERRUPTIBLE, clock_ns);
}

/* stopped: in its wait; its timer is due at DEADLINE, 0: never. */
static void stopped_command(void)
{
	struct thread *t = this_thread();

	running_command();
	t->stop_since = clock_ns;
	t->stop_deadline = read_number();
}
