/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Paths: takes a directory entry with its mount, or an argument of the process's making, gives the
 * path as components, innermost first.
 */
#pragma once

#include "../maps.h"
#include "scratch.h"

/* Appends the components of a path to x->path from byte `at` on, innermost first, and returns
 * where they end, or -1. */
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

/* Hands over what is in x->path. */
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
