/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>

#include "core/util.h"

static uint64_t end_ns; /* when the end was asked for */
static bool end_seen;

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

	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGPIPE, SIG_DFL);
}

int signals__fd(void)
{
	sigset_t set = handled();
	int fd;

	signals__block();
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* One of the signals that end a run waits to be read. */
static bool end_waits(void)
{
	sigset_t set;

	return !sigpending(&set) && (sigismember(&set, SIGINT) || sigismember(&set, SIGTERM) ||
				     sigismember(&set, SIGHUP));
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
	if (!__atomic_load_n(&end_seen, __ATOMIC_RELAXED) && end_waits())
		note_end();
	return __atomic_load_n(&end_ns, __ATOMIC_RELAXED);
}

bool signals__end_again(void)
{
	return __atomic_load_n(&end_seen, __ATOMIC_RELAXED) && end_waits();
}
