/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum log_level max_level = LOG_INFO;

void log__set_level(enum log_level level)
{
	max_level = level;
}

enum log_level log__level(void)
{
	return max_level;
}

/* Names of processes and files go into messages: what a terminal would obey (C0, DEL, C1) must not.
 */
static void make_printable(char *p, const char *end)
{
	for (; p < end; p++) {
		unsigned char c = *p, next = p + 1 < end ? p[1] : 0;

		if (c < 0x20 || c == 0x7f)
			*p = '?';
		else if (c == 0xc2 && next >= 0x80 && next < 0xa0)
			*p = p[1] = '?';
	}
}

void log__printf(enum log_level level, const char *fmt, ...)
{
	static const char *const prefix[] = {"", "", "warning: ", "", "debug: "};
	char line[2048];
	int saved = errno, n, m;
	va_list ap;

	if (level > max_level)
		return;
	n = snprintf(line, sizeof(line), "memwatch: %s", prefix[level]);
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	if (m < 0)
		m = 0;
	n = n + m < (int)sizeof(line) - 1 ? n + m : (int)sizeof(line) - 2;
	make_printable(line, line + n);
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		(void)0; /* nowhere left to complain to */
	errno = saved;
}
