/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Files and paths, and the scratch room that targets are read in (target.h).
 */
#pragma once

#include "evidence.h"
#include "maps.h"

#define PATH_STEPS 40   /* components and mounts of one path */
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

static __always_inline struct file *file_of(struct task_struct *task, __s32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = 0;

	if (!table || fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + fd);
	return file;
}

static __always_inline __u32 magic_of(struct file *file)
{
	return BPF_CORE_READ(file, f_inode, i_sb, s_magic);
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
