/* SPDX-License-Identifier: GPL-2.0-or-later */
/* http.c - this process's side: which requests wait for an answer, and what goes over the socket.
 * Nothing that the child says is believed: it may have been taken over by a client. */
#include "http/http_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "core/textbuf.h"
#include "core/util.h"
#include "http/listen.h"
#include "sys/fdmsg.h"
#include "sys/selfexec.h"

#define MAX_TICKETS (HTTP_MAX_WAITING + HTTP_MAX_STREAMS)
#define MESSAGES_A_TURN 64
#define SOCKET_ROOM (1 << 20)

struct ticket {
	uint64_t id;
	bool stream;
	unsigned ahead; /* events that the client has not taken yet */
};

struct http {
	int sock;
	pid_t pid;
	struct listener listener;
	struct access_rules rules;
	char *address, *url;
	struct ticket tickets[MAX_TICKETS];
	size_t ntickets;
	char in[sizeof(struct http_message) + HTTP_MAX_MESSAGE + 1];
};

static int set_hosts(struct access_rules *r, const struct http_opts *o)
{
	size_t at = 0;

	for (size_t i = 0; i < o->nhosts; i++) {
		size_t n = strlen(o->hosts[i]) + 1;

		if (n == 1 || at + n >= sizeof(r->hosts)) {
			log_error("'%s': too many or empty names of this server", o->hosts[i]);
			return -EINVAL;
		}
		memcpy(r->hosts + at, o->hosts[i], n);
		at += n;
	}
	return 0;
}

static int set_token(struct http *h, const char *file)
{
	char kept[ACCESS_TOKEN_LEN + 64];
	int err;

	if (!h->listener.port)
		return 0;
	err = file ? listener__read_token(file, kept, sizeof(kept)) : -ENOENT;
	if (err && err != -ENOENT)
		return err;
	if (access__new(&h->rules, err ? NULL : kept, h->listener.port)) {
		log_error("'%s' holds no token: %d letters and digits", file ? file : "",
			  ACCESS_TOKEN_LEN);
		return -EINVAL;
	}
	return file && err ? listener__keep_token(file, h->rules.token) : 0;
}

static int name_address(struct http *h)
{
	bool tcp = h->listener.port;

	if (asprintf(&h->address, "%s%s", tcp ? "http://" : "", h->listener.address) < 0 ||
	    asprintf(&h->url, "%s%s%s", h->address, tcp ? "/?token=" : "", h->rules.token) < 0)
		return -ENOMEM;
	return 0;
}

static int start_child(struct http *h)
{
	struct http_config c = {.head.kind = HTTP_CONFIG, .rules = h->rules};
	int pair[2], err, room = SOCKET_ROOM;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	h->sock = pair[0];
	err = selfexec__spawn(HTTP_ARGUMENT, pair[1], &h->pid);
	close(pair[1]);
	if (err)
		h->pid = -1;
	else
		err = fdmsg__send(h->sock, &c, sizeof(c), NULL, 0, &h->listener.fd, 1, 0);
	explicit_bzero(&c, sizeof(c));
	if (err)
		log_error("failed to start the process that speaks HTTP: %s", strerror(-err));
	return err;
}

int http__start(const struct http_opts *o, struct http **ret)
{
	struct http *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return -ENOMEM;
	h->sock = h->pid = h->listener.fd = -1;
	err = listener__open(o->listen ?: HTTP_DEFAULT_ADDRESS, o->group, &h->listener);
	if (!err)
		err = set_hosts(&h->rules, o);
	if (!err)
		err = set_token(h, o->token_file);
	if (!err)
		err = name_address(h);
	if (!err)
		err = start_child(h);
	if (err) {
		http__free(h);
		return err;
	}
	/* the child has it: what is forked from here has no use for it */
	util__close_fd(&h->listener.fd);
	h->listener.fd = -1;
	*ret = h;
	return 0;
}

void http__free(struct http *h)
{
	if (!h)
		return;
	util__close_fd(&h->sock);
	for (int i = 0; h->pid > 0 && i < 100 && !waitpid(h->pid, NULL, WNOHANG); i++)
		usleep(10000);
	listener__close(&h->listener);
	free(h->address);
	if (h->url)
		explicit_bzero(h->url, strlen(h->url));
	free(h->url);
	explicit_bzero(&h->rules, sizeof(h->rules));
	free(h);
}

