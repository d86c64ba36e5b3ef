/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exchange.c - one request: let in or refused, handed to the watching process, answered. */
#include "http/server_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/textbuf.h"
#include "core/util.h"
#include "sys/fdmsg.h"

#define SEC 1000000000ULL
#define BODY_NS (20 * SEC)     /* for all of a request's body */
#define SENDING_NS (600 * SEC) /* for all of an answer */
#define BEAT_NS (15 * SEC)     /* streams that have nothing to say */

static void to_state(struct exchange *x, enum exchange_state state)
{
	x->state = state;
	x->since_ns = x->told_ns = util__now_ns();
}

static struct client *client_of(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return i ? i->socket_context : NULL;
}

void *exchange__new(void *worker, const char *uri, struct MHD_Connection *c)
{
	struct exchange *x = calloc(1, sizeof(*x));
	struct worker *w = worker;

	if (!x)
		return NULL;
	x->worker = w;
	x->connection = c;
	x->reply_fd = -1;
	x->uri = strdup(uri);
	x->next = w->exchanges;
	w->exchanges = x;
	to_state(x, EXCHANGE_HEAD);
	return x;
}

void exchange__free(void *worker, struct MHD_Connection *c, void **context,
		    enum MHD_RequestTerminationCode why)
{
	struct exchange *x = *context, **p = &((struct worker *)worker)->exchanges;
	struct client *client = client_of(c);

	if (client)
		*client = (struct client){client->next, client->fd, util__now_ns(), false};
	if (!x)
		return;
	*context = NULL;
	while (*p && *p != x)
		p = &(*p)->next;
	if (*p)
		*p = x->next;
	if (x->state == EXCHANGE_WAITING || (x->state == EXCHANGE_STREAMING && !x->ended))
		worker__tell(HTTP_GONE, x->ticket);
	util__close_fd(&x->reply_fd);
	for (unsigned i = 0; i < x->nevents; i++)
		util__close_fd(&x->events[i].fd);
	free(x->uri);
	free(x->body);
	free(x);
}

/* The address that the client has reached, without a port; "" for a Unix socket. */
static void local_address(struct MHD_Connection *c, char *ret, size_t len)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} a = {0};
	socklen_t n = sizeof(a);

	*ret = '\0';
	if (!i || getsockname(i->connect_fd, &a.any, &n))
		return;
	if (a.any.sa_family == AF_INET)
		inet_ntop(AF_INET, &a.four.sin_addr, ret, len);
	else if (a.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a.six.sin6_addr))
		inet_ntop(AF_INET, &a.six.sin6_addr.s6_addr[12], ret, len);
	else if (a.any.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &a.six.sin6_addr, ret, len);
}

struct once {
	const char *name;
	unsigned n;
};

static enum MHD_Result count_header(void *arg, enum MHD_ValueKind kind, const char *name,
				    const char *value)
{
	struct once *o = arg;

	o->n += !strcasecmp(name, o->name);
	return MHD_YES;
}

/* A header that stands there twice is read differently by different programs. */
static bool is_once(struct MHD_Connection *c, const char *name)
{
	struct once o = {.name = name};

	MHD_get_connection_values(c, MHD_HEADER_KIND, count_header, &o);
	return o.n <= 1;
}

static const char *header(struct MHD_Connection *c, const char *name)
{
	return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

static enum access_verdict check(struct exchange *x, const char *method)
{
	struct MHD_Connection *c = x->connection;
	char local[INET6_ADDRSTRLEN];
	struct access_headers h = {
		.host = header(c, "Host"),
		.origin = header(c, "Origin"),
		.authorization = header(c, "Authorization"),
		.cookie = header(c, "Cookie"),
		.fetch_site = header(c, "Sec-Fetch-Site"),
		.fetch_mode = header(c, "Sec-Fetch-Mode"),
		.fetch_dest = header(c, "Sec-Fetch-Dest"),
		.token = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "token"),
		.local = local,
		.get = strcmp(method, "POST") != 0,
	};

	if (!is_once(c, "Host") || !is_once(c, "Origin"))
		return ACCESS_WRONG_HOST;
	local_address(c, local, sizeof(local));
	return access__check(x->worker->rules, &h);
}

static enum MHD_Result find_blank(void *arg, enum MHD_ValueKind kind, const char *name,
				  const char *value)
{
	*(bool *)arg |= name[strcspn(name, " \t")] != '\0';
	return MHD_YES;
}

