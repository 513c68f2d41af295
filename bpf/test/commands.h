/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The commands of the host build: each reads its arguments, calls the kernel side, and prints a
 * line.
 */
#pragma once

#include "arguments.h"
#include "delayed.h"
#include "helpers.h"
#include "waits.h"
#include "../loop/histogram.h"
#include "../loop/usdt.h"

/* memory ADDRESS BYTES: what the process has there. */
static void memory_command(void)
{
	__u64 at = read_number();
	size_t size;
	unsigned char *bytes = read_bytes(&size);

	add_memory(at, bytes, size);
}

/* layout STRUCT: where CPython keeps things. */
static void layout_command(void)
{
	struct py_layout layout;
	__u32 zero = 0;

	read_struct(&layout, sizeof(layout));
	bpf_map_update_elem(&layouts, &zero, &layout, BPF_ANY);
}

/* bucket NS */
static void bucket_command(void)
{
	printf("bucket %u\n", bucket(read_number()));
}

/* walk CONFIG: a stack, into a sample. */
static void walk_command(void)
{
	static struct sample s;
	struct thread_config config;

	read_struct(&config, sizeof(config));
	memset(&s, 0xff, sizeof(s));
	s.stack.depth = 0;
	walk_stack(&config, &s.stack, &s.task, &s.callback);
	print_struct("sample", &s, sizeof(s));
}

/* holder TSTATE: the stack of another thread. */
static void holder_command(void)
{
	static struct holder h;
	__u32 zero = 0;

	walk_other(bpf_map_lookup_elem(&layouts, &zero), read_number(), &h.stack);
	print_struct("holder", &h, sizeof(h));
}

/* now NS */
static void now_command(void)
{
	clock_ns = read_number();
}

/* thread STRUCT: the thread on this CPU, as the kernel side knows it. */
static void thread_command(void)
{
	struct thread t;

	read_struct(&t, sizeof(t));
	current.tgid = t.tgid;
	current.pid = t.config.tid;
	track_tid(t.config.tid);
	bpf_map_update_elem(&threads, &t.config.tid, &t, BPF_ANY);
	bpf_map_update_elem(&configs, &t.config.tid, &t.config, BPF_ANY);
}

/* off OFF WAITED STOPPED: how long that thread has been off the CPU in its period. */
static void off_command(void)
{
	struct thread *t = this_thread();

	t->off_ns = read_number();
	t->waited_ns = read_number();
	t->stopped_ns = read_number();
}

/* site INDEX STRUCT */
static void site_command(void)
{
	struct usdt_site site;
	__u32 index = read_number();

	read_struct(&site, sizeof(site));
	bpf_map_update_elem(&usdt_sites, &index, &site, BPF_ANY);
}

/* hit INDEX: of a site, on this thread. */
static void hit_command(void)
{
	usdt_hit((struct pt_regs *)&registers, read_number());
}

/* threshold NS */
static void threshold_command(void)
{
	threshold = read_number();
}

/* statistics SLOT */
static void statistics_command(void)
{
	__u32 slot = read_number();
	struct loop_statistics *sum = bpf_map_lookup_elem(&statistics, &slot);

	if (!sum)
		fail("no such slot");
	print_struct("statistics", sum, sizeof(*sum));
}

/* registers A B C D E F: arguments of the syscall the thread is in. */
static void registers_command(void)
{
#if defined(__TARGET_ARCH_x86)
	registers.di = read_number();
	registers.si = read_number();
	registers.dx = read_number();
	registers.r10 = read_number();
	registers.r8 = read_number();
	registers.r9 = read_number();
#elif defined(__TARGET_ARCH_arm64)
	for (int i = 0; i < 6; i++)
		registers.regs[i] = read_number();
#endif
}

/* file FD MODE MAGIC FAMILY: a descriptor of this thread; FAMILY 0: it is no socket. */
static void file_command(void)
{
	static struct fdtable table = { FILES, files };
	static struct files_struct all = { &table };
	struct file *file = allocate(sizeof(*file));
	struct socket *socket = allocate(sizeof(*socket));
	__u64 fd = read_number();

	if (fd >= FILES)
		fail("no such descriptor");
	file->f_inode = allocate(sizeof(*file->f_inode));
	file->f_inode->i_sb = allocate(sizeof(*file->f_inode->i_sb));
	file->f_inode->i_mode = read_number();
	file->f_inode->i_sb->s_magic = read_number();
	socket->sk = allocate(sizeof(*socket->sk));
	socket->sk->__sk_common.skc_family = read_number();
	if (socket->sk->__sk_common.skc_family)
		file->private_data = socket;
	files[fd] = file;
	current.files = &all;
}

/* watch EPFD TOP LEFT RIGHT BELOW: the tree of descriptors an epoll instance watches; -1 is none,
 * and BELOW is one more on the third level. */