const char *http__address(const struct http *h)
{
	return h->address;
}

const char *http__token(const struct http *h)
{
	return *h->rules.token ? h->rules.token : NULL;
}

const char *http__url(const struct http *h)
{
	return h->url;
}

pid_t http__pid(const struct http *h)
{
	return h->pid;
}

int http__fd(const struct http *h)
{
	return h->sock;
}

const char *http_request__param(const struct http_request *r, const char *name)
{
	for (size_t i = 0; i < r->nquery; i++) {
		if (!strcmp(r->query[i].name, name))
			return r->query[i].value;
	}
	return NULL;
}

static struct ticket *find(struct http *h, uint64_t id)
{
	for (size_t i = 0; i < h->ntickets; i++) {
		if (h->tickets[i].id == id)
			return &h->tickets[i];
	}
	return NULL;
}

static void drop(struct http *h, struct ticket *t)
{
	*t = h->tickets[--h->ntickets];
}

/* The next string of a message, or NULL at its end. */
static const char *next_string(const char **at, const char *end)
{
	const char *s = *at, *nul = s < end ? memchr(s, '\0', end - s) : NULL;

	if (!nul)
		return NULL;
	*at = nul + 1;
	return s;
}

bool http_request__decode(const struct http_message *m, char *data, size_t len,
			  struct http_param *query, struct http_request *r)
{
	const char *at = data, *end = data + len;

	if (m->status > HTTP_MAX_PARAMS || m->body_len > HTTP_MAX_BODY)
		return false;
	*r = (struct http_request){.ticket = m->ticket,
				   .query = query,
				   .nquery = m->status,
				   .body_len = m->body_len,
				   .gzip = m->flag};
	r->method = next_string(&at, end);
	r->path = next_string(&at, end);
	r->host = next_string(&at, end);
	for (size_t i = 0; i < r->nquery; i++) {
		query[i].name = next_string(&at, end);
		query[i].value = next_string(&at, end);
		if (!query[i].value)
			return false;
	}
	r->body = at;
	data[len] = '\0';
	return r->host && (size_t)(end - at) == r->body_len && access__path(r->path) &&
	       (!strcmp(r->method, "GET") || !strcmp(r->method, "POST"));
}

static void on_request(struct http *h, const struct http_message *m, size_t len, http_request_fn fn,
		       void *ctx)
{
	struct http_param query[HTTP_MAX_PARAMS];
	struct http_request r;

	if (h->ntickets == MAX_TICKETS || find(h, m->ticket) ||
	    !http_request__decode(m, h->in + sizeof(*m), len - sizeof(*m), query, &r)) {
		log_debug("http: a request that makes no sense");
		return;
	}
	h->tickets[h->ntickets++] = (struct ticket){.id = m->ticket};
	fn(ctx, h, &r);
}

static void on_gone(struct http *h, struct ticket *t, http_gone_fn gone, void *ctx)
{
	uint64_t id = t->id;

	drop(h, t);
	if (gone)
		gone(ctx, h, id);
}

static void on_message(struct http *h, size_t len, http_request_fn fn, http_gone_fn gone, void *ctx)
{
	struct http_message m;
	struct ticket *t;

	if (len < sizeof(m))
		return;
	memcpy(&m, h->in, sizeof(m));
	t = find(h, m.ticket);
	switch (m.kind) {
	case HTTP_READY:
		while (h->ntickets)
			on_gone(h, &h->tickets[0], gone, ctx);
		break;
	case HTTP_REQUEST: on_request(h, &m, len, fn, ctx); break;
	case HTTP_GONE:
		if (t)
			on_gone(h, t, gone, ctx);
		break;
	case HTTP_TAKEN:
		if (t && t->ahead)
			t->ahead--;
		break;
	}
}

int http__serve(struct http *h, http_request_fn fn, http_gone_fn gone, void *ctx)
{
	for (int i = 0; i < MESSAGES_A_TURN && h->sock >= 0; i++) {
		int fds[FDMSG_MAX_FDS];
		ptrdiff_t n = fdmsg__recv(h->sock, h->in, sizeof(h->in) - 1, fds, MSG_DONTWAIT);

		for (int k = 0; k < FDMSG_MAX_FDS; k++) /* none is expected */
			util__close_fd(&fds[k]);
		if (n == -EAGAIN)
			return 0;
		if (!n || n == -ECONNRESET) {
			while (h->ntickets)
				on_gone(h, &h->tickets[0], gone, ctx);
			return -EPIPE;
		}
		if (n > 0)
			on_message(h, n, fn, gone, ctx);
	}
	return 0;
}

