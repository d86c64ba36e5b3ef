/* SPDX-License-Identifier: GPL-2.0-or-later */
/* opener_server.c - the process memwatch-open and those that it forks, which open. */
#include "sys/opener_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/fdmsg.h"
#include "sys/privilege.h"
#include "sys/safeopen.h"

#define MOST_S 10 /* for one request: nobody waits for it any more */
#define SOCKET 3

struct order {
	struct opener_request q;
	char data[OPENER_MESSAGE];
};

/* What may be ended while it waits ends by itself. */
static void keep_time(int seconds)
{
	const struct itimerval t = {.it_value.tv_sec = seconds};

	setitimer(ITIMER_REAL, &t, NULL);
}

static int open_for(const struct order *a, int root, struct stat *st)
{
	const struct safeopen_owner owner = {a->q.uid, (int)a->q.or_readable_root};

	return safeopen__seen(root, a->data, (int)a->q.nofollow, a->q.has_owner ? &owner : NULL,
			      st);
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

/* False: the other side is gone. */
static bool serve_one(int sock, const struct order *a, const int fds[FDMSG_MAX_FDS])
{
	struct opener_answer to = {.result = -EINVAL};
	cleanup_fd int fd = -1;

	if (a->q.op == OPENER_OPEN) {
		fd = open_for(a, fds[0], &to.st);
		to.result = min_of(fd, 0);
	} else if (a->q.op == OPENER_STAT) {
		to.result = safeopen__stat(a->data, &to.st);
	} else if (a->q.op == OPENER_SEND) {
		to.result = send_for(a, fds);
	}
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
		if (a->q.op != OPENER_SEND && !util__is_text(a->data, a->q.len))
			break;
		keep_time(MOST_S);
		goes_on = serve_one(sock, a, fds);
		/* one that sent reads no more: the end of what it opened may have to be waited for
		 */
		goes_on &= a->q.op != OPENER_SEND;
		for (int i = 0; i < FDMSG_MAX_FDS; i++)
			util__close_fd(&fds[i]);
		keep_time(0);
	}
	_exit(0);
}

static void start(int control, int sock)
{
	sigset_t none;

	if (sock < 0 || fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigfillset(&none);
	sigdelset(&none, SIGALRM);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(control);
	open_for_ever(sock);
}

/* Whoever waits for the end of memwatch's output, or of another helper, does not wait for this. */
static void keep_only(int control)
{
	int null;

	if (dup2(control, SOCKET) < 0)
		_exit(1);
	syscall(SYS_close_range, SOCKET + 1, ~0U, 0);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	close(null);
}

_Noreturn void opener__serve(int control)
{
	sigset_t all;

	prctl(PR_SET_NAME, "memwatch-open");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* It is in the group that Ctrl-C goes to, and ends with memwatch instead. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_IGN);
	keep_only(control);
	if (privilege__keep(PRIVILEGE(OPEN)))
		_exit(1);
	privilege__raise(PRIVILEGE_OPEN);
	for (;;) {
		int fds[FDMSG_MAX_FDS];
		char c;

		if (fdmsg__recv(SOCKET, &c, sizeof(c), fds, 0) != sizeof(c))
			_exit(0);
		start(SOCKET, fds[0]);
		for (int i = 0; i < FDMSG_MAX_FDS; i++)
			util__close_fd(&fds[i]);
	}
}
