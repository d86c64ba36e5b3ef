/* SPDX-License-Identifier: GPL-2.0-or-later */
/* datagram.h - a message to who listens at a Unix socket (the journal, syslog), without ever
 * waiting for them. */
#ifndef SYS_DATAGRAM_H
#define SYS_DATAGRAM_H

#include <stddef.h>
#include <sys/uio.h>

/* 0: somebody listens. -ENOENT: nobody ever did; -ECONNREFUSED: the socket of one who is gone;
 * other -errno. */
int datagram__probe(const char *path);

/* Sends the parts as one message; where a stream is listened to, with a NUL behind it. 0 or -errno
 * as above; -EAGAIN: who listens does not read. */
int datagram__send(const char *path, const struct iovec *part, size_t n);

#endif