/* A message with a file that holds head and body. The socket has room for all tickets and events
 * that there may be; a child that reads none of them is not waited for. */
static int send_file(struct http *h, struct http_message *m, const void *head, const void *body)
{
	cleanup_fd int fd = memfd_create("memwatch-answer", MFD_CLOEXEC);
	int err = fd < 0 ? -errno : util__write_all(fd, head, m->head_len);

	if (!err)
		err = util__write_all(fd, body, m->body_len);
	if (!err)
		err = fdmsg__send(h->sock, m, sizeof(*m), NULL, 0, &fd, 1, MSG_DONTWAIT);
	return err == -EAGAIN || err == -EPIPE || err == -ECONNRESET ? -ESRCH : err;
}

static int send_answer(struct http *h, uint64_t ticket, const struct http_answer *a)
{
	const char *type = a->content_type ?: "text/plain; charset=utf-8";
	struct textbuf head = {0};
	struct http_message m = {.kind = HTTP_REPLY,
				 .status = a->status ?: 200,
				 .ticket = ticket,
				 .body_len = a->stream ? 0 : a->len,
				 .flag = a->stream};
	int err;

	textbuf__raw(&head, type, strlen(type) + 1);
	if (a->headers)
		textbuf__str(&head, a->headers);
	textbuf__raw(&head, "", 1);
	m.head_len = head.len;
	err = head.err				  ? head.err
	      : m.body_len > HTTP_MAX_ANSWER	  ? -EFBIG
	      : m.head_len > HTTP_MAX_ANSWER_HEAD ? -EFBIG
						  : send_file(h, &m, head.text, a->body);
	textbuf__free(&head);
	return err;
}

int http__reply(struct http *h, uint64_t ticket, const struct http_answer *a)
{
	struct ticket *t = find(h, ticket);
	int err;

	if (!t || t->stream)
		return -ESRCH;
	err = send_answer(h, ticket, a);
	if (!err && a->stream)
		t->stream = true;
	else if (err != -EFBIG && err != -ENOMEM) /* the caller may still say so */
		drop(h, t);
	return err;
}

int http__reply_text(struct http *h, uint64_t ticket, unsigned status, const char *fmt, ...)
{
	cleanup_free char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	return http__reply(h, ticket,
			   &(struct http_answer){.status = status, .body = text, .len = n});
}

/* "event: name", then a "data: " for each line. */
static void format_event(struct textbuf *b, const char *name, const char *data, size_t len)
{
	if (name)
		textbuf__format(b, "event: %s\n", name);
	for (size_t at = 0; at <= len;) {
		const char *nl = memchr(data + at, '\n', len - at);
		size_t n = nl ? (size_t)(nl - data) - at : len - at;

		textbuf__str(b, "data: ");
		textbuf__raw(b, data + at, n);
		textbuf__str(b, "\n");
		at += n + 1;
	}
	textbuf__str(b, "\n");
}

int http__event(struct http *h, uint64_t ticket, const char *name, const char *data, size_t len)
{
	struct http_message m = {.kind = HTTP_EVENT, .ticket = ticket};
	struct ticket *t = find(h, ticket);
	struct textbuf text = {0};
	int err;

	if (!t || !t->stream)
		return -ESRCH;
	if (t->ahead >= HTTP_EVENTS_AHEAD)
		return -EAGAIN;
	format_event(&text, name, data, len);
	m.body_len = text.len;
	err = text.err			  ? text.err
	      : text.len > HTTP_MAX_EVENT ? -EFBIG
					  : send_file(h, &m, "", text.text);
	textbuf__free(&text);
	if (!err)
		t->ahead++;
	return err;
}

void http__end(struct http *h, uint64_t ticket)
{
	struct http_message m = {.kind = HTTP_END, .ticket = ticket};
	struct ticket *t = find(h, ticket);

	if (!t || !t->stream)
		return;
	fdmsg__send(h->sock, &m, sizeof(m), NULL, 0, NULL, 0, MSG_DONTWAIT);
	drop(h, t);
}
