/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * What a thread's syscall works on, read while the thread is in it: the file, socket or child
 * behind its arguments, or the file whose page is missing.
 *
 * No lock is held. A pointer may go stale between two reads: what comes out then is another name,
 * or nothing, never a fault. Every loop is bounded, and names are copied as they are.
 */
#pragma once

#include "evidence.h"
#include "maps.h"

#define PATH_STEPS 40   /* components and mounts of one path */
#define CHILDREN_MAX 32
#define ARGUMENT_MAX 4096
#define FAULT_WORDS 256 /* of the kernel stack, looked at for a page fault */

#define SYSCALL_SETS 16 /* words of one fd_set: 1,024 descriptors */

/* Where a target is to be found. */
struct lead {
	__u64 argument; /* a path of the process's making, counting from `fd` */
	__u64 address;  /* of a socket, besides `fd` */
	__u32 address_len;
	__s32 fd;
	__u32 gathered; /* one of scratch.fds */
	__u32 has_argument;
};

struct scratch {
	/* A name is at most 255 bytes long and begins below TARGET_DATA. */
	char path[2 * TARGET_DATA];
	union {
		char argument[ARGUMENT_MAX];
		__u64 words[FAULT_WORDS];
		__u64 sets[3][SYSCALL_SETS];
		struct {
			__s32 fd;
			__s32 events;
		} polled[POLL_MAX];
	};
	__s32 fds[POLL_MAX];
	__u32 at; /* how much of path is written, or which word of the sets is next */
	__u32 found; /* of fds */
	__u32 best; /* rank of those */
	__s32 best_fd;
	struct lead lead;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* By syscall number, enum syscall_object. Set before loading. */
volatile const __u8 syscall_objects[SYSCALLS];

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

static __always_inline struct file *file_of(struct task_struct *task, __s32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = 0;

	if (!table || fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + fd);
	return file;
}

/* Appends the components of a path to x->path from byte `at` on, innermost first, and returns
 * where they end, or -1. Where that is lies in x->at meanwhile: of a variable the verifier would
 * follow every value it can have, in every order of components and mounts. */
static __always_inline int append_path(struct scratch *x, struct target *to,
				       struct task_struct *task, struct vfsmount *mnt,
				       struct dentry *dentry, __u32 at)
{
	struct dentry *top = BPF_CORE_READ(task, fs, root.dentry), *parent;
	struct vfsmount *top_mnt = BPF_CORE_READ(task, fs, root.mnt);
	__u64 inner = bpf_core_field_offset(struct mount, mnt);
	struct mount *mount, *outer;
	long n;

	x->at = at;
	for (int i = 0; i < PATH_STEPS; i++) {
		if (dentry == top && mnt == top_mnt)
			return x->at;
		if (dentry == BPF_CORE_READ(mnt, mnt_root)) {
			mount = (void *)mnt - inner;
			outer = BPF_CORE_READ(mount, mnt_parent);
			if (!outer || outer == mount)
				return x->at;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mnt = (void *)outer + inner;
			continue;
		}
		parent = BPF_CORE_READ(dentry, d_parent);
		at = x->at;
		if (at >= TARGET_DATA)
			break;
		barrier_var(at); /* the verifiers of 5.10 and 6.1 do not remember the check */
		at &= TARGET_DATA - 1;
		n = bpf_probe_read_kernel_str(x->path + at, TARGET_DATA,
					      BPF_CORE_READ(dentry, d_name.name));
		if (n <= 0 || n > TARGET_DATA) {
			count(FAILED_TARGET);
			return -1;
		}
		x->at = at + n;
		if (parent == dentry) {
			to->flags |= TARGET_DETACHED;
			return x->at;
		}
		dentry = parent;
	}
	to->flags |= TARGET_CUT;
	return x->at;
}

/* Hands over what stands in x->path. */
static __always_inline void take_data(struct scratch *x, struct target *to, __u8 kind, int len)
{
	if (len < 0)
		return;
	if (len > TARGET_DATA) { /* the name that did not fit is cut, and so is all outside of it */
		len = TARGET_DATA;
		to->flags |= TARGET_CUT;
	}
	to->kind = kind;
	to->len = len;
	bpf_probe_read_kernel(to->data, TARGET_DATA, x->path);
}

static __always_inline void describe_sockaddr(struct target *to, __u64 from, __u32 len)
{
	struct {
		__u16 family;
		__be16 port;
		__be32 flow;
		__u8 address[16];
	} a;

	if (!from || len < 2 || len > 128)
		return;
	if (bpf_probe_read_user(&a.family, sizeof(a.family), (void *)from))
		goto failed;
	if (a.family == AF_UNIX) {
		len -= 2;
		if (len > 108)
			len = 108;
		barrier_var(len);
		if (bpf_probe_read_user(to->data, len & 127, (void *)(from + 2)))
			goto failed;
		to->len = len;
		to->kind = TARGET_UNIX;
		return;
	}
	if ((a.family != AF_INET || len < 16) && (a.family != AF_INET6 || len < 24))
		return;
	if (a.family == AF_INET) {
		if (bpf_probe_read_user(&a, 8, (void *)from))
			goto failed;
		__builtin_memcpy(to->address, &a.flow, 4);
	} else {
		if (bpf_probe_read_user(&a, sizeof(a), (void *)from))
			goto failed;
		__builtin_memcpy(to->address, a.address, 16);
	}
	to->family = a.family;
	to->port = __builtin_bswap16(a.port);
	to->kind = TARGET_INET;
	to->flags &= ~(TARGET_LOCAL | TARGET_LISTEN);
	return;
failed:
	count(FAILED_TARGET);
}

static __always_inline void describe_inet(struct target *to, struct sock *sk)
{
	to->port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	to->kind = TARGET_INET;
	if (!to->port) {
		to->flags |= TARGET_LOCAL;
		to->port = BPF_CORE_READ(sk, __sk_common.skc_num);
		if (BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN)
			to->flags |= TARGET_LISTEN;
	}
	if (to->family == AF_INET) {
		__be32 a = to->flags & TARGET_LOCAL ?
				   BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr) :
				   BPF_CORE_READ(sk, __sk_common.skc_daddr);

		__builtin_memcpy(to->address, &a, sizeof(a));
	} else if (bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		if (to->flags & TARGET_LOCAL)
			BPF_CORE_READ_INTO(&to->address, sk, __sk_common.skc_v6_rcv_saddr);
		else
			BPF_CORE_READ_INTO(&to->address, sk, __sk_common.skc_v6_daddr);
	}
}

