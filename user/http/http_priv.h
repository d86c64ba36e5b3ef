/* SPDX-License-Identifier: GPL-2.0-or-later */
/* http_priv.h - what goes over the socket between http.c and the child that speaks HTTP. */
#ifndef HTTP_HTTP_PRIV_H
#define HTTP_HTTP_PRIV_H

#include <stdint.h>

#include "http/access.h"
#include "http/http.h"

#define HTTP_ARGUMENT "--memwatch-http"
#define HTTP_MAX_MESSAGE (HTTP_MAX_BODY + 2 * HTTP_MAX_HEADER + 4096)
#define HTTP_EVENTS_AHEAD 2 /* of a stream, not yet taken by the client */
#define HTTP_MAX_ANSWER_HEAD 8192

enum http_message_kind {
	/* to the child */
	HTTP_CONFIG = 1, /* struct http_config; brings the socket that listens */
	HTTP_REPLY,	 /* brings a file: head_len bytes of strings, then the body */
	HTTP_EVENT,	 /* brings a file: the event as it is sent */
	HTTP_END,
	/* from the child */
	HTTP_READY,   /* a worker begins: it knows nothing of former requests */
	HTTP_REQUEST, /* strings follow: method, path, host, nquery times name and value; body */
	HTTP_GONE,
	HTTP_TAKEN, /* one event */
};

struct http_message {
	uint32_t kind;
	uint32_t status; /* REPLY; of a REQUEST the number of parameters */
	uint64_t ticket;
	uint64_t body_len; /* REPLY, EVENT, REQUEST */
	uint32_t head_len; /* REPLY: content type and headers, each with its NUL */
	uint32_t flag;	   /* REPLY: a stream; REQUEST: gzip is taken */
};

struct http_config {
	struct http_message head;
	struct access_rules rules;
};

/*
 * Fills r from what followed m in the child's message: len bytes and room for one more; query has
 * room for HTTP_MAX_PARAMS. Everything of r lies in data. false: the child talks nonsense. Pure.
 */
bool http_request__decode(const struct http_message *m, char *data, size_t len,
			  struct http_param *query, struct http_request *r);

#endif
