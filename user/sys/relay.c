/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "core/util.h"

int relay__new(struct relay *r, int to, int *ret_end)
{
	int ends[2];

	*r = (struct relay){.fd = -1};
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	*r = (struct relay){.fd = ends[0], .to = to, .terminal = isatty(to)};
	*ret_end = ends[1];
	return 0;
}

void relay__close(struct relay *r)
{
	util__close_fd(&r->fd);
	r->fd = -1;
}

/* Escapes and all other control characters, those of two bytes too, but line ends and tabs. */
static bool steers(unsigned char c, unsigned char last)
{
	return (c < 0x20 && c != '\n' && c != '\t' && c != '\r') || c == 0x7f ||
	       (last == 0xc2 && c >= 0x80 && c < 0xa0);
}

void relay__pass(struct relay *r)
{
	unsigned char buf[1 << 14];

	while (r->fd >= 0) {
		ssize_t n = read(r->fd, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			relay__close(r);
			return;
		}
		for (ssize_t i = 0; i < n && r->terminal; i++) {
			unsigned char c = buf[i];

			if (steers(c, r->last))
				buf[i] = '?';
			r->last = c;
		}
		util__write_all(r->to, buf, (size_t)n);
	}
}