/* The name of the peer, or where that has none its own: what was accepted carries the name it
 * was reached by, what was connected has none. */
static __always_inline void describe_unix(struct target *to, struct sock *sk)
{
	struct unix_address *name = 0;
	struct unix_sock *peer;
	__u32 len;

	to->kind = TARGET_UNIX;
	if (!bpf_core_type_exists(struct unix_sock))
		return;
	peer = (void *)BPF_CORE_READ((struct unix_sock *)sk, peer);
	if (peer)
		name = BPF_CORE_READ(peer, addr);
	if (!name)
		name = BPF_CORE_READ((struct unix_sock *)sk, addr);
	if (!name)
		return;
	len = BPF_CORE_READ(name, len) - 2;
	if (len > 108)
		return;
	barrier_var(len);
	if (bpf_probe_read_kernel(to->data, len & 127, &name->name[0].sun_path))
		return;
	to->len = len;
}

static __always_inline void describe_socket(struct target *to, struct file *file)
{
	struct socket *socket = BPF_CORE_READ(file, private_data);
	struct sock *sk = BPF_CORE_READ(socket, sk);

	to->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	to->type = BPF_CORE_READ(sk, sk_type);
	to->protocol = BPF_CORE_READ(sk, sk_protocol);
	to->kind = TARGET_SOCKET;
	if (to->family == AF_INET || to->family == AF_INET6)
		describe_inet(to, sk);
	else if (to->family == AF_UNIX)
		describe_unix(to, sk);
}

static __always_inline __u32 magic_of(struct file *file)
{
	return BPF_CORE_READ(file, f_inode, i_sb, s_magic);
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

/* The file whose page a thread waits for. Nothing points from a task to its fault, but the
 * kernel's struct vm_fault lies on its stack, near the registers: a pointer to a mapping of this
 * very process with an address inside that mapping at the right distance. */
static __always_inline struct file *faulting_file(struct scratch *x, struct task_struct *task,
						  __u64 regs)
{
	__u32 vma_at = bpf_core_field_offset(struct vm_fault, vma);
	__u32 distance = (bpf_core_field_offset(struct vm_fault, address) - vma_at) / 8;
	__u64 mm = (__u64)BPF_CORE_READ(task, mm), address;
	struct vm_area_struct *vma;

	if (distance > 15 ||
	    bpf_probe_read_kernel(x->words, sizeof(x->words), (void *)(regs - sizeof(x->words))))
		return 0;
	/* From the registers inwards: the live one comes before what earlier faults have left. */
	for (__u32 i = FAULT_WORDS - 16; i-- > 0;) {
		vma = (void *)x->words[i];
		if ((__u64)vma >> 48 != 0xffff || (__u64)vma & 7)
			continue;
		address = x->words[i + distance];
		if (address >> 48 == 0xffff || (__u64)BPF_CORE_READ(vma, vm_mm) != mm ||
		    address < BPF_CORE_READ(vma, vm_start) || address >= BPF_CORE_READ(vma, vm_end))
			continue;
		return BPF_CORE_READ(vma, vm_file);
	}
	return 0;
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

/* A path of the process's making. Puts as much of it into x->path as there is room for and
 * returns how much that is; of a long one the end matters. 0: there is none. */
static __always_inline int read_argument(struct scratch *x, struct target *to, __u64 from)
{
	long n;

	if (!from)
		return 0;
	n = bpf_probe_read_user_str(x->argument, ARGUMENT_MAX, (void *)from);
	if (n < 0 || n > ARGUMENT_MAX) {
		count(FAILED_TARGET);
		return -1;
	}
	if (n <= 1)
		return 0;
	if (n <= TARGET_DATA) {
		bpf_probe_read_kernel(x->path, TARGET_DATA, x->argument);
		return n;
	}
	to->flags |= TARGET_CUT;
	if (bpf_probe_read_user(x->path, TARGET_DATA, (void *)(from + n - TARGET_DATA))) {
		count(FAILED_TARGET);
		return -1;
	}
	x->path[TARGET_DATA - 1] = 0;
	return TARGET_DATA;
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

/* Whether a socket has something for who reads it: data, a connection, its end, or an error. */
static __always_inline bool has_input(struct sock *sk)
{
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	return BPF_CORE_READ(sk, sk_receive_queue.qlen) || BPF_CORE_READ(sk, sk_err) ||
	       (state == TCP_LISTEN && BPF_CORE_READ(sk, sk_ack_backlog)) ||
	       state == TCP_CLOSE_WAIT;
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
