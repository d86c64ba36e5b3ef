/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/fdmsg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "core/util.h"

union control {
	char buf[CMSG_SPACE(FDMSG_MAX_FDS * sizeof(int))];
	struct cmsghdr align;
};

ptrdiff_t fdmsg__recv(int sock, void *buf, size_t cap, int fds[FDMSG_MAX_FDS], int flags)
{
	union control u;
	struct iovec iov = {buf, cap};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = u.buf,
			     .msg_controllen = sizeof(u.buf)};
	ssize_t n;

	for (int i = 0; i < FDMSG_MAX_FDS; i++)
		fds[i] = -1;
	do {
		n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(&msg); cm; cm = CMSG_NXTHDR(&msg, cm)) {
		if (cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS)
			memcpy(fds, CMSG_DATA(cm),
			       min_of(cm->cmsg_len - CMSG_LEN(0), FDMSG_MAX_FDS * sizeof(int)));
	}
	return msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EMSGSIZE : n;
}

int fdmsg__send(int sock, const void *head, size_t head_len, const void *data, size_t len,
		const int *fds, size_t nfds, int flags)
{
	union control u = {{0}};
	struct iovec iov[2] = {{(void *)head, head_len}, {(void *)data, len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = len ? 2 : 1};

	if (nfds) {
		struct cmsghdr *cm;

		msg.msg_control = u.buf;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, nfds * sizeof(int));
	}
	for (;;) {
		if (sendmsg(sock, &msg, MSG_NOSIGNAL | flags) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}
