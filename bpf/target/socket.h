/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * Sockets: takes a socket or an address of the process's making, gives the peer, and whether
 * something is there to be read.
 */
#pragma once

#include "../maps.h"
#include "file.h"

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

/* The name of the peer, or where that has none its own: an accepted socket has the name it was
 * reached by, a connected one has none. */
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

/* Whether a socket has something to read: data, a connection, its end, or an error. */
static __always_inline bool has_input(struct sock *sk)
{
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	return BPF_CORE_READ(sk, sk_receive_queue.qlen) || BPF_CORE_READ(sk, sk_err) ||
	       (state == TCP_LISTEN && BPF_CORE_READ(sk, sk_ack_backlog)) ||
	       state == TCP_CLOSE_WAIT;
}
