/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Sets of descriptors: takes the arguments of a wait for one of several (poll, select, an epoll that
 * is not the loop's), gives the descriptors, and the one the thread most likely waits for.
 */
#pragma once

#include "../kernel/registers.h"
#include "../maps.h"
#include "file.h"
#include "scratch.h"

/* Which of several files a thread most likely waits for. */
static __always_inline int rank_of(struct file *file)
{
	__u32 mode = BPF_CORE_READ(file, f_inode, i_mode), magic;
	struct socket *socket;
	__u16 family;

	if ((mode & S_IFMT) == S_IFSOCK) {
		socket = BPF_CORE_READ(file, private_data);
		family = BPF_CORE_READ(socket, sk, __sk_common.skc_family);
		return family == AF_INET || family == AF_INET6 ? RANK_INET : RANK_SOCKET;
	}
	magic = magic_of(file);
	if (magic == PID_FS_MAGIC)
		return RANK_CHILD;
	if (magic == ANON_INODE_FS_MAGIC)
		return RANK_ANONYMOUS;
	return RANK_FILE;
}

/* Of x->fds the one that counts: the first of the highest rank. */
static __always_inline __s32 best_of(struct scratch *x, struct target *to, struct task_struct *task)
{
	struct file *file;
	__u32 rank;

	x->best = RANK_NONE;
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
	x->at = x->found = 0;
	for (int i = 0; i < SET_WORDS + POLL_MAX; i++) {
		at = x->at;
		found = x->found;
		if (at >= SET_WORDS || found >= POLL_MAX)
			break;
		barrier_var(at); /* the verifiers of 5.10 and 6.1 do not remember the check */
		barrier_var(found);
		at &= SET_WORDS - 1;
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

/* An epoll descriptor waited on inside a callback: its descriptors are looked at where it has up to
 * EPOLL_MAX, the three nodes of a tree of two levels; otherwise it stands for itself. */
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
	_Static_assert(EPOLL_MAX == 3, "the nodes of a tree of two levels");
	x->fds[0] = watched_fd(top);
	x->fds[1] = watched_fd(left);
	x->fds[2] = watched_fd(right);
}
