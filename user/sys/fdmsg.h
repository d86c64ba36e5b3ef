/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fdmsg.h - one message over a SOCK_SEQPACKET socket, with descriptors. */
#ifndef SYS_FDMSG_H
#define SYS_FDMSG_H

#include <stddef.h>

#define FDMSG_MAX_FDS 4

/* Length or -errno (0: the other side is gone; -EMSGSIZE: it did not fit). fds that did not come
 * are -1; the others are the caller's. flags: those of recvmsg. */
ptrdiff_t fdmsg__recv(int sock, void *buf, size_t cap, int fds[FDMSG_MAX_FDS], int flags);
/* A head and what follows it as one message, with copies of nfds descriptors. flags: those of
 * sendmsg. 0 or -errno. */
int fdmsg__send(int sock, const void *head, size_t head_len, const void *data, size_t len,
		const int *fds, size_t nfds, int flags);

#endif
