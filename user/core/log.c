/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/log.h"

#include "core/progress.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/textbuf.h"
#include "core/util.h"

#define MINUTE_NS 60000000000ULL

static enum log_level max_level = LOG_INFO;
static void (*divert)(void *arg, const char *line, size_t len);
static void *divert_arg;

void log__divert(void (*fn)(void *arg, const char *line, size_t len), void *arg)
{
	divert_arg = arg;
	divert = fn;
}

void log__set_level(enum log_level level)
{
	max_level = level;
}

enum log_level log__level(void)
{
	return max_level;
}

bool log__may_say(struct log_pace *p)
{
	uint64_t now = util__now_ns();

	if (!p->since_ns || now - p->since_ns > MINUTE_NS)
		*p = (struct log_pace){.since_ns = now};
	if (p->n == LOG_MANY)
		log_warn("more of this kind is not said for a minute");
	return p->n++ < LOG_MANY;
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
	line[n] = '\0';
	textbuf__printable(line); /* names of processes and files, which a terminal must not obey */
	line[n++] = '\n';
	progress__hide();
	if (divert)
		divert(divert_arg, line, n);
	else if (write(STDERR_FILENO, line, n) < 0)
		(void)0; /* nowhere left to complain to */
	errno = saved;
}
