/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * signals.c - see signals.h. Once signals__watch has run, one thread takes the signals, at once
 * whatever the main thread is doing, hands them on over a pipe, and keeps the time from the first
 * that asks for the end.
 */
#include "sys/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>

#include "core/exit.h"
#include "core/util.h"

#define MS 1000000ULL
#define IDLE_MS 3600000
#define STACK_BYTES (64 << 10)

static uint64_t end_ns; /* when the end was asked for */
static bool end_seen;
static bool hangup_is_news; /* SIGHUP asks for something else than the end */

static struct {
	bool on, off;
	int pipe[2];
	int unfinished;	   /* things that the end waits for */
	bool closing;	   /* the main thread is at it */
	uint64_t waits_ns; /* since when it waits for others */
	uint64_t moved_ns; /* what must be finished has come further */
	void (*forced)(void), (*remove_file)(void);
} guard = {.pipe = {-1, -1}};

static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;
static char file[PATH_MAX]; /* that is being written */

static sigset_t handled(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	return set;
}

void signals__block(void)
{
	sigset_t set = handled();

	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

void signals__unblock(void)
{
	sigset_t set = handled();

	__atomic_store_n(&guard.off, true, __ATOMIC_RELAXED);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGPIPE, SIG_DFL);
}

int signals__fd(void)
{
	sigset_t set = handled();
	int fd;

	signals__block();
	if (guard.on)
		fd = fcntl(guard.pipe[0], F_DUPFD_CLOEXEC, 3);
	else
		fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

void signals__hangup_is_news(void)
{
	__atomic_store_n(&hangup_is_news, true, __ATOMIC_RELAXED);
}

static bool asks_for_end(int sig)
{
	return sig == SIGINT || sig == SIGTERM ||
	       (sig == SIGHUP && !__atomic_load_n(&hangup_is_news, __ATOMIC_RELAXED));
}

/* One of the signals that end a run waits to be read. */
bool signals__end_waits(void)
{
	sigset_t set;

	if (guard.on)
		return __atomic_load_n(&end_ns, __ATOMIC_RELAXED) &&
		       !__atomic_load_n(&end_seen, __ATOMIC_RELAXED);
	if (sigpending(&set))
		return false;
	for (int sig = 1; sig < SIGRTMIN; sig++) {
		if (asks_for_end(sig) && sigismember(&set, sig))
			return true;
	}
	return false;
}

static void note_end(void)
{
	uint64_t never = 0;

	__atomic_compare_exchange_n(&end_ns, &never, util__now_ns(), false, __ATOMIC_RELAXED,
				    __ATOMIC_RELAXED);
}

void signals__end_seen(void)
{
	note_end();
	__atomic_store_n(&end_seen, true, __ATOMIC_RELAXED);
}

uint64_t signals__end_ns(void)
{
	if (!__atomic_load_n(&end_seen, __ATOMIC_RELAXED) && signals__end_waits())
		note_end();
	return __atomic_load_n(&end_ns, __ATOMIC_RELAXED);
}

bool signals__end_again(void)
{
	return __atomic_load_n(&end_seen, __ATOMIC_RELAXED) && signals__end_waits();
}

/* --- the end by force --- */

void signals__finish_first(bool on)
{
	__atomic_add_fetch(&guard.unfinished, on ? 1 : -1, __ATOMIC_RELAXED);
}

void signals__closing(bool on)
{
	__atomic_store_n(&guard.waits_ns, util__now_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&guard.closing, on, __ATOMIC_RELAXED);
}

void signals__at_forced_end(void (*fn)(void))
{
	__atomic_store_n(&guard.forced, fn, __ATOMIC_RELAXED);
}

void signals__removes_file(void (*fn)(void))
{
	__atomic_store_n(&guard.remove_file, fn, __ATOMIC_RELAXED);
}

void signals__last_words(int fd, const char *text)
{
	int flags = fcntl(fd, F_GETFL);
	ssize_t n;

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	n = write(fd, text, strlen(text));
	(void)n; /* there is nobody left to tell */
	fcntl(fd, F_SETFL, flags);
}

bool signals__unfinished(void)
{
	return __atomic_load_n(&guard.unfinished, __ATOMIC_RELAXED) > 0;
}

void signals__goes_on(void)
{
	__atomic_store_n(&guard.moved_ns, util__now_ns(), __ATOMIC_RELAXED);
}

void signals__unfinished_file(const char *path)
{
	pthread_mutex_lock(&file_lock);
	snprintf(file, sizeof(file), "%s", path ? path : "");
	pthread_mutex_unlock(&file_lock);
}

static void name_file(void)
{
	char text[PATH_MAX + 64];

	pthread_mutex_lock(&file_lock);
	snprintf(text, sizeof(text), "memwatch: '%s' is not finished\n", file);
	if (file[0])
		signals__last_words(STDERR_FILENO, text);
	pthread_mutex_unlock(&file_lock);
}

static _Noreturn void force(const char *why)
{
	void (*fn)(void) = __atomic_load_n(&guard.forced, __ATOMIC_RELAXED);
	void (*remove_file)(void) = __atomic_load_n(&guard.remove_file, __ATOMIC_RELAXED);

	if (fn)
		fn();
	if (remove_file)
		remove_file();
	name_file();
	signals__last_words(STDERR_FILENO, why);
	_exit(signals__unfinished() ? EXIT_FAILED : EXIT_DONE);
}

static void check_time(void)
{
	uint64_t end = __atomic_load_n(&end_ns, __ATOMIC_RELAXED), now = util__now_ns();
	uint64_t waits = __atomic_load_n(&guard.waits_ns, __ATOMIC_RELAXED);

	if (!end || __atomic_load_n(&guard.off, __ATOMIC_RELAXED) || now < end)
		return;
	if (now > max_of(end, __atomic_load_n(&guard.moved_ns, __ATOMIC_RELAXED)) +
			  SIGNALS_UNFINISHED_MS * MS)
		force("memwatch: ended by a signal, before everything was written\n");
	if (signals__unfinished() || __atomic_load_n(&guard.closing, __ATOMIC_RELAXED))
		return;
	if (now > max_of(end + SIGNALS_END_MS * MS, waits + SIGNALS_WAITING_MS * MS))
		force("memwatch: ended by a signal in the middle of its work\n");
}

static void hand_on(int sig)
{
	struct signalfd_siginfo si = {.ssi_signo = sig};
	ssize_t n = write(guard.pipe[1], &si, sizeof(si));

	(void)n; /* full: more are waiting than anybody sent in earnest */
}

static void *watch_signals(void *arg)
{
	sigset_t set = handled();
	bool asked = false;

	for (;;) {
		uint64_t ms = asked ? 50 : IDLE_MS;
		struct timespec wait = {ms / 1000, (long)(ms % 1000) * (long)MS};
		int sig = sigtimedwait(&set, NULL, &wait);

		if (sig > 0 && asks_for_end(sig)) {
			if (asked && !__atomic_load_n(&guard.off, __ATOMIC_RELAXED))
				force("memwatch: ended by a second signal\n");
			asked = true;
			note_end();
		}
		if (sig > 0)
			hand_on(sig);
		check_time();
	}
	return NULL;
}

int signals__watch(void)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	if (guard.on)
		return 0;
	signals__block();
	if (pipe2(guard.pipe, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, watch_signals, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		util__close_fd(&guard.pipe[0]);
		util__close_fd(&guard.pipe[1]);
		return -err;
	}
	guard.on = true;
	return 0;
}
