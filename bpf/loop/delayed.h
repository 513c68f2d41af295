/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Who waited for a block to end: takes what the first wait after it returns, gives the sockets, pipes and so on that the events came
 * from, those of one address together.
 *
 * The program says of each event which descriptor it is about, in what it has registered with the event: all loops put the
 * descriptor's number there. That is the program's word. It counts only if the kernel has that descriptor in the same
 * epoll instance with the same data.
 */
#pragma once

#include "../kernel/registers.h"
#include "../kernel/task.h"
#include "../maps.h"
#include "../target/file.h"

#if defined(__TARGET_ARCH_x86)
#define EPOLL_EVENT_SIZE 12 /* packed */
#define EPOLL_EVENT_DATA 4
#else
#define EPOLL_EVENT_SIZE 16
#define EPOLL_EVENT_DATA 8
#endif

#define EPITEMS_MAX 4 /* epoll instances of one file that are looked at */

struct delayed_scratch {
	struct delayed_record record;
	struct event_source found;
	__u64 events; /* address of those returned, in the process */
	__u64 ep;
	__s32 epfd;
	__u32 at;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct delayed_scratch);
} delayed_scratches SEC(".maps");

/* The first of the items that stand for a file in epoll instances. */
static __always_inline struct hlist_node *first_item(struct file *file)
{
	struct file___old *old = (void *)file;
	struct hlist_head *items;

	if (!bpf_core_field_exists(file->f_ep))
		return (void *)BPF_CORE_READ(old, f_ep_links.next);
	items = BPF_CORE_READ(file, f_ep);
	return items ? BPF_CORE_READ(items, first) : 0;
}

/* Whether an epoll instance has this descriptor, with this data. */
static __always_inline bool is_registered(struct file *file, __s32 fd, __u64 ep, __u64 data)
{
	struct hlist_node *node = first_item(file);
	__u64 inner = bpf_core_field_offset(struct epitem, fllink);
	struct epitem *item;

	for (int i = 0; i < EPITEMS_MAX; i++) {
		if (!node)
			return false;
		item = (void *)node - inner;
		if ((__u64)BPF_CORE_READ(item, ep) == ep && BPF_CORE_READ(item, ffd.fd) == fd)
			return BPF_CORE_READ(item, event.data) == data;
		node = BPF_CORE_READ(node, next);
	}
	return false;
}

static __always_inline void find_inet(struct event_source *to, struct sock *sk)
{
	to->kind = SOURCE_INET;
	to->port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (to->family == AF_INET)
		to->address[0] = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
	else if (bpf_core_field_exists(sk->__sk_common.skc_v6_rcv_saddr))
		BPF_CORE_READ_INTO(&to->address, sk, __sk_common.skc_v6_rcv_saddr);
}

static __always_inline void find_unix(struct event_source *to, struct sock *sk)
{
	struct unix_address *name;
	struct unix_sock *peer;

	to->kind = SOURCE_PAIR;
	if (!bpf_core_type_exists(struct unix_sock))
		return;
	name = BPF_CORE_READ((struct unix_sock *)sk, addr);
	peer = (void *)BPF_CORE_READ((struct unix_sock *)sk, peer);
	if (!name && peer)
		name = BPF_CORE_READ(peer, addr);
	if (!name)
		return;
	to->kind = SOURCE_UNIX;
	to->address[0] = (__u64)name;
}

/* What an open file is, as far as events are told apart by it. */
static __always_inline void find_source(struct event_source *to, struct file *file)
{
	__u32 mode = BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT, magic;
	struct socket *socket;
	struct sock *sk;

	to->address[0] = to->address[1] = 0;
	to->kind = SOURCE_OTHER;
	to->family = to->protocol = to->type = to->pad = 0;
	to->port = 0;
	to->rank = NO_RANK;
	if (mode == S_IFSOCK) {
		socket = BPF_CORE_READ(file, private_data);
		sk = BPF_CORE_READ(socket, sk);
		to->kind = SOURCE_SOCKET;
		to->family = BPF_CORE_READ(sk, __sk_common.skc_family);
		to->type = BPF_CORE_READ(sk, sk_type);
		to->protocol = BPF_CORE_READ(sk, sk_protocol);
		if (to->family == AF_INET || to->family == AF_INET6)
			find_inet(to, sk);
		else if (to->family == AF_UNIX)
			find_unix(to, sk);
		return;
	}
	magic = magic_of(file);
	if (mode == S_IFIFO) {
		to->kind = SOURCE_PIPE;
	} else if (mode == S_IFCHR) {
		to->kind = SOURCE_DEVICE;
	} else if (magic == PID_FS_MAGIC) {
		to->kind = SOURCE_PIDFD;
	} else if (magic == ANON_INODE_FS_MAGIC) {
		to->kind = SOURCE_ANONYMOUS;
		bpf_probe_read_kernel_str(&to->address, sizeof(to->address), BPF_CORE_READ(file, f_path.dentry, d_name.name));
	}
}

