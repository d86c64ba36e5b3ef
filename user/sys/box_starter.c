/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * box_starter.c - the other side: the starter, which confines itself and forks helpers, and a
 * helper's loop. Runs in a program executed anew; nothing here is trusted once a helper has read
 * its first byte.
 */
#include "sys/box_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/sandbox.h"
#include "sys/selfexec.h"

#define CONTROL 0 /* the starter's socket */
#define SOCKET 3  /* a helper's */
#define MAX_HELPERS 256

struct box_conn {
	int sock;
};

struct kid {
	pid_t pid;
	uint32_t id;
};

struct starter {
	int null; /* for what helpers would print; -1: none */
	struct sock_fprog reader;
	uint64_t base_bytes;
	struct kid kids[MAX_HELPERS];
	size_t n;
};

void box_conn__answer(struct box_conn *c, int result, const void *data, size_t len, bool more)
{
	struct box_head h = {.result = result, .len = len, .more = more};

	if (len > BOX_MAX_MESSAGE || fdmsg__send(c->sock, &h, sizeof(h), data, len, NULL, 0, 0))
		_exit(0);
}

static _Noreturn void helper(box_serve_fn serve)
{
	static union {
		char buf[sizeof(struct box_head) + BOX_MAX_MESSAGE];
		max_align_t align;
	} in;
	struct box_conn c = {.sock = SOCKET};

	for (;;) {
		struct box_head h;
		struct box_request r = {0};
		ptrdiff_t n = fdmsg__recv(c.sock, &in, sizeof(in), r.fds, 0);

		if (n < (ptrdiff_t)sizeof(h))
			_exit(0);
		memcpy(&h, &in, sizeof(h));
		if (h.len != n - sizeof(h))
			_exit(0);
		r.op = h.op;
		r.data = in.buf + sizeof(h);
		r.len = h.len;
		serve(&c, &r);
		for (int i = 0; i < BOX_MAX_FDS; i++)
			util__close_fd(&r.fds[i]);
	}
}

/* One that waits for ever for somebody's file would keep whoever reads what memwatch prints
 * waiting, too. */
static void leave_streams(const struct starter *s)
{
#ifndef __SANITIZE_ADDRESS__ /* which has something to say there */
	if (s->null >= 0 && (dup2(s->null, STDOUT_FILENO) < 0 || dup2(s->null, STDERR_FILENO) < 0))
		_exit(1);
#endif
}

static _Noreturn void begin_helper(const struct starter *s, const struct box_order *o, int sock)
{
	const struct sandbox_limits l = {
		.memory_bytes = o->memory_bytes,
		.base_bytes = s->base_bytes,
		.file_bytes = o->memory_bytes / 4,
		.files = 16,
		.processes = 0,
		.cpu_seconds = o->cpu_seconds,
	};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "memwatch-parse");
	leave_streams(s); /* first: what leads nowhere may have the number that the socket gets */
	if (dup2(sock, SOCKET) < 0 || fcntl(SOCKET, F_SETFD, FD_CLOEXEC))
		_exit(1);
	close(CONTROL);
	syscall(SYS_close_range, SOCKET + 1, ~0U, 0);
	signal(SIGXFSZ, SIG_IGN); /* an error will do */
	sandbox__limit(&l);
	sandbox__apply(&s->reader); /* where there is none, limits and user remain */
	helper(box__services[o->service]);
}

static void tell(const struct box_news *n)
{
	if (fdmsg__send(CONTROL, n, sizeof(*n), NULL, 0, NULL, 0, 0))
		_exit(0);
}

static void start_kid(struct starter *s, const struct box_order *o, int sock)
{
	struct box_news news = {.what = BOX_STARTED, .id = o->id};
	pid_t pid = -1;

	if (s->n < MAX_HELPERS && o->service < BOX_SERVICES && box__services[o->service] &&
	    sock >= 0)
		pid = fork();
	if (!pid)
		begin_helper(s, o, sock);
	if (pid > 0)
		s->kids[s->n++] = (struct kid){pid, o->id};
	news.pid = pid > 0 ? pid : -1;
	tell(&news);
}

static void reap(struct starter *s)
{
	struct rusage ru;
	int status;
	pid_t pid;

	while ((pid = wait4(-1, &status, WNOHANG, &ru)) > 0) {
		struct box_news news = {.what = BOX_ENDED, .pid = pid, .status = status};

		news.cpu_ns = (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000000ULL +
			      (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1000ULL;
		news.peak_bytes = (uint64_t)ru.ru_maxrss << 10;
		for (size_t i = 0; i < s->n; i++) {
			if (s->kids[i].pid != pid)
				continue;
			news.id = s->kids[i].id;
			s->kids[i] = s->kids[--s->n];
			tell(&news);
			break;
		}
	}
}

static void obey(struct starter *s)
{
	int fds[BOX_MAX_FDS];
	struct box_order o;
	ptrdiff_t n = fdmsg__recv(CONTROL, &o, sizeof(o), fds, 0);

	if (n != sizeof(o))
		_exit(0); /* and the kernel ends the helpers */
	if (o.op == BOX_START)
		start_kid(s, &o, fds[0]);
	for (size_t i = 0; o.op == BOX_KILL && i < s->n; i++) {
		if (s->kids[i].id == o.id)
			kill(s->kids[i].pid, SIGKILL);
	}
	for (int i = 0; i < BOX_MAX_FDS; i++)
		util__close_fd(&fds[i]);
}

static void confine(struct starter *s)
{
	static const struct sandbox_limits l = {.memory_bytes = SANDBOX_NO_LIMIT,
						.file_bytes = SANDBOX_NO_LIMIT,
						.files = SANDBOX_NO_LIMIT,
						.processes = SANDBOX_NO_LIMIT,
						.cpu_seconds = SANDBOX_NO_LIMIT};
	struct sock_fprog starter = {0};
	int no_calls = sandbox__compile(SANDBOX_STARTER, &starter);

	prctl(PR_SET_NAME, "memwatch-box");
	sandbox__enter(&l);
	s->base_bytes = sandbox__memory() ?: s->base_bytes;
	if (!no_calls)
		sandbox__apply(&starter);
	free(starter.filter);
}

static _Noreturn void starter(void)
{
	struct starter *s = calloc(1, sizeof(*s));
	struct box_news ready = {.what = BOX_READY};
	sigset_t waiting;

	if (!s)
		_exit(1);
	selfexec__begin(&waiting);
	sandbox__compile(SANDBOX_READER, &s->reader);
	s->base_bytes = sandbox__memory();
	s->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	confine(s);
	tell(&ready);
	for (;;) {
		struct pollfd p = {.fd = CONTROL, .events = POLLIN};

		if (ppoll(&p, 1, NULL, &waiting) > 0)
			obey(s);
		reap(s);
	}
}

void box__serve_if_asked(int argc, char **argv)
{
	if (selfexec__asked(argc, argv, BOX_ARGUMENT))
		starter();
}
