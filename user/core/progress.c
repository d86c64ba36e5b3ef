/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/progress.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/textbuf.h"
#include "core/util.h"

#define MAX_TEXT 200
#define DIGITS 12 /* columns for the seconds */

/* The handler reads what is written while the timer is off. */
static struct {
	bool usable;
	size_t width; /* columns of the line */
	char text[MAX_TEXT];
	size_t len;
	volatile sig_atomic_t seconds;
	volatile sig_atomic_t shown; /* columns that are on the screen */
} now;

/* As in a signal handler: write alone. */
static void put(const char *text, size_t len)
{
	if (write(STDERR_FILENO, text, len) < 0)
		now.usable = false;
}

static void on_second(int sig)
{
	char line[MAX_TEXT + 2 * DIGITS], digits[DIGITS];
	int saved = errno, seconds = now.seconds + 1, n = 0;
	size_t len = 0;

	now.seconds = seconds;
	for (; seconds && n < DIGITS - 2; seconds /= 10)
		digits[n++] = (char)('0' + seconds % 10);
	line[len++] = '\r';
	memcpy(line + len, now.text, now.len);
	len += now.len;
	memcpy(line + len, "... ", 4);
	len += 4;
	while (n)
		line[len++] = digits[--n];
	line[len++] = 's';
	put(line, len);
	now.shown = (sig_atomic_t)len - 1;
	errno = saved;
}

void progress__prepare(void)
{
	struct sigaction act = {.sa_handler = on_second, .sa_flags = SA_RESTART};
	struct winsize size;

	if (!isatty(STDERR_FILENO) || sigaction(SIGALRM, &act, NULL))
		return;
	now.width =
		ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 2 ? 79 : size.ws_col - 1U;
	now.usable = true;
}

static void set_timer(time_t seconds)
{
	const struct itimerval t = {.it_interval.tv_sec = seconds, .it_value.tv_sec = seconds};

	setitimer(ITIMER_REAL, &t, NULL);
}

void progress__begin(const char *format, ...)
{
	char text[MAX_TEXT];
	size_t room = now.width > DIGITS ? now.width - DIGITS : 0;
	va_list ap;

	if (!now.usable)
		return;
	progress__end();
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	now.len = (size_t)max_of(
		snprintf(now.text, sizeof(now.text), "memwatch: %s", textbuf__printable(text)), 0);
	now.len = min_of(min_of(now.len, sizeof(now.text) - 1), room);
	now.seconds = 0;
	set_timer(1);
}

void progress__hide(void)
{
	char blank[MAX_TEXT + 2 * DIGITS];
	size_t n = (size_t)now.shown;

	if (!n || n + 2 > sizeof(blank))
		return;
	now.shown = 0;
	memset(blank, ' ', sizeof(blank));
	blank[0] = blank[n + 1] = '\r';
	put(blank, n + 2);
}

void progress__end(void)
{
	if (!now.usable)
		return;
	set_timer(0);
	progress__hide();
}