static void watch_command(void)
{
	struct file *file = files[read_number() & (FILES - 1)];
	struct eventpoll *ep = allocate(sizeof(*ep));
	struct epitem *item[4];

	for (int i = 0; i < 4; i++) {
		__s32 fd = read_number();

		item[i] = fd < 0 ? 0 : allocate(sizeof(*item[i]));
		if (item[i])
			item[i]->ffd.fd = fd;
	}
	if (!file)
		fail("watch without a file");
	if (item[0])
		ep->rbr.rb_root.rb_node = &item[0]->rbn;
	if (item[1])
		item[0]->rbn.rb_left = &item[1]->rbn;
	if (item[2])
		item[0]->rbn.rb_right = &item[2]->rbn;
	if (item[3])
		item[1]->rbn.rb_right = &item[3]->rbn;
	file->private_data = ep;
}

/* choose poll|select|epoll: which descriptor the call in the registers is about. */
static void choose_command(void)
{
	static struct scratch x;
	static struct target to;
	char how[16];

	for (int i = 0; i < POLL_MAX; i++)
		x.fds[i] = NO_FD;
	if (scanf("%15s", how) != 1)
		fail("choose without a call");
	if (!strcmp(how, "poll"))
		gather_poll(&x, syscall_argument(&registers, 0), syscall_argument(&registers, 1));
	else if (!strcmp(how, "select"))
		gather_select(&x, &registers);
	else
		gather_epoll(&x, file_of(&current, syscall_argument(&registers, 0)),
			     syscall_argument(&registers, 0));
	printf("chosen %d", best_of(&x, &to, &current));
	printf(" %u", to.others);
	for (int i = 0; i < POLL_MAX; i++)
		printf(" %d", x.fds[i]);
	printf("\n");
}

#define OBJECTS 512
static struct dentry dentries[OBJECTS];
static struct mount mounts[OBJECTS];

/* dentry ID PARENT NAME */
static void dentry_command(void)
{
	struct dentry *d = &dentries[read_number() % OBJECTS];
	size_t size;

	d->d_parent = &dentries[read_number() % OBJECTS];
	d->d_name.name = read_bytes(&size);
}

/* mount ID PARENT MOUNTPOINT ROOT: a mount on a dentry of another; of itself: at the top. */
static void mount_command(void)
{
	struct mount *m = &mounts[read_number() % OBJECTS];

	m->mnt_parent = &mounts[read_number() % OBJECTS];
	m->mnt_mountpoint = &dentries[read_number() % OBJECTS];
	m->mnt.mnt_root = &dentries[read_number() % OBJECTS];
}

/* path ROOT-MOUNT ROOT-DENTRY MOUNT DENTRY ARGUMENT: a path as a process with this root sees it.
 * ARGUMENT is the address of one that counts from there, or 0. */
static void path_command(void)
{
	static struct fs_struct fs;
	static struct scratch x;
	static struct target to;
	struct vfsmount *mnt;
	struct dentry *dentry;
	int at = 0;
	__u64 argument;

	fs.root.mnt = &mounts[read_number() % OBJECTS].mnt;
	fs.root.dentry = &dentries[read_number() % OBJECTS];
	current.fs = &fs;
	mnt = &mounts[read_number() % OBJECTS].mnt;
	dentry = &dentries[read_number() % OBJECTS];
	argument = read_number();
	memset(&to, 0, sizeof(to));
	if (argument)
		at = read_argument(&x, &to, argument);
	/* As read_target does: an absolute one, or one that fills the room, needs no directory. */
	if (at >= 0 && !(at && (at == TARGET_DATA || x.path[0] == '/')))
		at = append_path(&x, &to, &current, mnt, dentry, at);
	take_data(&x, &to, argument ? TARGET_PATH : TARGET_FILE, at);
	print_struct("target", &to, sizeof(to));
}

/* counters */
static void counters_command(void)
{
	printf("counters");
	for (__u32 i = 0; i < COUNTERS; i++)
		printf(" %llu", *(__u64 *)bpf_map_lookup_elem(&counters, &i));
	printf("\n");
}

static const struct {
	const char *name;
	void (*run)(void);
} commands[] = {
	{ "asleep", asleep_command },	  { "back", back_command },
	{ "bucket", bucket_command },
	{ "choose", choose_command },
	{ "counters", counters_command }, { "dentry", dentry_command },
	{ "file", file_command },	  { "hit", hit_command },
	{ "holder", holder_command },	  { "layout", layout_command },
	{ "leave", leave_command },	  { "listed", listed_command },
	{ "memory", memory_command },	  { "mount", mount_command },
	{ "now", now_command },		  { "off", off_command },
	{ "path", path_command },	  { "preempted", preempted_command },
	{ "queued", queued_command },	  { "ready", ready_command },
	{ "register", register_command }, { "registers", registers_command },
	{ "return", return_command },
	{ "running", running_command },	  { "site", site_command },
	{ "statistics", statistics_command }, { "stopped", stopped_command },
	{ "thread", thread_command },	  { "threshold", threshold_command },
	{ "timed", timed_command },
	{ "wait", wait_command },	  { "walk", walk_command },
	{ "watch", watch_command },	  { "woken", woken_command },
};

static void command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name)) {
			commands[i].run();
			return;
		}
	fail(name);
}
