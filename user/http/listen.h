/* SPDX-License-Identifier: GPL-2.0-or-later */
/* listen.h - the socket that a server listens on, and the file that keeps its token. */
#ifndef HTTP_LISTEN_H
#define HTTP_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#define LISTENER_WHY 256

struct listener {
	int fd;
	unsigned port;	   /* 0: a Unix socket */
	char address[128]; /* "127.0.0.1:6061", "[::1]:6061", "unix:/path" */
	char path[108];	   /* of a Unix socket that was made here */
	uint64_t dev, ino; /* of that */
};

/* See http.h for `listen` and `group`. 0 or negative errno, logged. */
int listener__open(const char *listen, const char *group, struct listener *ret);
/* Could it be listened on? Without opening anything. 0 or negative errno, with a sentence in why.
 */
int listener__check(const char *listen, char why[LISTENER_WHY]);
void listener__close(struct listener *l); /* removes the Unix socket */

/*
 * The token that a file keeps, which has to be this user's own and nobody else's to read; -ENOENT:
 * there is no file. 0 or negative errno, logged.
 */
int listener__read_token(const char *path, char *ret, unsigned len);
int listener__keep_token(const char *path, const char *token);

#endif
