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
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		(void)0; /* nowhere left to complain to */
	errno = saved;
}
