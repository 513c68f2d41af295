/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The few kernel types and constants the programs touch, kept by hand. Only names and types matter
 * here: CO-RE relocates every access to the running kernel's own layout. Field names are those of
 * Linux 5.10 to 7.3; where a name changed, both are declared (the ___old flavour is matched by the
 * name before the three underscores).
 */
#pragma once

#include <stdbool.h>
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#ifdef __bpf__
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif

struct sched_info {
	unsigned long long run_delay;
	unsigned long long last_queued;
};

struct rq {
	__u64 clock, clock_task, clock_pelt;
};

struct cfs_rq {
	struct rq *rq;
	int throttle_count;
	__u64 throttled_clock_pelt, throttled_clock_pelt_time; /* 5.19 and later */
	__u64 throttled_clock_self, throttled_clock_self_time; /* 6.6 and later */
};

struct cfs_rq___old {
	__u64 throttled_clock_task, throttled_clock_task_time; /* to 5.18 */
};

struct sched_entity {
	__u64 exec_start;       /* when sum_exec_runtime was last brought up to date */
	__u64 sum_exec_runtime; /* on the CPU, ns */
	struct cfs_rq *cfs_rq;
};

struct super_block {
	unsigned long s_magic;
};

struct inode {
	unsigned short i_mode;
	__u32 i_rdev;
	struct super_block *i_sb;
	void *i_private;
};

struct in6_addr {
	__u8 bytes[16];
};

struct sock_common {
	unsigned short skc_family;
	unsigned char skc_state;
	__be16 skc_dport;
	__u16 skc_num; /* own port, host order */
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	struct in6_addr skc_v6_daddr; /* CONFIG_IPV6 */
	struct in6_addr skc_v6_rcv_saddr;
};

struct sk_buff_head {
	__u32 qlen;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	__u32 sk_ack_backlog; /* connections to accept */
	int sk_err;
	__u16 sk_type;
	__u16 sk_protocol;
};

struct socket {
	struct sock *sk;
};

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

struct qstr {
	const unsigned char *name;
};

struct hlist_bl_node {
	struct hlist_bl_node **pprev; /* 0: hashed by no name */
};

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct fs_struct {
	struct path root;
	struct path pwd;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct file {
	struct inode *f_inode;
	void *private_data;
	struct path f_path;
	struct hlist_head *f_ep; /* 5.11 and later: the epitems of this file */
};

struct rb_node {
	struct rb_node *rb_right;
	struct rb_node *rb_left;
};

struct rb_root {
	struct rb_node *rb_node;
};

struct rb_root_cached {
	struct rb_root rb_root;
};

struct list_head {
	struct list_head *next, *prev;
};

struct file___old {
	struct list_head f_ep_links; /* to 5.10 */
};

struct timespec64 {
	__s64 tv_sec;
	long tv_nsec;
};

struct eventpoll {
	struct list_head rdllist; /* what is ready */
	struct rb_root_cached rbr;
};

struct epoll_filefd {
	struct file *file;
	int fd;
};

struct epoll_event {
	__u32 events;
	__u64 data;
};

struct epitem {
	struct rb_node rbn;
	struct list_head rdllink; /* in eventpoll.rdllist, or points to itself */
	struct epoll_filefd ffd;
	struct eventpoll *ep;
	struct hlist_node fllink; /* in file.f_ep; to 5.10 a list_head in f_ep_links */
	struct epoll_event event;
};

struct wait_queue_entry {
	void *private;
};

struct eppoll_entry {
	struct epitem *base;
	struct wait_queue_entry wait;
};

struct upid {
	int nr;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live; /* threads that have not begun to exit */
	struct list_head thread_head;
	int nr_threads;
};

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	void *vm_mm;
	struct file *vm_file;
};

struct vm_fault {
	struct vm_area_struct *vma;
	unsigned long address;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

#if defined(__TARGET_ARCH_x86)
struct thread_struct {
	unsigned long fsbase;
};
#elif defined(__TARGET_ARCH_arm64)
struct thread_struct {
	struct {
		unsigned long tp_value;
	} uw;
};
#endif

struct task_struct {
	unsigned int __state; /* 5.14 and later */
	int pid;
	int tgid;
	unsigned int flags;
	int on_cpu; /* CONFIG_SMP */
	int prio;
	struct sched_entity se;
	bool throttled; /* 6.18 and later */
	unsigned long jobctl;
	unsigned int frozen : 1;
	void *stack;
	void *mm;
	struct files_struct *files;
	struct fs_struct *fs;
	struct pid *thread_pid;
	struct signal_struct *signal;
	struct list_head children;
	struct list_head sibling;
	struct list_head thread_node;
	char comm[16];
	struct sched_info sched_info;
	struct thread_struct thread;
};

struct task_struct___old {
	volatile long state; /* to 5.13 */
};

/* The registers a task entered the kernel with. The flavour keeps the name apart from the
 * forward declaration in <bpf/bpf_tracing.h>. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs___entry {
	unsigned long r11, r10, r9, r8, cx, dx, si, di, orig_ax, ip, flags;
};
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs___entry {
	__u64 regs[31];
	__u64 pc;
	__s32 syscallno;
};
#endif

struct linux_binprm;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#ifdef __bpf__
#pragma clang attribute pop
#endif

#define EINTR 4
#define TASK_RUNNING 0
#define TASK_UNINTERRUPTIBLE 2
#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFIFO 0010000
#define S_IFCHR 0020000
#define S_IFREG 0100000
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define TCP_CLOSE_WAIT 8
#define TCP_LISTEN 10
#define AT_FDCWD (-100)
#define ANON_INODE_FS_MAGIC 0x09041934
#define PID_FS_MAGIC 0x50494446

/* What a syscall tracepoint hands over (events/syscalls/.../format). */
struct sys_enter_ctx {
	__u64 common;
	__s64 nr;
	__u64 args[6];
};

struct sys_exit_ctx {
	__u64 common;
	__s64 nr;
	__s64 ret;
};