/* "Content-Length : 5" is that header to some. */
static bool has_blank_name(struct MHD_Connection *c)
{
	bool found = false;

	MHD_get_connection_values(c, MHD_HEADER_KIND, find_blank, &found);
	return found;
}

/* Two programs may read differently where its body ends: a proxy, and what stands behind the body
 * would be a request of another client's to us. */
static bool has_doubtful_length(struct MHD_Connection *c)
{
	return has_blank_name(c) || !is_once(c, "Content-Length") ||
	       !is_once(c, "Transfer-Encoding") ||
	       (header(c, "Content-Length") && header(c, "Transfer-Encoding"));
}

static bool takes_pages(struct MHD_Connection *c)
{
	const char *accept = header(c, "Accept");

	return accept && strstr(accept, "text/html");
}

static bool is_known_method(const char *method)
{
	return !strcmp(method, "GET") || !strcmp(method, "HEAD") || !strcmp(method, "POST");
}

static bool has_nul(const char *uri)
{
	return !uri || strstr(uri, "%00");
}

/* The head is there: refuses or goes on. */
static enum MHD_Result on_head(struct exchange *x, const char *url, const char *method)
{
	struct MHD_Connection *c = x->connection;
	struct client *client = client_of(c);
	const char *length = header(c, "Content-Length");

	if (client)
		client->busy = true;
	to_state(x, EXCHANGE_BODY);
	if (has_nul(x->uri) || !access__path(url))
		return exchange__refuse(c, MHD_HTTP_BAD_REQUEST, "no such path");
	if (has_doubtful_length(c))
		return exchange__refuse(c, MHD_HTTP_BAD_REQUEST, "where does its body end?");
	switch (check(x, method)) {
	case ACCESS_GRANTED: break;
	case ACCESS_GRANTED_BY_QUERY:
		if (strcmp(method, "POST") && takes_pages(c))
			return exchange__redirect(c, x->worker->rules, x->uri);
		break;
	case ACCESS_WRONG_HOST:
		return exchange__refuse(c, MHD_HTTP_FORBIDDEN,
					"this is not a name or address of this server");
	case ACCESS_FOREIGN_SITE:
		return exchange__refuse(c, MHD_HTTP_FORBIDDEN, "asked for by another site");
	case ACCESS_NO_TOKEN:
		return exchange__refuse(c, MHD_HTTP_UNAUTHORIZED,
					"the token that memwatch printed at its start is needed: "
					"as password, or once as ?token=");
	}
	if (!is_known_method(method))
		return exchange__refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET, HEAD or POST");
	if (length && strtoull(length, NULL, 10) > HTTP_MAX_BODY)
		return exchange__refuse(c, 413, "the body is too large");
	return MHD_YES;
}

static enum MHD_Result on_body(struct exchange *x, const char *data, size_t *len)
{
	char *more;

	if (x->body_len + *len > HTTP_MAX_BODY) { /* chunks: nothing was said of the length */
		to_state(x, EXCHANGE_LOST);
		return MHD_NO;
	}
	more = realloc(x->body, x->body_len + *len);
	if (!more)
		return MHD_NO;
	x->body = more;
	memcpy(x->body + x->body_len, data, *len);
	x->body_len += *len;
	*len = 0;
	return MHD_YES;
}

struct parameters {
	struct textbuf *text;
	unsigned n;
};

static enum MHD_Result add_parameter(void *arg, enum MHD_ValueKind kind, const char *name,
				     const char *value)
{
	struct parameters *p = arg;

	if (!strcmp(name, "token"))
		return MHD_YES;
	textbuf__raw(p->text, name, strlen(name) + 1);
	value = value ?: "";
	textbuf__raw(p->text, value, strlen(value) + 1);
	p->n++;
	return MHD_YES;
}

static unsigned waiting(const struct worker *w)
{
	unsigned n = 0;

	for (const struct exchange *x = w->exchanges; x; x = x->next)
		n += x->state == EXCHANGE_WAITING;
	return n;
}

static bool takes_gzip(struct MHD_Connection *c)
{
	const char *accept = header(c, "Accept-Encoding");

	return accept && strstr(accept, "gzip");
}

