/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server.c - the child, executed anew: confines itself, and starts workers that speak HTTP, one at
 * a time: when one crashes, the next takes its place. It hears of nothing but the first message. */
#include "http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "core/util.h"
#include "http/server_priv.h"
#include "sys/fdmsg.h"
#include "sys/sandbox.h"
#include "sys/selfexec.h"

#define WORKER_MEMORY (128ULL << 20)
#define PAUSE_MS 200 /* between a worker's crash and the next */

/* Connections, their answers, events, and what the library needs. */
#define WORKER_FILES                                                                            \
	(HTTP_MAX_CONNECTIONS + HTTP_MAX_WAITING + (HTTP_EVENTS_AHEAD + 1) * HTTP_MAX_STREAMS + \
	 FDMSG_MAX_FDS + 16)

static struct access_rules rules;

static void hear_rules(void)
{
	struct http_config c;
	int fds[FDMSG_MAX_FDS];

	if (fdmsg__recv(WORKER_CONTROL, &c, sizeof(c), fds, 0) != sizeof(c) || fds[0] < 0)
		_exit(1);
	if (fds[0] != WORKER_LISTENER && dup2(fds[0], WORKER_LISTENER) < 0)
		_exit(1);
	fcntl(WORKER_LISTENER, F_SETFD, FD_CLOEXEC);
	syscall(SYS_close_range, WORKER_LISTENER + 1, ~0U, 0);
	rules = c.rules;
	explicit_bzero(&c, sizeof(c));
}

static void confine(struct sock_fprog *ret_worker)
{
	struct sandbox_limits l = {.memory_bytes = WORKER_MEMORY,
				   .base_bytes = sandbox__memory(),
				   .file_bytes = 0,
				   .files = WORKER_FILES,
				   .processes = 4,
				   .cpu_seconds = SANDBOX_NO_LIMIT};
	struct sock_fprog starter = {0};
	int no_calls = sandbox__compile(SANDBOX_SERVER_STARTER, &starter);

	if (no_calls || sandbox__compile(SANDBOX_SERVER, ret_worker))
		*ret_worker = (struct sock_fprog){0};
	prctl(PR_SET_NAME, "memwatch-web");
	sandbox__enter(&l);
	if (!no_calls)
		sandbox__apply(&starter);
	free(starter.filter);
}

static void begin_worker(const struct sock_fprog *filter)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "memwatch-http");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (filter->filter)
		sandbox__apply(filter);
	worker__run(&rules);
	_exit(1);
}

/* Until the worker ends, or the watching process does. */
static void watch_worker(pid_t pid, const sigset_t *waiting)
{
	for (int status;;) {
		struct pollfd p = {.fd = WORKER_CONTROL, .events = POLLRDHUP};

		if (waitpid(pid, &status, WNOHANG) == pid)
			return;
		if (ppoll(&p, 1, NULL, waiting) > 0) {
			kill(pid, SIGKILL);
			_exit(0);
		}
	}
}

static _Noreturn void starter(void)
{
	struct sock_fprog filter;
	sigset_t waiting;

	selfexec__begin(&waiting);
	hear_rules();
	confine(&filter);
	for (;;) {
		pid_t pid = fork();

		if (!pid)
			begin_worker(&filter);
		if (pid > 0)
			watch_worker(pid, &waiting);
		poll(NULL, 0, PAUSE_MS);
	}
}

void server__serve_if_asked(int argc, char **argv)
{
	if (selfexec__asked(argc, argv, HTTP_ARGUMENT))
		starter();
}
