/* SPDX-License-Identifier: GPL-2.0-or-later */
/* opener_server.c - the process memwatch-open and those that it forks, which open. */
#include "sys/opener_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/crew.h"
#include "sys/fdmsg.h"
#include "sys/safeopen.h"

#define MOST_S 10 /* for one request: nobody waits for it any more */

struct order {
	struct opener_request q;
	char data[OPENER_MESSAGE];
};

static int open_for(const struct order *a, int root, struct opener_answer *to)
{
	const struct safeopen_owner owner = {a->q.uid, (int)a->q.or_readable_root};
	bool is_overlay = false;
	int fd = safeopen__seen(root, a->data, (int)a->q.nofollow, a->q.has_owner ? &owner : NULL,
				&to->st, &is_overlay);

	to->is_overlay = is_overlay;
	return fd;
}

/* fds: where to, and what to send along. */
static int send_for(const struct order *a, const int fds[FDMSG_MAX_FDS])
{
	int opened[FDMSG_MAX_FDS], err = 0;
	size_t n = 0;

	for (int i = 1; i < FDMSG_MAX_FDS && fds[i] >= 0 && !err; i++) {
		int fd = safeopen__only_seen(fds[i]) ? safeopen__reopen(fds[i]) : dup(fds[i]);

		err = fd < 0 ? fd : 0;
		if (!err)
			opened[n++] = fd;
	}
	return err ? err : fdmsg__send(fds[0], a->data, a->q.len, NULL, 0, opened, n, 0);
}

static uint64_t cpu_ns(void)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

/* False: the other side is gone. */
static bool serve_one(int sock, const struct order *a, const int fds[FDMSG_MAX_FDS])
{
	struct opener_answer to = {.result = -EINVAL};
	uint64_t before = cpu_ns();
	cleanup_fd int fd = -1;

	if (a->q.op == OPENER_OPEN) {
		fd = open_for(a, fds[0], &to);
		to.result = min_of(fd, 0);
	} else if (a->q.op == OPENER_REOPEN) {
		fd = safeopen__reopen(fds[0]);
		to.result = min_of(fd, 0);
	} else if (a->q.op == OPENER_STAT) {
		to.result = safeopen__stat(a->data, &to.st);
	} else if (a->q.op == OPENER_SEND) {
		to.result = send_for(a, fds);
	}
	to.cpu_ns = cpu_ns() - before;
	return !fdmsg__send(sock, &to, sizeof(to), NULL, 0, &fd, fd >= 0, 0);
}

static _Noreturn void open_for_ever(int sock)
{
	struct order *a = malloc(sizeof(*a));
	int32_t pid = getpid();
	bool goes_on = a && !fdmsg__send(sock, &pid, sizeof(pid), NULL, 0, NULL, 0, 0);

	while (goes_on) {
		int fds[FDMSG_MAX_FDS];
		ptrdiff_t n = fdmsg__recv(sock, a, sizeof(*a), fds, 0);

		if (n < (ptrdiff_t)sizeof(a->q) || (size_t)n != sizeof(a->q) + a->q.len)
			break;
		if (a->q.op <= OPENER_STAT && !util__is_text(a->data, a->q.len))
			break;
		crew__keep_time(MOST_S);
		goes_on = serve_one(sock, a, fds);
		/* one that sent reads no more: the end of what it opened may have to be waited for
		 */
		goes_on &= a->q.op != OPENER_SEND;
		for (int i = 0; i < FDMSG_MAX_FDS; i++)
			util__close_fd(&fds[i]);
		crew__keep_time(0);
	}
	_exit(0);
}

static void start(const void *order, const int *fds)
{
	if (fds[0] >= 0 && crew__fork())
		open_for_ever(fds[0]);
}

_Noreturn void opener__serve(int control)
{
	static const struct crew_service service = {"memwatch-open", PRIVILEGE_OPEN, 1, start};

	crew__serve(&service, control);
}
