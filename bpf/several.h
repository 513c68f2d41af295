/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Waits for one of several descriptors (poll, select, an epoll that is not the loop's): which of them
 * matters.
 */
#pragma once

#include "socket.h"

static __always_inline __u64 syscall_argument(const struct pt_regs___entry *regs, __u32 n)
{
#if defined(__TARGET_ARCH_x86)
	switch (n) {
	case 0:
		return BPF_CORE_READ(regs, di);
	case 1:
		return BPF_CORE_READ(regs, si);
	case 2:
		return BPF_CORE_READ(regs, dx);
	case 3:
		return BPF_CORE_READ(regs, r10);
	case 4:
		return BPF_CORE_READ(regs, r8);
	default:
		return BPF_CORE_READ(regs, r9);
	}
#elif defined(__TARGET_ARCH_arm64)
	switch (n) {
	case 0:
		return BPF_CORE_READ(regs, regs[0]);
	case 1:
		return BPF_CORE_READ(regs, regs[1]);
	case 2:
		return BPF_CORE_READ(regs, regs[2]);
	case 3:
		return BPF_CORE_READ(regs, regs[3]);
	case 4:
		return BPF_CORE_READ(regs, regs[4]);
	default:
		return BPF_CORE_READ(regs, regs[5]);
	}
#endif
}

/* Which of several files a thread is likeliest to wait for. */
static __always_inline int rank_of(struct file *file)
{
	__u32 mode = BPF_CORE_READ(file, f_inode, i_mode), magic;
	struct socket *socket;
	__u16 family;

	if ((mode & S_IFMT) == S_IFSOCK) {
		socket = BPF_CORE_READ(file, private_data);
		family = BPF_CORE_READ(socket, sk, __sk_common.skc_family);
		return family == AF_INET || family == AF_INET6 ? 5 : 4;
	}
	magic = magic_of(file);
	if (magic == PID_FS_MAGIC)
		return 3;
	if (magic == ANON_INODE_FS_MAGIC)
		return 1;
	return 2;
}

/* Of x->fds the one that matters: the first of the highest rank. */
static __always_inline __s32 best_of(struct scratch *x, struct target *to, struct task_struct *task)
{
	struct file *file;
	__u32 rank;

	x->best = 0; /* there for the verifier's sake, see append_path */
	x->best_fd = NO_FD;
	for (int i = 0; i < POLL_MAX; i++) {
		if (x->fds[i] < 0)
			continue;
		file = file_of(task, x->fds[i]);
		if (!file)
			continue;
		rank = rank_of(file);
		barrier_var(rank);
		if (rank == x->best)
			to->others++;
		if (rank <= x->best)
			continue;
		x->best = rank;
		x->best_fd = x->fds[i];
		to->others = 0;
	}
	return x->best_fd;
}

static __always_inline void gather_poll(struct scratch *x, __u64 from, __u64 n)
{
	__u32 size = n < POLL_MAX ? n * sizeof(x->polled[0]) : sizeof(x->polled);

	if (!n)
		return;
	barrier_var(size);
	size &= 127;
	if (size > sizeof(x->polled))
		return;
	if (bpf_probe_read_user(x->polled, size, (void *)from)) {
		count(FAILED_TARGET);
		return;
	}
	for (int i = 0; i < POLL_MAX; i++)
		x->fds[i] = i < n ? x->polled[i].fd : NO_FD;
}

/* Position of the only bit set in a word: the number of bits below it, without a branch that the
 * verifier would have to follow both ways. */
static __always_inline __u32 position(__u64 bit)
{
	__u64 below = bit - 1;

	below -= below >> 1 & 0x5555555555555555ULL;
	below = (below & 0x3333333333333333ULL) + (below >> 2 & 0x3333333333333333ULL);
	below = (below + (below >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return below * 0x0101010101010101ULL >> 56;
}

static __always_inline void gather_select(struct scratch *x, const struct pt_regs___entry *regs)
{
	__u64 n = syscall_argument(regs, 0), from, word;
	__u32 bytes = n > 1024 ? 128 : (n + 63) / 64 * 8, at, found;

	if (!n || n > 0x7fffffff)
		return;
	barrier_var(bytes);
	bytes &= 255;
	if (bytes > 128)
		return;
	__builtin_memset(x->sets, 0, sizeof(x->sets));
	for (int i = 0; i < 3; i++) {
		from = syscall_argument(regs, i + 1);
		if (from && bpf_probe_read_user(x->sets[i], bytes, (void *)from))
			count(FAILED_TARGET);
	}
	x->at = x->found = 0; /* there for the verifier's sake, see append_path */
	for (int i = 0; i < SYSCALL_SETS + POLL_MAX; i++) {
		at = x->at;
		found = x->found;
		if (at >= SYSCALL_SETS || found >= POLL_MAX)
			break;
		barrier_var(at); /* the verifiers of 5.10 and 6.1 do not remember the check */
		barrier_var(found);
		at &= SYSCALL_SETS - 1;
		found &= POLL_MAX - 1;
		word = x->sets[0][at] | x->sets[1][at] | x->sets[2][at];
		if (!word) {
			x->at = at + 1;
			continue;
		}
		word &= -word;
		x->fds[found] = at * 64 + position(word);
		x->found = found + 1;
		x->sets[0][at] &= ~word;
		x->sets[1][at] &= ~word;
		x->sets[2][at] &= ~word;
	}
}

static __always_inline __s32 watched_fd(struct rb_node *node)
{
	__u64 inner = bpf_core_field_offset(struct epitem, rbn);
	struct epitem *item = (void *)node - inner;

	return node ? BPF_CORE_READ(item, ffd.fd) : NO_FD;
}

/* An epoll descriptor waited on inside a callback: its first three are looked at; where it has
 * none or more, it stands for itself. */
static __always_inline void gather_epoll(struct scratch *x, struct file *file, __s32 fd)
{
	struct rb_node *top, *left, *right;
	struct eventpoll *ep;

	x->fds[0] = fd;
	if (!file || magic_of(file) != ANON_INODE_FS_MAGIC ||
	    !bpf_core_type_exists(struct eventpoll) || !bpf_core_type_exists(struct epitem))
		return;
	ep = BPF_CORE_READ(file, private_data);
	top = BPF_CORE_READ(ep, rbr.rb_root.rb_node);
	if (!top)
		return;
	left = BPF_CORE_READ(top, rb_left);
	right = BPF_CORE_READ(top, rb_right);
	if ((left && (BPF_CORE_READ(left, rb_left) || BPF_CORE_READ(left, rb_right))) ||
	    (right && (BPF_CORE_READ(right, rb_left) || BPF_CORE_READ(right, rb_right))))
		return;
	x->fds[0] = watched_fd(top);
	x->fds[1] = watched_fd(left);
	x->fds[2] = watched_fd(right);
}

/* A thread that waited for one of several sockets is about to run: the one that has something is
 * the one it waited for. `task` is that thread, of which nothing but the kernel's side is at hand. */
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