/* How many descriptors of the same kind have a number between the epoll instance's and this one's. */
__attribute__((noinline)) int rank_source(__s32 fd)
{
	struct task_struct *task = current_task();
	struct event_source *s, other = {};
	struct delayed_scratch *x;
	__u32 zero = 0, rank = 0;
	struct file *file;

	x = bpf_map_lookup_elem(&delayed_scratches, &zero);
	if (!x || fd <= x->epfd || fd - x->epfd > WAKEUP_NUMBERS)
		return NO_RANK;
	s = &x->found;
	for (int i = 1; i < WAKEUP_NUMBERS; i++) {
		if (x->epfd + i >= fd)
			break;
		file = file_of(task, x->epfd + i);
		if (!file)
			continue;
		find_source(&other, file);
		if (other.kind == s->kind && (other.kind != SOURCE_ANONYMOUS || other.address[0] == s->address[0]))
			rank++;
	}
	return rank;
}

static __always_inline bool same_source(const struct event_source *a, const struct event_source *b)
{
	const __u64 *x = (const void *)a, *y = (const void *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

/* Enters one of the events that the wait has returned. A function of its own: the verifier checks it once. */
__attribute__((noinline)) int enter_event(__u32 i)
{
	struct event_source *s, *to;
	struct delayed_scratch *x;
	__u32 zero = 0, at, n, len;
	struct unix_address *name;
	struct file *file;
	__u64 data;
	__s32 fd;

	x = bpf_map_lookup_elem(&delayed_scratches, &zero);
	if (!x)
		return 0;
	s = &x->found;
	if (bpf_probe_read_user(&data, sizeof(data), (void *)(x->events + (__u64)i * EPOLL_EVENT_SIZE + EPOLL_EVENT_DATA)))
		return 0;
	fd = (__s32)data;
	file = file_of(current_task(), fd);
	if (!file || !is_registered(file, fd, x->ep, data))
		return 0;
	find_source(s, file);
	if (s->kind == SOURCE_PAIR || s->kind == SOURCE_PIPE || s->kind == SOURCE_ANONYMOUS)
		s->rank = rank_source(fd);
	n = x->record.sources;
	for (at = 0; at < DELAYED_SOURCES && at < n; at++)
		if (same_source(&x->record.source[at], s)) {
			x->record.source[at].events++;
			return 0;
		}
	if (n >= DELAYED_SOURCES)
		return 0;
	barrier_var(n); /* the verifiers of 5.10 and 6.1 do not remember the check */
	n &= DELAYED_SOURCES - 1;
	to = &x->record.source[n];
	__builtin_memcpy(to, s, __builtin_offsetof(struct event_source, events));
	to->events = 1;
	to->len = 0;
	x->record.sources = n + 1;
	if (s->kind != SOURCE_UNIX)
		return 0;
	name = (void *)s->address[0];
	len = BPF_CORE_READ(name, len) - 2;
	if (len > SOURCE_NAME)
		return 0;
	barrier_var(len);
	if (!bpf_probe_read_kernel(to->name, len & 127, &name->name[0].sun_path))
		to->len = len;
	return 0;
}

static __always_inline void begin_delayed(struct delayed_record *d, const struct thread *t, __u32 tid, __s32 events)
{
	d->type = RECORD_DELAYED;
	d->tgid = t->tgid;
	d->tid = tid;
	d->events = events;
	d->period = t->period;
	d->timer = t->due != 0;
	d->sources = 0;
}

static __always_inline void submit_delayed(struct delayed_record *d, __u64 size)
{
	if (bpf_ringbuf_output(&records, d, size, 0))
		count(LOST_RECORDS);
}

/* The loop sleeps in the first wait after a block: no event waited for it to end. */
static __always_inline void send_nobody_delayed(struct thread *t, __u32 tid)
{
	struct {
		__u8 bytes[__builtin_offsetof(struct delayed_record, source)];
	} header __attribute__((aligned(8))) = {};

	t->blocked = 0;
	begin_delayed((void *)&header, t, tid, 0);
	submit_delayed((void *)&header, sizeof(header));
}

/* The first wait after a block, on the descriptor epfd, has returned so many events. */
static __always_inline void send_delayed(struct thread *t, __u32 tid, __s32 epfd, __s32 events)
{
	struct task_struct *task = current_task();
	struct delayed_scratch *x;
	struct file *file;
	__u32 zero = 0, n;
	__u64 size;

	t->blocked = 0;
	x = bpf_map_lookup_elem(&delayed_scratches, &zero);
	if (!x || events < 0) /* interrupted: not known */
		return;
	begin_delayed(&x->record, t, tid, events);
	file = file_of(task, epfd);
	x->ep = file ? (__u64)BPF_CORE_READ(file, private_data) : 0;
	x->epfd = epfd;
	x->events = syscall_argument(entry_regs(task), 1);
	for (__u32 i = 0; i < DELAYED_EVENTS && i < events; i++)
		enter_event(i);
	n = x->record.sources;
	if (n > DELAYED_SOURCES)
		return;
	barrier_var(n);
	size = __builtin_offsetof(struct delayed_record, source) + n * sizeof(struct event_source);
	size &= 4095;
	if (size > sizeof(struct delayed_record))
		return;
	submit_delayed(&x->record, size);
}
