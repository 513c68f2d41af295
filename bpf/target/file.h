/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Open files: takes a task and a descriptor, gives the file behind it.
 */
#pragma once

#include "../kernel/types.h"

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
