/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * What a thread's syscall works on, read while the thread is in it: the file, socket or child
 * behind its arguments, or the file whose page is missing.
 *
 * No lock is held. A pointer may go stale between two reads: what comes out then is another name,
 * or nothing, never a fault. Every loop is bounded, and names are copied as they are.
 */
#pragma once

#include "several.h"

#define CHILDREN_MAX 32 /* looked at to find one by its number */

static __always_inline struct task_struct *sibling_at(struct list_head *link)
{
	return (void *)link - bpf_core_field_offset(struct task_struct, sibling);
}

/* A child by the number its parent knows it by; 0 or less: any. Those of the thread's own
 * making are looked at. */
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

/* A file that stands for a child: its pidfd, or a pipe that it may be at the other end of. */
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

/* Whether word `i` of scratch.words looks like the first of a struct vm_fault: a pointer to a mapping of
 * the process with this mm, and at the right distance an address inside that mapping. */
__attribute__((noinline)) int is_fault(__u32 i, __u64 mm)
{
	__u32 vma_at = bpf_core_field_offset(struct vm_fault, vma), zero = 0;
	__u32 distance = (bpf_core_field_offset(struct vm_fault, address) - vma_at) / 8;
	const struct scratch *x = bpf_map_lookup_elem(&scratches, &zero);
	struct vm_area_struct *vma;
	__u64 address;

	if (!x || distance > 15 || i >= FAULT_WORDS - 16)
		return 0;
	vma = (void *)x->words[i];
	if ((__u64)vma >> 48 != 0xffff || (__u64)vma & 7)
		return 0;
	address = x->words[i + distance];
	return address >> 48 != 0xffff && (__u64)BPF_CORE_READ(vma, vm_mm) == mm &&
	       address >= BPF_CORE_READ(vma, vm_start) && address < BPF_CORE_READ(vma, vm_end);
}

/* The file whose page a thread waits for. Nothing points from a task to its fault, but the
 * kernel's struct vm_fault lies on its stack, near the registers. */
static __always_inline struct file *faulting_file(struct scratch *x, struct task_struct *task,
						  __u64 regs)
{
	__u64 mm = (__u64)BPF_CORE_READ(task, mm);
	struct vm_area_struct *vma;
	__u32 at;

	if (bpf_probe_read_kernel(x->words, sizeof(x->words), (void *)(regs - sizeof(x->words))))
		return 0;
	/* From the registers inwards: the live one comes before what earlier faults have left. */
	x->at = FAULT_WORDS; /* there for the verifier's sake, see append_path */
	for (__u32 i = FAULT_WORDS - 16; i-- > 0;)
		if (is_fault(i, mm)) {
			x->at = i;
			break;
		}
	at = x->at;
	if (at >= FAULT_WORDS)
		return 0;
	barrier_var(at);
	vma = (void *)x->words[at & (FAULT_WORDS - 1)];
	return BPF_CORE_READ(vma, vm_file);
}

/* Of two descriptors data goes between: uninterruptible sleep is the disk's doing, else the file
 * is the side that does not wait. */
