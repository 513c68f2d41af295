/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The commands of the host build that have a wait return events of descriptors.
 */
#pragma once

#include "arguments.h"
#include "helpers.h"

#define FILES 1024
static struct file *files[FILES];

/* register EPFD FD DATA: an epoll instance has a descriptor, and keeps DATA with it. */
static void register_command(void)
{
	__u64 epfd = read_number() % FILES, fd = read_number() % FILES;
	struct epitem *item = allocate(sizeof(*item));

	if (!files[epfd] || !files[fd])
		fail("register without a file");
	if (!files[epfd]->private_data)
		files[epfd]->private_data = allocate(sizeof(struct eventpoll));
	if (!files[fd]->f_ep)
		files[fd]->f_ep = allocate(sizeof(*files[fd]->f_ep));
	item->ep = files[epfd]->private_data;
	item->ffd.fd = fd;
	item->event.data = read_number();
	item->fllink.next = files[fd]->f_ep->first;
	files[fd]->f_ep->first = &item->fllink;
}
