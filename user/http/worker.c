/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * worker.c - the process that speaks HTTP: libmicrohttpd in one thread, and the socket to the
 * watching process. Clients that send too slowly are cut off: MHD's own time limit begins anew with
 * each byte.
 */
#include "http/server_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "core/util.h"
#include "sys/fdmsg.h"

#define SEC 1000000000ULL
#define HEAD_NS (10 * SEC) /* for a request's head, and between two of a connection */
#define IDLE_SECONDS 30u   /* in which a client takes or sends nothing at all */
#define POOL_BYTES ((size_t)HTTP_MAX_HEADER)

void worker__tell(enum http_message_kind kind, uint64_t ticket)
{
	struct http_message m = {.kind = kind, .ticket = ticket};

	if (fdmsg__send(WORKER_CONTROL, &m, sizeof(m), NULL, 0, NULL, 0, 0))
		_exit(0);
}

static struct exchange *find(struct worker *w, uint64_t ticket)
{
	for (struct exchange *x = w->exchanges; x; x = x->next) {
		if (x->ticket == ticket)
			return x;
	}
	return NULL;
}

static void obey(struct worker *w, const struct http_message *m, int *fd)
{
	struct exchange *x = find(w, m->ticket);

	if (!x)
		return;
	switch (m->kind) {
	case HTTP_REPLY: exchange__on_reply(x, m, take_fd(fd)); break;
	case HTTP_EVENT: exchange__on_event(x, m, take_fd(fd)); break;
	case HTTP_END: exchange__on_end(x); break;
	}
}

static void hear(struct worker *w)
{
	for (;;) {
		struct http_message m;
		int fds[FDMSG_MAX_FDS];
		ptrdiff_t n = fdmsg__recv(WORKER_CONTROL, &m, sizeof(m), fds, MSG_DONTWAIT);

		if (n == -EAGAIN)
			return;
		if (n != sizeof(m))
			_exit(0);
		obey(w, &m, &fds[0]);
		for (int i = 0; i < FDMSG_MAX_FDS; i++)
			util__close_fd(&fds[i]);
	}
}

static void on_connection(void *arg, struct MHD_Connection *c, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *fd =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct worker *w = arg;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		struct client *n = calloc(1, sizeof(*n));

		if (!n || !fd)
			_exit(1);
		*n = (struct client){w->clients, fd->connect_fd, util__now_ns(), false};
		w->clients = n;
		*context = n;
		return;
	}
	for (struct client **p = &w->clients; *p; p = &(*p)->next) {
		if (*p != *context)
			continue;
		*p = (*p)->next;
		free(*context);
		return;
	}
}

static void tick(struct worker *w)
{
	uint64_t now = util__now_ns();

	for (struct client *c = w->clients; c; c = c->next) {
		if (!c->busy && now - c->since_ns > HEAD_NS)
			shutdown(c->fd, SHUT_RDWR);
	}
	for (struct exchange *x = w->exchanges; x; x = x->next)
		exchange__tick(x, now);
}

static int wait_ms(struct worker *w, uint64_t next_tick)
{
	MHD_UNSIGNED_LONG_LONG ms;
	uint64_t now = util__now_ns(), left = next_tick > now ? (next_tick - now) / 1000000 + 1 : 0;

	if (MHD_get_timeout(w->mhd, &ms) == MHD_YES && ms < left)
		return (int)ms;
	return (int)left;
}

static struct MHD_Daemon *start(struct worker *w)
{
	return MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, exchange__handle, w,
		MHD_OPTION_LISTEN_SOCKET, WORKER_LISTENER, MHD_OPTION_CONNECTION_LIMIT,
		HTTP_MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, POOL_BYTES, MHD_OPTION_URI_LOG_CALLBACK,
		exchange__new, w, MHD_OPTION_NOTIFY_COMPLETED, exchange__free, w,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, w, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_END);
}

void worker__run(const struct access_rules *rules)
{
	struct worker w = {.rules = rules};
	uint64_t next_tick = util__now_ns() + SEC;
	const union MHD_DaemonInfo *epoll;

	/* tickets of a former worker are not taken for this one's */
	if (getrandom(&w.last_ticket, sizeof(w.last_ticket), 0) != sizeof(w.last_ticket))
		_exit(1);
	w.mhd = start(&w);
	epoll = w.mhd ? MHD_get_daemon_info(w.mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!epoll)
		_exit(1);
	worker__tell(HTTP_READY, 0);
	for (;;) {
		struct pollfd p[] = {{.fd = WORKER_CONTROL, .events = POLLIN},
				     {.fd = epoll->epoll_fd, .events = POLLIN}};

		poll(p, ARRAY_SIZE(p), wait_ms(&w, next_tick));
		if (p[0].revents)
			hear(&w);
		if (util__now_ns() >= next_tick) {
			tick(&w);
			next_tick = util__now_ns() + SEC;
		}
		MHD_run(w.mhd);
	}
}
