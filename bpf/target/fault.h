/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Page faults: takes the kernel stack of a thread that sleeps in one, gives the file whose page is
 * missing.
 */
#pragma once

#include "../kernel/types.h"
#include "scratch.h"

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
	/* From the registers inwards: the live one comes before those that earlier faults have left. */
	x->at = FAULT_WORDS;
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