/* Hands it to the watching process, without waiting for that one to take it. */
static enum MHD_Result hand_on(struct exchange *x, const char *url, const char *method)
{
	struct http_message m = {.kind = HTTP_REQUEST, .body_len = x->body_len};
	struct textbuf text = {0};
	struct parameters p = {.text = &text};
	const char *host = header(x->connection, "Host") ?: "";
	int err;

	method = strcmp(method, "POST") ? "GET" : method;
	textbuf__raw(&text, method, strlen(method) + 1);
	textbuf__raw(&text, url, strlen(url) + 1);
	textbuf__raw(&text, host, strlen(host) + 1);
	MHD_get_connection_values(x->connection, MHD_GET_ARGUMENT_KIND, add_parameter, &p);
	textbuf__raw(&text, x->body ?: "", x->body_len);
	m.ticket = x->ticket = ++x->worker->last_ticket;
	m.status = p.n;
	m.flag = takes_gzip(x->connection);
	err = text.err						     ? text.err
	      : p.n > HTTP_MAX_PARAMS || text.len > HTTP_MAX_MESSAGE ? -E2BIG
	      : waiting(x->worker) >= HTTP_MAX_WAITING
		      ? -EAGAIN
		      : fdmsg__send(WORKER_CONTROL, &m, sizeof(m), text.text, text.len, NULL, 0,
				    MSG_DONTWAIT);
	textbuf__free(&text);
	if (err == -E2BIG)
		return exchange__refuse(x->connection, MHD_HTTP_BAD_REQUEST, "too many parameters");
	if (err)
		return exchange__refuse(x->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
					"too many requests wait for an answer");
	to_state(x, EXCHANGE_WAITING);
	x->suspended = true;
	MHD_suspend_connection(x->connection);
	return MHD_YES;
}

enum MHD_Result exchange__handle(void *worker, struct MHD_Connection *c, const char *url,
				 const char *method, const char *version, const char *data,
				 size_t *data_len, void **context)
{
	struct exchange *x = *context;

	if (!x)
		return MHD_NO;
	switch (x->state) {
	case EXCHANGE_HEAD: return on_head(x, url, method);
	case EXCHANGE_BODY: return *data_len ? on_body(x, data, data_len) : hand_on(x, url, method);
	case EXCHANGE_ANSWERED: to_state(x, EXCHANGE_SENDING); return exchange__respond(x);
	default: return MHD_NO;
	}
}

static void wake(struct exchange *x)
{
	if (!x->suspended)
		return;
	x->suspended = false;
	MHD_resume_connection(x->connection);
}

void exchange__on_reply(struct exchange *x, const struct http_message *m, int fd)
{
	if (x->state != EXCHANGE_WAITING || fd < 0) {
		util__close_fd(&fd);
		return;
	}
	x->reply = *m;
	x->reply_fd = fd;
	to_state(x, EXCHANGE_ANSWERED);
	wake(x);
}

void exchange__on_event(struct exchange *x, const struct http_message *m, int fd)
{
	if (!x->reply.flag || x->ended || x->nevents == ARRAY_SIZE(x->events) || fd < 0) {
		util__close_fd(&fd);
		return;
	}
	x->events[x->nevents++] = (struct exchange_event){fd, m->body_len, 0};
	if (x->state == EXCHANGE_STREAMING)
		wake(x);
}

void exchange__on_end(struct exchange *x)
{
	x->ended = true;
	if (x->state == EXCHANGE_STREAMING)
		wake(x);
}

/* While a connection is suspended, nobody else sees that its client has left. */
static bool has_left(struct exchange *x)
{
	struct client *client = client_of(x->connection);
	struct pollfd p = {.fd = client ? client->fd : -1, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0;
}

static void cut(struct exchange *x)
{
	struct client *client = client_of(x->connection);

	if (client)
		shutdown(client->fd, SHUT_RDWR);
}

void exchange__tick(struct exchange *x, uint64_t now)
{
	if (x->state == EXCHANGE_BODY && now - x->since_ns > BODY_NS)
		cut(x);
	if (x->state == EXCHANGE_SENDING && now - x->since_ns > SENDING_NS)
		cut(x);
	if (x->suspended && has_left(x)) {
		worker__tell(HTTP_GONE, x->ticket);
		x->ended = true;
		to_state(x, EXCHANGE_LOST);
		wake(x);
	}
	if (x->state == EXCHANGE_STREAMING && x->suspended && now - x->told_ns > BEAT_NS) {
		x->beat = true;
		x->told_ns = now;
		wake(x);
	}
}
