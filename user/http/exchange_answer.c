/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exchange_answer.c - what goes back to the client: headers that every answer has, the body from
 * the file that the watching process has sent, streams of events. */
#include "http/server_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/util.h"

#define STREAM_PIECE 32768

/* Nothing from elsewhere, nothing that was not served as a file, nobody frames it, nobody is told
 * its address. */
static const char *const always[][2] = {
	{"Content-Security-Policy",
	 "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
	 "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Permissions-Policy", "camera=(), geolocation=(), microphone=()"},
};

static void add_always(struct MHD_Response *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		MHD_add_response_header(r, always[i][0], always[i][1]);
	if (!MHD_get_response_header(r, "Cache-Control"))
		MHD_add_response_header(r, "Cache-Control", "no-store");
}

static enum MHD_Result queue(struct MHD_Connection *c, unsigned status, struct MHD_Response *r)
{
	enum MHD_Result rc;

	if (!r)
		return MHD_NO;
	add_always(r);
	rc = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return rc;
}

enum MHD_Result exchange__refuse(struct MHD_Connection *c, unsigned status, const char *text)
{
	struct MHD_Response *r;
	char line[256];
	int n = snprintf(line, sizeof(line), "%s\n", text);

	r = MHD_create_response_from_buffer(n, line, MHD_RESPMEM_MUST_COPY);
	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", "text/plain; charset=utf-8");
	/* its body may not have been read: nothing of it is taken for the next request */
	MHD_add_response_header(r, "Connection", "close");
	if (status == MHD_HTTP_UNAUTHORIZED)
		MHD_add_response_header(r, "WWW-Authenticate",
					"Basic realm=\"memwatch\", charset=\"UTF-8\"");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, "Allow", "GET, HEAD, POST");
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
		MHD_add_response_header(r, "Retry-After", "1");
	return queue(c, status, r);
}

/* Copies a URI without the parameter "token". */
static char *without_token(const char *uri)
{
	const char *query = strchr(uri, '?');
	char *out = malloc(strlen(uri) + 1), *to = out;
	char mark = '?';

	if (!out || !query)
		return out ? strcpy(out, uri) : NULL;
	to = mempcpy(to, uri, query - uri);
	for (const char *p = query + 1; *p;) {
		size_t n = strcspn(p, "&");

		if (strncmp(p, "token=", 6)) {
			*to++ = mark;
			to = mempcpy(to, p, n);
			mark = '&';
		}
		p += n + (p[n] == '&');
	}
	*to = '\0';
	return out;
}

/* By a header for the page rather than by a status: after a status, a browser that came from
 * another site's link would not send the strict cookie that it was just given. */
enum MHD_Result exchange__redirect(struct MHD_Connection *c, const struct access_rules *rules,
				   const char *uri)
{
	static char text[] = "memwatch: the token is kept, the page follows\n";
	cleanup_free char *to = without_token(uri), *refresh = NULL;
	char cookie[sizeof(rules->cookie) + sizeof(rules->cookie_name) + 64];
	struct MHD_Response *r;

	if (!to || asprintf(&refresh, "0; url=%s", to) < 0)
		return MHD_NO;
	r = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_PERSISTENT);
	if (!r)
		return MHD_NO;
	snprintf(cookie, sizeof(cookie), "%s=%s; Path=/; HttpOnly; SameSite=Strict",
		 rules->cookie_name, rules->cookie);
	MHD_add_response_header(r, "Set-Cookie", cookie);
	MHD_add_response_header(r, "Refresh", refresh);
	MHD_add_response_header(r, "Content-Type", "text/plain; charset=utf-8");
	return queue(c, MHD_HTTP_OK, r);
}

static void add_lines(struct MHD_Response *r, char *lines)
{
	char *save = NULL;

	for (char *l = strtok_r(lines, "\r\n", &save); l; l = strtok_r(NULL, "\r\n", &save)) {
		char *colon = strchr(l, ':');

		if (!colon)
			continue;
		*colon = '\0';
		MHD_add_response_header(r, l, colon + 1 + strspn(colon + 1, " "));
	}
}

/* The content type and the headers at the start of the reply's file. */
static int add_head(struct MHD_Response *r, int fd, size_t len)
{
	cleanup_free char *head = malloc(len + 2);
	size_t type;

	if (!head || pread(fd, head, len, 0) != (ssize_t)len)
		return -EIO;
	head[len] = head[len + 1] = '\0';
	type = strlen(head) + 1;
	MHD_add_response_header(r, "Content-Type", head);
	if (type < len)
		add_lines(r, head + type);
	return 0;
}

static void next_event(struct exchange *x)
{
	util__close_fd(&x->events[0].fd);
	x->nevents--;
	memmove(x->events, x->events + 1, x->nevents * sizeof(x->events[0]));
	worker__tell(HTTP_TAKEN, x->ticket);
}

static ssize_t read_stream(void *arg, uint64_t pos, char *buf, size_t max)
{
	struct exchange *x = arg;
	struct exchange_event *e = &x->events[0];
	ssize_t n;

	if (x->state == EXCHANGE_LOST)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (x->nevents) {
		x->told_ns = util__now_ns();
		n = pread(e->fd, buf, min_of(max, e->len - e->done), e->done);
		if (n <= 0)
			return MHD_CONTENT_READER_END_WITH_ERROR;
		e->done += n;
		if (e->done == e->len)
			next_event(x);
		return n;
	}
	if (x->ended)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (x->beat && max >= 3) {
		x->beat = false;
		memcpy(buf, ":\n\n", 3);
		return 3;
	}
	x->suspended = true;
	MHD_suspend_connection(x->connection);
	return 0;
}

enum MHD_Result exchange__respond(struct exchange *x)
{
	struct MHD_Response *r;
	unsigned status = x->reply.status;
	int fd = take_fd(&x->reply_fd);

	if (x->reply.flag) {
		x->state = EXCHANGE_STREAMING;
		r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_PIECE, read_stream,
						      x, NULL);
	} else {
		r = MHD_create_response_from_fd_at_offset64(x->reply.body_len, fd,
							    x->reply.head_len);
	}
	if (r && add_head(r, fd, x->reply.head_len))
		status = MHD_HTTP_INTERNAL_SERVER_ERROR;
	if (!r || x->reply.flag)
		util__close_fd(&fd); /* else it is the response's */
	return queue(x->connection, status, r);
}
