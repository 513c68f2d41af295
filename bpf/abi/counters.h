/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * What the kernel side counts because it gave something up. Each counter has a reason that reports
 * print (internal/probes/counters.go).
 */
#pragma once

enum counter {
	LOST_RECORDS = 0,    /* ring buffer full */
	LOST_SAMPLES,        /* ring buffer full */
	SKIPPED_SAMPLES,     /* more samples than one period may have */
	FAILED_THREAD_STATE, /* thread state unreadable, or another thread's */
	FAILED_FRAME,        /* frame unreadable in the middle of a walk */
	FAILED_CODE,         /* code object unreadable */
	TRUNCATED_STACKS,    /* deeper than STACK_MAX: the middle is missing */
	ROOTLESS_STACKS,     /* deeper than the walk goes: the root is missing */
	LOST_HOLDERS,        /* ring buffer full */
	FAILED_HOLDER,       /* thread state of a holder unreadable or not found */
	FULL_THREADS,        /* no room in a map */
	FULL_PROCESSES,
	FAILED_TARGET,       /* path or address that a syscall works on unreadable */
	FULL_EPOLLS,         /* no room for an epoll instance */
	MISSED_RETURNS,      /* from a wait: the program was busy on that CPU, for a thread that was preempted in it */
	UNSEEN_RETURNS,      /* to the CPU without a sched_switch: worked out afterwards */
	UNTIMED_EVENTS,      /* more of one loop were ready at one time than are timed */
	COUNTERS,
};
