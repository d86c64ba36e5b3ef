/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crew_server.c - see crew.h: the process that forks workers, and what they have in common. */
#include "sys/crew.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/fdmsg.h"

#define SOCKET 3

void crew__keep_time(int seconds)
{
	const struct itimerval t = {.it_value.tv_sec = seconds};

	setitimer(ITIMER_REAL, &t, NULL);
}

bool crew__fork(void)
{
	sigset_t none;

	if (fork())
		return false;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigfillset(&none);
	sigdelset(&none, SIGALRM);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(SOCKET);
	return true;
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

_Noreturn void crew__serve(const struct crew_service *s, int control)
{
	sigset_t all;

	prctl(PR_SET_NAME, s->name);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* It is in the group that Ctrl-C goes to, and ends with memwatch instead. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_IGN);
	keep_only(control);
	if (privilege__keep(1u << s->privilege))
		_exit(1);
	privilege__raise(s->privilege);
	for (;;) {
		int fds[FDMSG_MAX_FDS];
		_Alignas(8) char order[CREW_MAX_ORDER];

		if (fdmsg__recv(SOCKET, order, sizeof(order), fds, 0) != (ptrdiff_t)s->order_len)
			_exit(0);
		s->start(order, fds);
		for (int i = 0; i < FDMSG_MAX_FDS; i++)
			util__close_fd(&fds[i]);
	}
}