static __always_inline __s32 slower_of(struct task_struct *task, __s32 from, __s32 into,
				       __u32 state)
{
	struct file *file = file_of(task, from);
	bool regular = file && (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFREG;

	return regular == !!(state & TASK_UNINTERRUPTIBLE) ? from : into;
}

static __always_inline void follow_syscall(struct scratch *x, struct target *to,
					   struct task_struct *task, const struct sample *s,
					   const struct pt_regs___entry *regs, struct lead *l)
{
	__s32 fd = (__s32)s->args[0];
	struct {
		__u64 name;
		__u32 len;
	} m;

	switch (syscall_objects[s->nr & (SYSCALLS - 1)]) {
	case OBJECT_FD:
		l->fd = fd;
		break;
	case OBJECT_FD4:
		l->fd = (__s32)syscall_argument(regs, 4);
		break;
	case OBJECT_CONNECT:
		l->fd = fd;
		l->address = s->args[1];
		l->address_len = s->args[2];
		break;
	case OBJECT_SENDTO:
		l->fd = fd;
		l->address = syscall_argument(regs, 4);
		l->address_len = syscall_argument(regs, 5);
		break;
	case OBJECT_SENDMSG:
		l->fd = fd;
		if (bpf_probe_read_user(&m, sizeof(m), (void *)s->args[1]))
			break;
		l->address = m.name;
		l->address_len = m.len;
		break;
	case OBJECT_SENDFILE:
		l->fd = slower_of(task, (__s32)s->args[1], fd, s->state);
		break;
	case OBJECT_SPLICE:
		l->fd = slower_of(task, fd, (__s32)s->args[2], s->state);
		break;
	case OBJECT_PATH:
		l->fd = AT_FDCWD;
		l->argument = s->args[0];
		l->has_argument = true;
		break;
	case OBJECT_PATH1:
		l->fd = AT_FDCWD;
		l->argument = s->args[1];
		l->has_argument = true;
		break;
	case OBJECT_PATHAT:
		l->fd = fd;
		l->argument = s->args[1];
		l->has_argument = true;
		break;
	case OBJECT_PATHAT1:
		l->fd = (__s32)s->args[1];
		l->argument = s->args[2];
		l->has_argument = true;
		break;
	case OBJECT_POLL:
		l->gathered = true;
		gather_poll(x, s->args[0], s->args[1]);
		break;
	case OBJECT_SELECT:
		l->gathered = true;
		gather_select(x, regs);
		break;
	case OBJECT_EPOLL:
		l->gathered = true;
		gather_epoll(x, file_of(task, fd), fd);
		break;
	case OBJECT_WAIT:
		describe_child(to, task, fd);
		break;
	case OBJECT_WAITID:
		if (fd == 3) /* P_PIDFD */
			l->fd = (__s32)s->args[1];
		else
			describe_child(to, task, fd == 1 ? (__s32)s->args[1] : 0);
		break;
	case OBJECT_FORK:
		to->kind = TARGET_CHILD;
		to->pid = newest_child(task);
		break;
	}
}

/* Fills in the target of a sample. A function of its own, that the verifier looks at once, so it
 * takes numbers only; the task is always the one on this CPU. */
__attribute__((noinline)) int read_target(__u32 index)
{
	struct held_sample *held = bpf_map_lookup_elem(&samples, &index);
	struct task_struct *task = current_task();
	const struct pt_regs___entry *regs;
	struct lead *l;
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
	l = &x->lead; /* there for the verifier's sake, see append_path */
	__builtin_memset(l, 0, sizeof(*l));
	l->fd = NO_FD;
	regs = entry_regs(task);
	for (int i = 0; i < POLL_MAX; i++)
		x->fds[i] = NO_FD;
	if (s->nr >= 0 && s->nr < SYSCALLS)
		follow_syscall(x, to, task, s, regs, l);
	else if (s->nr < 0 && s->kind == SAMPLE_OFF)
		file = faulting_file(x, task, (__u64)regs);
	if (l->gathered)
		l->fd = best_of(x, to, task);
	if (to->others)
		__builtin_memcpy(s->fds, x->fds, sizeof(s->fds));
	if (l->has_argument) {
		at = read_argument(x, to, l->argument);
		if (at < 0)
			return 0;
	}
	if (l->fd >= 0) {
		file = file_of(task, l->fd);
		if (file)
			to->fd = l->fd;
	}
	if (at && (at == TARGET_DATA || x->path[0] == '/')) {
		take_data(x, to, TARGET_PATH, at);
		return 0;
	}
	if (file) {
		to->mode = BPF_CORE_READ(file, f_inode, i_mode);
		if ((to->mode & S_IFMT) == S_IFSOCK) {
			describe_socket(to, file);
			describe_sockaddr(to, l->address, l->address_len);
			return 0;
		}
		to->magic = magic_of(file);
		to->rdev = BPF_CORE_READ(file, f_inode, i_rdev);
		mnt = BPF_CORE_READ(file, f_path.mnt);
		dentry = BPF_CORE_READ(file, f_path.dentry);
	} else if (at && l->fd == AT_FDCWD) {
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
	/* Hashed no more: the name has been removed. */
	if (!(to->flags & TARGET_DETACHED) && !BPF_CORE_READ(dentry, d_hash.pprev) &&
	    BPF_CORE_READ(dentry, d_parent) != dentry)
		to->flags |= TARGET_DELETED;
	take_data(x, to, TARGET_FILE, end);
	describe_special(x, to, task, file);
	return 0;
}
