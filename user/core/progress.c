/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/progress.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/textbuf.h"
#include "core/util.h"

#define MAX_TEXT 200
#define DIGITS 12 /* columns for the seconds */

/* The handler, or the thread, reads what is written while the timer is off. */
static struct {
	bool usable, by_thread, runs, stop;
	pthread_t thread;
	pthread_mutex_t lock; /* of what is shown, where there is a thread */
	pthread_cond_t stopped;
	size_t width; /* columns of the line */
	char text[MAX_TEXT];
	size_t len;
	volatile sig_atomic_t seconds;
	volatile sig_atomic_t shown; /* columns that are on the screen */
} now = {.lock = PTHREAD_MUTEX_INITIALIZER, .stopped = PTHREAD_COND_INITIALIZER};

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

static void *each_second(void *arg)
{
	struct timespec next;

	clock_gettime(CLOCK_REALTIME, &next);
	pthread_mutex_lock(&now.lock);
	while (!now.stop) {
		next.tv_sec++;
		while (!now.stop &&
		       pthread_cond_timedwait(&now.stopped, &now.lock, &next) != ETIMEDOUT)
			;
		if (!now.stop)
			on_second(0);
	}
	pthread_mutex_unlock(&now.lock);
	return NULL;
}

static void measure_terminal(void)
{
	struct winsize size;

	now.width =
		ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 2 ? 79 : size.ws_col - 1U;
}

void progress__prepare(void)
{
	struct sigaction act = {.sa_handler = on_second, .sa_flags = SA_RESTART};

	if (!isatty(STDERR_FILENO) || sigaction(SIGALRM, &act, NULL))
		return;
	measure_terminal();
	now.usable = true;
}

void progress__prepare_thread(void)
{
	if (!isatty(STDERR_FILENO))
		return;
	measure_terminal();
	now.usable = now.by_thread = true;
}

/* Signals are for the main thread. */
static void start_thread(void)
{
	sigset_t all, old;

	now.stop = false;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	now.runs = !pthread_create(&now.thread, NULL, each_second, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void stop_thread(void)
{
	if (!now.runs)
		return;
	pthread_mutex_lock(&now.lock);
	now.stop = true;
	pthread_cond_signal(&now.stopped);
	pthread_mutex_unlock(&now.lock);
	pthread_join(now.thread, NULL);
	now.runs = false;
}

static void set_timer(time_t seconds)
{
	const struct itimerval t = {.it_interval.tv_sec = seconds, .it_value.tv_sec = seconds};

	if (!now.by_thread)
		setitimer(ITIMER_REAL, &t, NULL);
	else if (seconds)
		start_thread();
	else
		stop_thread();
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

static void wipe(void)
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

void progress__hide(void)
{
	if (now.runs)
		pthread_mutex_lock(&now.lock);
	wipe();
	if (now.runs)
		pthread_mutex_unlock(&now.lock);
}

void progress__end(void)
{
	if (!now.usable)
		return;
	set_timer(0);
	progress__hide();
}
