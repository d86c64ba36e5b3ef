/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/signals.h"

#define MAX_EVENTS 16
#define MAX_TIMERS 16
#define MAX_WAIT_MS 3600000

struct source {
	int fd;
	loop_fd_fn fn;
	void *arg;
};

struct timer {
	uint64_t due_ns;
	loop_fn fn;
	void *arg;
};

struct loop {
	int epoll_fd, signal_fd;
	struct source *source;
	size_t nsources, sources_cap;
	struct timer timer[MAX_TIMERS];
	unsigned ntimers;
	struct timer turn;	    /* due_ns: the longest wait */
	struct timer write, hangup; /* due_ns: unused */
	uint64_t end_ns;
	int signal;
	bool stop;
};

int loop__new(struct loop **ret)
{
	struct loop *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->end_ns = l->turn.due_ns = LOOP_NEVER;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	err = l->epoll_fd < 0 ? -errno : 0;
	l->signal_fd = signals__fd();
	if (!err)
		err = l->signal_fd < 0 ? l->signal_fd : loop__add_fd(l, l->signal_fd, NULL, NULL);
	if (err) {
		loop__free(l);
		return err;
	}
	*ret = l;
	return 0;
}

void loop__free(struct loop *l)
{
	if (!l)
		return;
	if (l->signal_fd >= 0)
		close(l->signal_fd);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	free(l->source);
	free(l);
}

int loop__add_fd(struct loop *l, int fd, loop_fd_fn fn, void *arg)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	if (array_reserve(l->source, l->sources_cap, l->nsources + 1))
		return -ENOMEM;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e))
		return -errno;
	l->source[l->nsources++] = (struct source){fd, fn, arg};
	return 0;
}

void loop__drop_fd(struct loop *l, int fd)
{
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	for (size_t i = 0; i < l->nsources; i++) {
		if (l->source[i].fd == fd)
			l->source[i--] = l->source[--l->nsources];
	}
}

int loop__add_timer(struct loop *l, uint64_t due_ns, loop_fn fn, void *arg, unsigned *ret_id)
{
	if (l->ntimers == MAX_TIMERS)
		return -ENOSPC;
	l->timer[l->ntimers] = (struct timer){due_ns, fn, arg};
	*ret_id = l->ntimers++;
	return 0;
}

void loop__set_timer(struct loop *l, unsigned id, uint64_t due_ns)
{
	l->timer[id].due_ns = due_ns;
}

void loop__each_turn(struct loop *l, uint64_t max_wait_ns, loop_fn fn, void *arg)
{
	l->turn = (struct timer){max_wait_ns, fn, arg};
}

void loop__on_write(struct loop *l, loop_fn fn, void *arg)
{
	l->write = (struct timer){0, fn, arg};
}

void loop__set_duration(struct loop *l, uint64_t duration_ns)
{
	l->end_ns = duration_ns ? util__now_ns() + duration_ns : LOOP_NEVER;
}

void loop__on_hangup(struct loop *l, loop_fn fn, void *arg)
{
	signals__hangup_is_news();
	l->hangup = (struct timer){0, fn, arg};
}

static void read_signals(struct loop *l)
{
	struct signalfd_siginfo si;

	while (read(l->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGUSR1) {
			if (l->write.fn)
				l->write.fn(l->write.arg);
		} else if (si.ssi_signo == SIGHUP && l->hangup.fn) {
			l->hangup.fn(l->hangup.arg);
		} else {
			signals__end_seen();
			signals__closing(true);
			l->signal = si.ssi_signo;
			l->stop = true;
		}
	}
}

static int wait_ms(const struct loop *l, uint64_t now)
{
	uint64_t due = l->end_ns, left;

	if (l->turn.due_ns < due && now + l->turn.due_ns < due)
		due = now + l->turn.due_ns;
	for (unsigned i = 0; i < l->ntimers; i++)
		due = min_of(due, l->timer[i].due_ns);
	left = due > now ? due - now : 0;
	return min_of(left / 1000000 + (left % 1000000 > 0), (uint64_t)MAX_WAIT_MS);
}

/* A callback may drop a source that is still to come. */
static void dispatch(struct loop *l, const struct epoll_event *e)
{
	if (e->data.fd == l->signal_fd) {
		read_signals(l);
		return;
	}
	for (size_t i = 0; i < l->nsources; i++) {
		struct source s = l->source[i];

		if (s.fd != e->data.fd)
			continue;
		if (s.fn)
			s.fn(s.arg, e->events);
		return;
	}
}

static void run_timers(struct loop *l)
{
	uint64_t now = util__now_ns();

	for (unsigned i = 0; i < l->ntimers && !l->stop; i++) {
		if (l->timer[i].due_ns > now)
			continue;
		l->timer[i].due_ns = LOOP_NEVER;
		l->timer[i].fn(l->timer[i].arg);
	}
}

int loop__run(struct loop *l)
{
	while (!l->stop && util__now_ns() < l->end_ns) {
		struct epoll_event e[MAX_EVENTS];
		int n = epoll_wait(l->epoll_fd, e, MAX_EVENTS, wait_ms(l, util__now_ns()));

		/* interrupted: the window may have got another size */
		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++)
			dispatch(l, &e[i]);
		if (l->turn.fn)
			l->turn.fn(l->turn.arg);
		if (util__now_ns() < l->end_ns)
			run_timers(l);
	}
	return 0;
}

void loop__stop(struct loop *l)
{
	l->stop = true;
}

int loop__signal(const struct loop *l)
{
	return l->signal;
}
