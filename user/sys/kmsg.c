/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/kmsg.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/privilege.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The kernel writes what is not printable ASCII, and the backslash, as \xNN. */
static void unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (text[0] == '\\' && text[1] == 'x' && hex_digit(text[2]) >= 0 &&
		    hex_digit(text[3]) >= 0) {
			char c = (char)(hex_digit(text[2]) << 4 | hex_digit(text[3]));

			*to++ = c ? c : '?';
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = 0;
}

int kmsg__split(char *record, uint64_t *ret_seq, uint64_t *ret_time_us, unsigned *ret_facility,
		const char **ret_text)
{
	char *text = strchr(record, ';'), *end;
	const char *at;
	uint64_t prio;

	if (!text || !kmsg__number(record, &prio, &at) || *at != ',' ||
	    !kmsg__number(at + 1, ret_seq, &at) || *at != ',' ||
	    !kmsg__number(at + 1, ret_time_us, &at) || at > text)
		return -EBADMSG;
	*ret_facility = prio >> 3;
	text++;
	end = strchr(text, '\n');
	if (end)
		*end = 0;
	unescape(text);
	*ret_text = text;
	return 0;
}

int kmsg__open(struct kmsg *k, bool from_start)
{
	memset(k, 0, sizeof(*k));
	kmsg_parser__init(&k->parser, sysconf(_SC_PAGESIZE));
	privilege__raise(PRIVILEGE_KERNEL_LOG);
	k->fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	privilege__lower(PRIVILEGE_KERNEL_LOG);
	if (k->fd < 0)
		return -errno;
	if (lseek(k->fd, 0, from_start ? SEEK_SET : SEEK_END) < 0) {
		int err = -errno;

		kmsg__close(k);
		return err;
	}
	return 0;
}

void kmsg__close(struct kmsg *k)
{
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
}

int kmsg__next(struct kmsg *k)
{
	uint64_t seq, time_us;
	unsigned facility;
	const char *text;

	for (;;) {
		ssize_t n = read(k->fd, k->buf, KMSG_RECORD_MAX);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EPIPE) /* overwritten while we were away; counted below */
				continue;
			if (errno == EINVAL) /* a record longer than the buffer: not one of ours */
				continue;
			return errno == EAGAIN ? 0 : -errno;
		}
		k->buf[n] = 0;
		if (kmsg__split(k->buf, &seq, &time_us, &facility, &text))
			continue;
		if (k->next_seq && seq > k->next_seq)
			k->lost += seq - k->next_seq;
		k->next_seq = seq + 1;
		/* Only the kernel's own words: anyone may write to /dev/kmsg as another facility.
		 */
		if (facility == 0 && kmsg_parser__feed(&k->parser, text, seq, time_us))
			return 1;
	}
}
