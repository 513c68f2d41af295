/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * What a syscall works on: where its arguments say it, and what the kernel side finds there.
 */
#pragma once

#include <linux/types.h>

enum target_size {
	NO_FD = -1,
	TARGET_DATA = 256, /* bytes of a path or name */
	POLL_MAX = 8,      /* descriptors of one poll or select that are looked at */
	EPOLL_MAX = 3,     /* descriptors of an epoll instance that are looked at */
	SYSCALLS = 512,    /* numbers below this have an entry in `syscall_objects` */
};

/* Where a syscall says what it works on. User space fills the table (internal/syscalls). */
enum syscall_object {
	OBJECT_NONE = 0,
	OBJECT_FD,       /* descriptor in argument 0 */
	OBJECT_FD4,      /* descriptor in argument 4 (mmap) */
	OBJECT_CONNECT,  /* socket in 0, its address in 1 and 2 */
	OBJECT_SENDTO,   /* socket in 0, an address in 4 and 5 */
	OBJECT_SENDMSG,  /* socket in 0, struct msghdr in 1 */
	OBJECT_SENDFILE, /* to descriptor 0, from descriptor 1 */
	OBJECT_SPLICE,   /* from descriptor 0, to descriptor 2 */
	OBJECT_PATH,     /* path in 0 */
	OBJECT_PATH1,    /* path in 1 */
	OBJECT_PATHAT,   /* directory descriptor in 0, path in 1 */
	OBJECT_PATHAT1,  /* directory descriptor in 1, path in 2 */
	OBJECT_POLL,     /* array of struct pollfd in 0, its length in 1 */
	OBJECT_SELECT,   /* length in 0, sets in 1 to 3 */
	OBJECT_EPOLL,    /* epoll descriptor in 0 */
	OBJECT_WAIT,     /* child in 0 (wait4) */
	OBJECT_WAITID,   /* kind in 0, child in 1 */
	OBJECT_FORK,     /* the child it just made */
};

/* Which of several descriptors a thread most likely waits for: the one of the highest rank. */
enum descriptor_rank {
	RANK_NONE = 0,
	RANK_ANONYMOUS, /* eventfd, timerfd, epoll and so on */
	RANK_FILE,      /* files, pipes and devices */
	RANK_CHILD,     /* a pidfd */
	RANK_SOCKET,
	RANK_INET, /* a socket that may have a peer elsewhere */
};

enum target_kind {
	TARGET_NONE = 0,
	TARGET_FILE,   /* data: a path */
	TARGET_PATH,   /* data: the argument, NUL, and the path of the directory it counts from */
	TARGET_INET,   /* port, address */
	TARGET_UNIX,   /* data: name, as in sun_path */
	TARGET_SOCKET, /* of another family */
	TARGET_CHILD,  /* pid; 0: any of several */
};

enum target_flag {
	TARGET_CUT = 1,      /* the outermost part of the path is missing, or the argument's beginning */
	TARGET_DELETED = 2,  /* the file has no name any more */
	TARGET_DETACHED = 4, /* the path begins at no root: the object has no name in any directory */
	TARGET_LOCAL = 8,    /* the address is the thread's own: there is no peer */
	TARGET_LISTEN = 16,  /* the address is that of a listening socket */
};

/* What a syscall works on, as the kernel knew it at that moment. A path is kept as its
 * components, innermost first, each ended by NUL, as seen from the process's own root. */
struct target {
	__u8 kind;
	__u8 flags;
	__u16 len;   /* of data in use */
	__s32 fd;    /* descriptor, or NO_FD */
	__u32 mode;  /* i_mode behind it, 0 unknown */
	__u32 rdev;  /* device, as the kernel numbers it: major << 20 | minor */
	__u32 magic; /* of its file system, s_magic */
	__s32 pid;   /* of a child, as the host numbers it */
	__u16 family; /* of a socket */
	__u16 port;   /* host order */
	__u8 type;
	__u8 protocol;
	__u16 others; /* more descriptors of the same rank that were waited for (poll, select) */
	__u8 address[16];
	__u8 data[TARGET_DATA];
};
