/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/page_server.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/surroundings.h"
#include "core/util.h"
#include "sys/apart.h"
#include "sys/privilege.h"
#include "web/served.h"

extern char **environ;

/*
 * A private file that leads to the page: command lines can be read by every user of the machine,
 * the token must not stand in one. $XDG_RUNTIME_DIR is the user's own and cleared when he logs out.
 */
static int write_door(const char *url, char *path, size_t len)
{
	const char *dir = surroundings.runtime;
	cleanup_fd int fd = -1;
	cleanup_free char *text = NULL;
	int n;

	if (!dir || snprintf(path, len, "%s/memwatch-XXXXXX.html", dir) >= (int)len)
		return -ENOENT;
	fd = mkstemps(path, 5); /* mode 0600 */
	if (fd < 0)
		return -errno;
	n = asprintf(&text,
		     "<!doctype html><meta charset=\"utf-8\"><title>memwatch</title>"
		     "<meta http-equiv=\"refresh\" content=\"0;url=%s\">\n",
		     url);
	return n < 0 ? -ENOMEM : util__write_all(fd, text, n);
}

/* On a desktop, as the user who sits there. */
static void open_browser(const char *url)
{
	char path[256], *argv[] = {"xdg-open", path, NULL};
	pid_t pid;

	if (!surroundings.has_display || !geteuid() || strncmp(url, "http:", 5) ||
	    write_door(url, path, sizeof(path)))
		return;
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ))
		unlink(path);
}

int page_server__start(struct page_server *s, const char *listen)
{
	struct http_opts o = {.listen = listen && *listen ? listen : SERVE_ANY_PORT};
	int err = http__start(&o, &s->http);

	if (err)
		return err;
	open_browser(http__url(s->http));
	return 0;
}

static void on_http(void *arg, uint32_t events)
{
	struct page_server *s = arg;

	if (!http__serve(s->http, s->answer, s->gone, s->ctx))
		return;
	log_error("the process that speaks HTTP has ended; continuing without the page");
	loop__drop_fd(s->loop, http__fd(s->http));
}

int page_server__begin(struct page_server *s, struct loop *l)
{
	s->loop = l;
	/* with -q too: without the address there is no page */
	log_error("page: %s", http__url(s->http));
	return loop__add_fd(l, http__fd(s->http), on_http, s);
}

void page_server__end(struct page_server *s)
{
	http__free(s->http);
	s->http = NULL;
}

static int run(struct page_server *s)
{
	struct loop *l = NULL;
	int err = loop__new(&l);

	if (!err)
		err = page_server__begin(s, l);
	if (!err)
		err = loop__run(l);
	loop__free(l);
	return err;
}

struct files_served {
	struct page_server server;
	char *const *name;
	size_t n;
};

/* In the process that reads them. */
static int serve_files(void *arg)
{
	struct files_served *f = arg;
	struct served *served = NULL;
	int err = served__new(&served);

	for (size_t i = 0; i < f->n && !err; i++) {
		progress__begin("reading '%s'", f->name[i]);
		err = served__add(served, f->name[i]);
		progress__end();
	}
	f->server.ctx = served;
	err = err ? err : apart__stay();
	if (!err)
		err = run(&f->server);
	served__free(served);
	return err ? EXIT_FAILED : EXIT_DONE;
}

/* The files, and what they name: sources and instructions are listed on the page. */
static bool may(const void *arg, enum apart_wish wish, const char *path)
{
	const struct files_served *f = arg;

	for (size_t i = 0; i < f->n && wish == APART_READ; i++) {
		if (!strcmp(f->name[i], path))
			return true;
	}
	return wish == APART_READ_FILE;
}

int page_server__files(char *const *files, size_t n, const char *listen)
{
	struct files_served f = {.server.answer = served__answer, .name = files, .n = n};
	struct apart_opts o = {.work = serve_files,
			       .may = may,
			       .arg = &f,
			       .relay = true,
			       .privileges = PRIVILEGE(READ)};
	int err = page_server__start(&f.server, listen), status = EXIT_FAILED;

	for (size_t i = 0; i < n; i++)
		o.keep_stdin |= !strcmp(files[i], "-");
	if (!err)
		status = apart__run(&o);
	page_server__end(&f.server);
	return status;
}
