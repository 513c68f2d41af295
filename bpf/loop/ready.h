/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Readiness: takes each event the kernel hands to an epoll instance, gives it to the loop's lag, and gives when the first one
 * became ready for a loop outside its wait, or stopped in it: since then somebody waits for it to go on.
 *
 * The kernel calls ep_poll_callback for each event, wherever that happens, and knows the epoll
 * instance but not who waits on it: `epolls` does. Only fentry gets at that function.
 */
#pragma once

#include "../kernel/task.h"
#include "../maps.h"
#include "../target/file.h"
#include "lag.h"

/* Bits of an epoll event that ask for no event themselves (fs/eventpoll.c, EP_PRIVATE_BITS). */
#define EP_PRIVATE_BITS (1U << 28 | 1U << 29 | 1U << 30 | 1U << 31)

/* Brings `epolls` up to date at the entry of a wait. The same descriptor may stand for another
 * instance later: that is looked at again where it matters, after a block. */
static __always_inline void learn_epoll(struct thread *t, __u32 tid, __s32 fd, __u64 now)
{
	struct file *file;
	__u64 ep;

	if (!watch_ready || (t->epoll && t->epoll_fd == fd && now - t->since < threshold))
		return;
	file = file_of(current_task(), fd);
	ep = file ? (__u64)BPF_CORE_READ(file, private_data) : 0;
	t->epoll_fd = fd;
	if (ep == t->epoll)
		return;
	if (t->epoll)
		bpf_map_delete_elem(&epolls, &t->epoll);
	t->epoll = 0;
	t->ready_at = 0;
	forget_events(t);
	if (!ep)
		return;
	if (bpf_map_update_elem(&epolls, &ep, &tid, BPF_ANY))
		count(FULL_EPOLLS);
	else
		t->epoll = ep;
}

static __always_inline void forget_epoll(struct thread *t)
{
	if (t->epoll)
		bpf_map_delete_elem(&epolls, &t->epoll);
}

/* An event is ready on an epoll instance, or may be: one that nobody asked for is passed over. */
static __always_inline void note_ready(struct wait_queue_entry *wait, __u32 happened)
{
	struct eppoll_entry *entry = (void *)wait - bpf_core_field_offset(struct eppoll_entry, wait);
	struct epitem *item = BPF_CORE_READ(entry, base);
	__u64 ep = (__u64)BPF_CORE_READ(item, ep);
	struct thread *t;
	__u32 *tid, asked;
	__u64 now;

	tid = bpf_map_lookup_elem(&epolls, &ep);
	if (!tid)
		return;
	t = bpf_map_lookup_elem(&threads, tid);
	if (!t)
		return;
	asked = BPF_CORE_READ(item, event.events);
	if (!(asked & ~EP_PRIVATE_BITS) || (happened && !(happened & asked)))
		return;
	now = bpf_ktime_get_ns();
	begin_lag(t, (__u64)item, now);
	if (t->in_wait ? !t->stop_since || t->late_from : t->ready_at >= t->since)
		return;
	if (t->in_wait)
		t->late_from = now;
	else
		t->ready_at = now;
}
