/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * http.h - HTTP, spoken by a child without privileges.
 *
 * The child is the program executed anew and confined as sandbox.h says: a user of its own, no
 * capabilities, no paths, few system calls. It accepts connections, lets in who may come in, and
 * hands requests to this process over a socket pair; this process answers when it likes, at once
 * or seconds later, and never waits for a client. A child that crashes is started anew; requests
 * that it held are gone (http_gone_fn tells).
 *
 * Who comes in: over a Unix socket whoever its mode lets in (0600, 0660 with a group); over TCP
 * who knows the token: as `?token=` once, which sets a cookie (HttpOnly, SameSite=Strict) and
 * redirects to the address without it, as the password of basic authentication (any user), or as
 * a bearer. The Host header has to be the address that the client has reached, a loopback name, or
 * one of `hosts`; an Origin has to be the same server; what a page of another site asks for is
 * refused. Bounds: HTTP_MAX_… below, and times for each part of a request.
 *
 * One thread. Replies are copied: what is passed in may be freed when the call returns.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HTTP_DEFAULT_ADDRESS "127.0.0.1:6061"
#define HTTP_MAX_BODY (64u << 10)   /* of a request */
#define HTTP_MAX_HEADER (32u << 10) /* of a request: first line and headers */
#define HTTP_MAX_PARAMS 64	    /* of a request's query */
#define HTTP_MAX_CONNECTIONS 128
#define HTTP_MAX_WAITING 64 /* requests that are not answered yet; more get a 503 */
#define HTTP_MAX_STREAMS 16 /* of these, streams of events */
#define HTTP_MAX_ANSWER (256u << 20)
#define HTTP_MAX_EVENT (4u << 20) /* one event of a stream */

struct http;

struct http_param {
	const char *name, *value; /* decoded; a value that is missing is "" */
};

struct http_request {
	uint64_t ticket;    /* for http__reply */
	const char *method; /* "GET" (also for HEAD) or "POST" */
	const char *path;   /* decoded; begins with '/', has no "//", "/./", "/../", no control
			     * characters */
	const struct http_param *query;
	size_t nquery;
	const char *body; /* of a POST; ends with a NUL that body_len does not count */
	size_t body_len;
	const char *host; /* as the client wrote it, checked: for links */
	bool gzip;	  /* the client takes a body that is compressed with gzip */
};

struct http_answer {
	unsigned status;	  /* 0: 200 */
	const char *content_type; /* NULL: text/plain; charset=utf-8 */
	const char *headers;	  /* more, "Name: value\r\n" each, or NULL */
	const void *body;
	size_t len;
	bool stream; /* no body: a stream of server-sent events that http__event fills */
};

/* Called by http__serve. Everything of r is borrowed for the call. */
typedef void (*http_request_fn)(void *ctx, struct http *h, const struct http_request *r);
/* The client of this ticket is gone: a stream has ended, a reply is of no use any more. Called by
 * http__serve, not from within other calls. */
typedef void (*http_gone_fn)(void *ctx, struct http *h, uint64_t ticket);

struct http_opts {
	const char *listen;	/* "ADDR:PORT", "[ADDR]:PORT", "ADDR", ":PORT", "PORT" (0: any that
				 * is free), "unix:PATH", "fd:N" (a socket that listens); NULL:
				 * HTTP_DEFAULT_ADDRESS */
	const char *token_file; /* the token is read from there, or made and kept there (mode
				 * 0600); NULL: a new one */
	const char *group;	/* may use the Unix socket too; NULL: nobody */
	const char *const *hosts; /* further names of this server */
	size_t nhosts;
};

/*
 * Listens and starts the child: while this process still may (before privilege__keep) and has one
 * thread. 0; negative errno, logged, with what was wrong of which option.
 */
int http__start(const struct http_opts *o, struct http **ret);
void http__free(struct http *h); /* ends the child, removes the Unix socket; accepts NULL */

/* "http://127.0.0.1:6061" or "unix:/run/memwatch.sock". */
const char *http__address(const struct http *h);
/* 32 characters; NULL for a Unix socket, that needs none. */
const char *http__token(const struct http *h);
/* What a browser opens: the address with the token. */
const char *http__url(const struct http *h);
/* The process that holds no privilege, for tests; -1: not started. */
pid_t http__pid(const struct http *h);

/* For loops of events: readable when http__serve has something to do. The same until freed. */
int http__fd(const struct http *h);
/* Takes in what has come; calls fn and gone (which may be NULL) and does not wait. 0; -EPIPE: the
 * child has ended and cannot be started anew: drop the descriptor. */
int http__serve(struct http *h, http_request_fn fn, http_gone_fn gone, void *ctx);

/* Answers a request, now or later, once. 0; -ESRCH: the client is gone; -EFBIG; -ENOMEM. */
int http__reply(struct http *h, uint64_t ticket, const struct http_answer *a);
/* The same with a line of text. */
int http__reply_text(struct http *h, uint64_t ticket, unsigned status, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/*
 * One event of a stream; name NULL: "message". 0; -EAGAIN: the client has not yet taken the two
 * before, this one is dropped (send what is newest then later); -ESRCH; -EFBIG.
 */
int http__event(struct http *h, uint64_t ticket, const char *name, const char *data, size_t len);
/* Ends a stream. */
void http__end(struct http *h, uint64_t ticket);

/* The value of the first parameter of that name; NULL: there is none. */
const char *http_request__param(const struct http_request *r, const char *name);

#endif
