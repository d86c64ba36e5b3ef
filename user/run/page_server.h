/* SPDX-License-Identifier: GPL-2.0-or-later */
/* page_server.h - the page over HTTP as part of a run: its option, its address, its place in the
 * loop. */
#ifndef RUN_PAGE_SERVER_H
#define RUN_PAGE_SERVER_H

#include "http/http.h"
#include "run/loop.h"

#define SERVE_ANY_PORT "127.0.0.1:0" /* --http without an address */

/* Serves over the loop until the child ends; what is told here is borrowed until then. */
struct page_server {
	struct http *http;
	struct loop *loop;
	http_request_fn answer;
	http_gone_fn gone; /* may be NULL */
	void *ctx;
};

/* Starts the child and opens a browser on a desktop: while this process still may. listen: NULL or
 * "" for SERVE_ANY_PORT. 0 or negative errno, logged. */
int page_server__start(struct page_server *s, const char *listen);
/* Begins to answer, and says where. 0 or -errno. */
int page_server__begin(struct page_server *s, struct loop *l);
void page_server__end(struct page_server *s);

/* The whole of `report --http`: serves files until it is interrupted. An exit status. */
int page_server__files(char *const *files, size_t n, const char *listen);

#endif
