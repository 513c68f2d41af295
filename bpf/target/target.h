/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Targets: takes a thread in a syscall or a page fault, gives what that works on: the file, socket
 * or child behind the arguments, or the file whose page is missing.
 *
 * No lock is held. A pointer may go stale between two reads: what comes out then is another name,
 * or nothing, never a fault. Every loop is bounded, and names are copied as they are.
 */
#pragma once

#include "../kernel/registers.h"
#include "../kernel/task.h"
#include "../maps.h"
#include "child.h"
#include "descriptors.h"
#include "fault.h"
#include "path.h"
#include "socket.h"

/* By syscall number, enum syscall_object. Set before loading. */
volatile const __u8 syscall_objects[SYSCALLS];

/* Which of two descriptors that data goes between is waited for: the file in uninterruptible sleep,
 * which is the disk's, else the other one. */
static __always_inline __s32 fd_waited_for(struct task_struct *task, __s32 from, __s32 into,
					   __u32 state)
{
	struct file *file = file_of(task, from);
	bool regular = file && (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFREG;

	return regular == !!(state & TASK_UNINTERRUPTIBLE) ? from : into;
}

static __always_inline void follow_syscall(struct scratch *x, struct target *to,
					   struct task_struct *task, const struct sample *s,
					   const struct pt_regs___entry *regs, struct target_source *from)
{
	__s32 fd = (__s32)s->args[0];
	struct {
		__u64 name;
		__u32 len;
	} m;

	switch (syscall_objects[s->nr & (SYSCALLS - 1)]) {
	case OBJECT_FD:
		from->fd = fd;
		break;
	case OBJECT_FD4:
		from->fd = (__s32)syscall_argument(regs, 4);
		break;
	case OBJECT_CONNECT:
		from->fd = fd;
		from->address = s->args[1];
		from->address_len = s->args[2];
		break;
	case OBJECT_SENDTO:
		from->fd = fd;
		from->address = syscall_argument(regs, 4);
		from->address_len = syscall_argument(regs, 5);
		break;
	case OBJECT_SENDMSG:
		from->fd = fd;
		if (bpf_probe_read_user(&m, sizeof(m), (void *)s->args[1]))
			break;
		from->address = m.name;
		from->address_len = m.len;
		break;
	case OBJECT_SENDFILE:
		from->fd = fd_waited_for(task, (__s32)s->args[1], fd, s->state);
		break;
	case OBJECT_SPLICE:
		from->fd = fd_waited_for(task, fd, (__s32)s->args[2], s->state);
		break;
	case OBJECT_PATH:
		from->fd = AT_FDCWD;
		from->argument = s->args[0];
		from->has_argument = true;
		break;
	case OBJECT_PATH1:
		from->fd = AT_FDCWD;
		from->argument = s->args[1];
		from->has_argument = true;
		break;
	case OBJECT_PATHAT:
		from->fd = fd;
		from->argument = s->args[1];
		from->has_argument = true;
		break;
	case OBJECT_PATHAT1:
		from->fd = (__s32)s->args[1];
		from->argument = s->args[2];
		from->has_argument = true;
		break;
	case OBJECT_POLL:
		from->gathered = true;
		gather_poll(x, s->args[0], s->args[1]);
		break;
	case OBJECT_SELECT:
		from->gathered = true;
		gather_select(x, regs);
		break;
	case OBJECT_EPOLL:
		from->gathered = true;
		gather_epoll(x, file_of(task, fd), fd);
		break;
	case OBJECT_WAIT:
		describe_child(to, task, fd);
		break;
	case OBJECT_WAITID:
		if (fd == 3) /* P_PIDFD */
			from->fd = (__s32)s->args[1];
		else
			describe_child(to, task, fd == 1 ? (__s32)s->args[1] : 0);
		break;
	case OBJECT_FORK:
		to->kind = TARGET_CHILD;
		to->pid = newest_child(task);
		break;
	}
}

/* Fills in the target of a sample of the task on this CPU. The verifier checks this function once,
 * so it takes a number only. */
__attribute__((noinline)) int read_target(__u32 index)
{
	struct held_sample *held = bpf_map_lookup_elem(&samples, &index);
	struct task_struct *task = current_task();
	const struct pt_regs___entry *regs;
	struct target_source *from;
	struct dentry *dentry = 0;
	struct vfsmount *mnt = 0;
	struct file *file = 0;
	struct sample *s;
	struct target *to;
	struct scratch *x;
	int at = 0, end;
	__u32 zero = 0;

	x = bpf_map_lookup_elem(&scratches, &zero);
	if (!held || !x)
		return 0;
	s = &held->sample;
	to = &s->target;
	__builtin_memset(to, 0, __builtin_offsetof(struct target, data));
	to->fd = NO_FD;
	from = &x->source;
	__builtin_memset(from, 0, sizeof(*from));
	from->fd = NO_FD;
	regs = entry_regs(task);
	for (int i = 0; i < POLL_MAX; i++)
		x->fds[i] = NO_FD;
	if (s->nr >= 0 && s->nr < SYSCALLS)
		follow_syscall(x, to, task, s, regs, from);
	else if (s->nr < 0 && s->kind == SAMPLE_OFF)
		file = faulting_file(x, task, (__u64)regs);
	if (from->gathered)
		from->fd = best_of(x, to, task);
	if (to->others)
		__builtin_memcpy(s->fds, x->fds, sizeof(s->fds));
	if (from->has_argument) {
		at = read_argument(x, to, from->argument);
		if (at < 0)
			return 0;
	}
	if (from->fd >= 0) {
		file = file_of(task, from->fd);
		if (file)
			to->fd = from->fd;
	}
	if (at && (at == TARGET_DATA || x->path[0] == '/')) {
		take_data(x, to, TARGET_PATH, at);
		return 0;
	}
	if (file) {
		to->mode = BPF_CORE_READ(file, f_inode, i_mode);
		if ((to->mode & S_IFMT) == S_IFSOCK) {
			describe_socket(to, file);
			describe_sockaddr(to, from->address, from->address_len);
			return 0;
		}
		to->magic = magic_of(file);
		to->rdev = BPF_CORE_READ(file, f_inode, i_rdev);
		mnt = BPF_CORE_READ(file, f_path.mnt);
		dentry = BPF_CORE_READ(file, f_path.dentry);
	} else if (at && from->fd == AT_FDCWD) {
		mnt = BPF_CORE_READ(task, fs, pwd.mnt);
		dentry = BPF_CORE_READ(task, fs, pwd.dentry);
	}
	if (!dentry)
		return 0;
	end = append_path(x, to, task, mnt, dentry, at);
	if (at) {
		take_data(x, to, TARGET_PATH, end);
		return 0;
	}
	/* No longer hashed: the name has been removed. */
	if (!(to->flags & TARGET_DETACHED) && !BPF_CORE_READ(dentry, d_hash.pprev) &&
	    BPF_CORE_READ(dentry, d_parent) != dentry)
		to->flags |= TARGET_DELETED;
	take_data(x, to, TARGET_FILE, end);
	describe_special(x, to, task, file);
	return 0;
}

/* A thread that waited for one of several sockets is about to run: the one that has something to
 * read is the one it waited for. `task` is that thread; its memory is not at hand. */
__attribute__((noinline)) int settle_target(__u32 index, __u64 task)
{
	struct held_sample *held = bpf_map_lookup_elem(&samples, &index);
	struct socket *socket;
	struct file *file;
	struct target *to;
	struct sock *sk;

	if (!held)
		return 0;
	to = &held->sample.target;
	for (int i = 0; i < POLL_MAX; i++) {
		file = file_of((void *)task, held->sample.fds[i]);
		if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
			continue;
		socket = BPF_CORE_READ(file, private_data);
		sk = BPF_CORE_READ(socket, sk);
		if (!sk || !has_input(sk))
			continue;
		__builtin_memset(to, 0, __builtin_offsetof(struct target, data));
		to->fd = held->sample.fds[i];
		to->mode = S_IFSOCK;
		describe_socket(to, file);
		return 0;
	}
	return 0;
}
