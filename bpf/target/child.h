/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Children: takes the number a process knows a child by, or a file that stands for a child, gives
 * the child's number on the host.
 */
#pragma once

#include "../kernel/types.h"
#include "scratch.h"

#define CHILDREN_MAX 32 /* looked at to find one by its number */

static __always_inline struct task_struct *sibling_at(struct list_head *link)
{
	return (void *)link - bpf_core_field_offset(struct task_struct, sibling);
}

/* A child by the number its parent knows it by; 0 or less: any. Only children that this thread made
 * are looked at. */
static __always_inline void describe_child(struct target *to, struct task_struct *task, __s32 nr)
{
	__u32 level = BPF_CORE_READ(task, thread_pid, level);
	struct list_head *end, *link;
	struct task_struct *child;
	struct pid *pid;
	struct upid *number;
	__s32 inner;

	to->kind = TARGET_CHILD;
	end = (void *)task + bpf_core_field_offset(struct task_struct, children);
	link = BPF_CORE_READ(end, next);
	if (nr <= 0) {
		if (link != end && BPF_CORE_READ(link, next) == end &&
		    BPF_CORE_READ(task, signal, nr_threads) == 1)
			to->pid = BPF_CORE_READ(sibling_at(link), pid);
		return;
	}
	if (!level) { /* numbers are the host's */
		to->pid = nr;
		return;
	}
	for (int i = 0; i < CHILDREN_MAX; i++) {
		if (!link || link == end)
			return;
		child = sibling_at(link);
		pid = BPF_CORE_READ(child, thread_pid);
		number = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
			 (level & 31) * bpf_core_type_size(struct upid);
		inner = BPF_CORE_READ(number, nr);
		if (inner == nr) {
			to->pid = BPF_CORE_READ(child, pid);
			return;
		}
		link = BPF_CORE_READ(link, next);
	}
}

/* The child made last. */
static __always_inline __s32 newest_child(struct task_struct *task)
{
	struct list_head *end, *link;

	end = (void *)task + bpf_core_field_offset(struct task_struct, children);
	link = BPF_CORE_READ(end, prev);
	return link && link != end ? BPF_CORE_READ(sibling_at(link), pid) : 0;
}

/* A file that stands for a child: its pidfd, or a pipe whose other end it may have. */
static __always_inline void describe_special(const struct scratch *x, struct target *to,
					     struct task_struct *task, struct file *file)
{
	struct pid *pid = 0;

	if (to->magic == PID_FS_MAGIC) /* 6.9 and later */
		pid = BPF_CORE_READ(file, f_inode, i_private);
	else if (to->magic == ANON_INODE_FS_MAGIC && x->path[0] == '[' && x->path[1] == 'p' &&
		 x->path[2] == 'i' && x->path[3] == 'd')
		pid = BPF_CORE_READ(file, private_data);
	if (pid) {
		to->kind = TARGET_CHILD;
		to->pid = BPF_CORE_READ(pid, numbers[0].nr);
	} else if ((to->mode & S_IFMT) == S_IFIFO) {
		/* subprocess reads a pipe until the child has become its program. */
		to->pid = newest_child(task);
	}
}
