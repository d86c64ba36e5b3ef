/* SPDX-License-Identifier: GPL-2.0-or-later */
/* access.h - who may come in, from a request's headers alone; pure. */
#ifndef HTTP_ACCESS_H
#define HTTP_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACCESS_TOKEN_LEN 32
#define ACCESS_COOKIE_LEN 64  /* SHA-256 as hex */
#define ACCESS_MAX_HOSTS 1024 /* bytes of all names */

struct access_rules {
	char token[ACCESS_TOKEN_LEN + 1];   /* "": none is needed, nor is a Host: a Unix socket */
	char cookie[ACCESS_COOKIE_LEN + 1]; /* the value that stands for the token */
	char cookie_name[24];
	char hosts[ACCESS_MAX_HOSTS]; /* further names of this server, each followed by a NUL */
};

/* What a request brings; NULL: it does not. */
struct access_headers {
	const char *host, *origin, *authorization, *cookie;
	const char *fetch_site, *fetch_mode, *fetch_dest; /* Sec-Fetch-… */
	const char *token;				  /* of the query */
	const char *local; /* the address that the client has reached, as text without a port */
	bool get;
};

enum access_verdict {
	ACCESS_GRANTED,
	ACCESS_GRANTED_BY_QUERY, /* the token stands in the address: it should not stay there */
	ACCESS_WRONG_HOST,
	ACCESS_FOREIGN_SITE,
	ACCESS_NO_TOKEN,
};

enum access_verdict access__check(const struct access_rules *r, const struct access_headers *h);

/* Whether a path, decoded, is one that the server answers: see http.h. */
bool access__path(const char *path);

/* Fills token (new random; or the one given), the cookie's value and name. 0 or -errno. */
int access__new(struct access_rules *r, const char *token, unsigned port);

#endif
