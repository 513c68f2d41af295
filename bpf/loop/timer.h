/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The timer of the wait: takes its timeout, gives when it is due, and whether one came due while the loop was outside its wait.
 *
 * A wait knows one timer: the loop's next. A callback may cancel it. So one counts as due only where the period is the first after
 * its wait, and the wait behind the period asks for no time, or next to none.
 */
#pragma once

#include "../kernel/read.h"
#include "../kernel/registers.h"
#include "../maps.h"

#define AT_ONCE 1 /* as a time at which a timer is due */
#define NEVER 0
#define LEAST_TIMEOUT 1000000ULL /* what libev waits, at least */
#define LONG_WAIT_S (1ULL << 32) /* a timer beyond is none */

static __always_inline __u64 due_after_ms(__s32 ms, __u64 now)
{
	if (ms <= 0)
		return ms ? NEVER : AT_ONCE;
	return now + ms * 1000000ULL;
}

/* Of do_epoll_wait's last argument, which is a time of the clock from 5.11 on. */
static __always_inline __u64 due_at(__u64 timeout, __u64 now)
{
	struct timespec64 at;
	struct file *file = 0;

	(void)file;
	if (!bpf_core_field_exists(file->f_ep)) /* that came with the same release */
		return due_after_ms((__s32)timeout, now);
	if (!timeout || bpf_probe_read_kernel(&at, sizeof(at), (void *)timeout))
		return NEVER;
	if (!at.tv_sec)
		return at.tv_nsec ? (__u64)at.tv_nsec : AT_ONCE;
	return (__u64)at.tv_sec > LONG_WAIT_S ? NEVER : at.tv_sec * 1000000000ULL + at.tv_nsec;
}

/* Of a syscall's timeout. */
static __always_inline __u64 due_after(__s32 nr, __u64 timeout, __u64 now)
{
	__u64 s, ns;

	if (nr != NR_EPOLL_PWAIT2)
		return due_after_ms((__s32)timeout, now);
	if (!timeout || read_u64(&s, timeout) || read_u64(&ns, timeout + 8) || s > LONG_WAIT_S)
		return NEVER;
	return s || ns ? now + s * 1000000000ULL + ns : AT_ONCE;
}

/* A wait begins whose timer is due at `due`. */
static __always_inline void begin_timer(struct thread *t, __u64 due, __u64 now)
{
	bool period = !t->in_wait && !t->again;

	t->due = period && t->deadline > t->since && t->deadline <= now && due && due <= now + LEAST_TIMEOUT ? t->deadline : 0;
	t->deadline = due == AT_ONCE ? 0 : due;
}
