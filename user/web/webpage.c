/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "web/webpage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/emit.h"
#include "core/rx.h"
#include "core/textbuf.h"
#include "core/util.h"
#include "core/webfile.h"
#include "format/flame.h"
#include "format/pprof.h"
#include "report/open.h"
#include "report/recording.h"
#include "report/report.h"
#include "sys/privilege.h"

#define JSON_TYPE "application/json"
#define FAST 1 /* of what is made for one answer */

static const struct {
	const char *path, *name, *type;
} files[] = {
	{"/", "app.html", "text/html; charset=utf-8"},
	{"/app.js", "app.js", "text/javascript; charset=utf-8"},
	{"/app.css", "app.css", "text/css; charset=utf-8"},
	{"/icon.svg", "icon.svg", "image/svg+xml"},
	{"/favicon.ico", "icon.svg", "image/svg+xml"}, /* asked for before the page is there */
};

static const char without[] =
	"This memwatch was built without npm: it has everything but the page.\n"
	"Profiles are at /debug/pprof/heap.\n";

struct webpage_client webpage__client(struct http *h, const struct http_request *r)
{
	return (struct webpage_client){h, r->ticket, r->gzip};
}

/* The gzip form of a text, malloc'ed; NULL: no memory. */
static void *compress_gzip(const void *data, size_t len, int level, size_t *ret_len)
{
	z_stream z = {0};
	size_t cap;
	void *out;

	if (len > UINT32_MAX / 2 ||
	    deflateInit2(&z, level, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return NULL;
	cap = deflateBound(&z, len);
	out = malloc(cap);
	z.next_in = (void *)data;
	z.avail_in = (uInt)len;
	z.next_out = out;
	z.avail_out = (uInt)cap;
	if (out && deflate(&z, Z_FINISH) != Z_STREAM_END) {
		free(out);
		out = NULL;
	}
	*ret_len = z.total_out;
	deflateEnd(&z);
	return out;
}

static bool takes_gzip(const struct webpage_client *c, size_t len)
{
	return c->gzip && len > 1024;
}

/* small: the same text compressed, as small_len bytes; NULL: it is sent as it is. */
static void send_either(const struct webpage_client *c, const struct http_answer *plain,
			const void *small, size_t small_len)
{
	struct http_answer a = *plain;
	cleanup_free char *headers = NULL;

	if (small && asprintf(&headers, "%sContent-Encoding: gzip\r\nVary: Accept-Encoding\r\n",
			      a.headers ?: "") > 0) {
		a.body = small;
		a.len = small_len;
		a.headers = headers;
	}
	http__reply(c->http, c->ticket, &a);
}

/* Sends a text, compressed where that is of use. */
static void send_text(const struct webpage_client *c, const struct http_answer *plain)
{
	cleanup_free void *small = NULL;
	size_t len = 0;

	if (takes_gzip(c, plain->len))
		small = compress_gzip(plain->body, plain->len, FAST, &len);
	send_either(c, plain, small, len);
}

/* The same for all who ask: it is compressed once. */
static void send_file(const struct webpage_client *c, size_t i, const struct webfile *w)
{
	static struct {
		void *data;
		size_t len;
	} packed[ARRAY_SIZE(files)];
	bool gzip = takes_gzip(c, w->len);

	if (gzip && !packed[i].data)
		packed[i].data = compress_gzip(w->data, w->len, Z_BEST_COMPRESSION, &packed[i].len);
	send_either(c,
		    &(struct http_answer){
			    .content_type = files[i].type, .body = w->data, .len = w->len},
		    gzip ? packed[i].data : NULL, packed[i].len);
}

/* The page with what it need not ask for. */
static void send_page(const struct webpage_client *c, const struct webfile *w, const char *mode)
{
	static const char body[] = "<body";
	const char *page = (const char *)w->data,
		   *at = memmem(page, w->len, body, sizeof(body) - 1);
	size_t before = at ? (size_t)(at - page) + sizeof(body) - 1 : 0;
	struct textbuf b = {0};

	textbuf__raw(&b, page, before);
	if (at)
		textbuf__format(&b, " data-mode=\"%s\"", mode);
	textbuf__raw(&b, page + before, w->len - before);
	if (b.err)
		webpage__error(c, 500, "out of memory");
	else
		send_text(c, &(struct http_answer){
				     .content_type = files[0].type, .body = b.text, .len = b.len});
	textbuf__free(&b);
}

bool webpage__file(const struct webpage_client *c, const struct http_request *r, const char *mode)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		const struct webfile *w;

		if (strcmp(r->path, files[i].path))
			continue;
		w = webfile__find("app.js") ? webfile__find(files[i].name) : NULL;
		if (!w)
			http__reply(c->http, c->ticket,
				    &(struct http_answer){.status = i ? 404 : 200,
							  .body = without,
							  .len = strlen(without)});
		else if (!i && mode)
			send_page(c, w, mode);
		else
			send_file(c, i, w);
		return true;
	}
	return false;
}

void webpage__error(const struct webpage_client *c, unsigned status, const char *text)
{
	cleanup_free char *body = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&body, &len);

	if (f) {
		fputs("{\"error\":", f);
		emit__json(f, text);
		fputs("}\n", f);
		fclose(f);
	}
	http__reply(c->http, c->ticket,
		    &(struct http_answer){.status = status,
					  .content_type = JSON_TYPE,
					  .body = body,
					  .len = body ? len : 0});
}

/* What fn writes, malloc'ed; answers itself when that fails. */
static char *render(const struct webpage_client *c, webpage_write_fn fn, void *arg, size_t *ret_len)
{
	char *body = NULL, why[128];
	FILE *f = open_memstream(&body, ret_len);
	int err = f ? fn(f, arg) : -ENOMEM;

	if (f && fclose(f))
		err = err ? err : -ENOMEM;
	if (!err && *ret_len > HTTP_MAX_ANSWER)
		err = -EFBIG;
	if (!err)
		return body;
	snprintf(why, sizeof(why), "failed: %s", strerror(-err));
	webpage__error(c, 500, why);
	free(body);
	return NULL;
}

void webpage__reply(const struct webpage_client *c, const char *content_type, const char *headers,
		    webpage_write_fn fn, void *arg)
{
	size_t len = 0;
	cleanup_free char *body = render(c, fn, arg, &len);

	if (body)
		send_text(c, &(struct http_answer){.content_type = content_type,
						   .headers = headers,
						   .body = body,
						   .len = len});
}

static int write_flame(FILE *f, void *arg)
{
	const struct profile *p = arg;
	int type = profile__find_type(p, NULL);

	return flame__write_json(f, p, max_of(type, 0));
}

void webpage__profile(const struct webpage_client *c, const struct profile *p)
{
	webpage__reply(c, JSON_TYPE, NULL, write_flame, (void *)p);
}

static int write_pprof(FILE *f, void *arg)
{
	return pprof__write(f, arg);
}

void webpage__pprof(const struct webpage_client *c, const struct profile *p, bool download)
{
	struct http_answer a = {.content_type = "application/octet-stream",
				.headers = download ? "Content-Disposition: attachment; "
						      "filename=\"memwatch.pb.gz\"\r\n"
						    : NULL};
	size_t len = 0;
	cleanup_free char *body = render(c, write_pprof, (void *)p, &len);

	a.body = body;
	a.len = len;
	if (body)
		http__reply(c->http, c->ticket, &a);
}

struct source_lines {
	struct profile *p;
	struct rx *rx;
	int type;
};

static int write_list(FILE *f, void *arg)
{
	struct source_lines *l = arg;
	struct report_options o = {.top = -1, .node_fraction = -1, .edge_fraction = -1};
	struct report rep;
	char why[256];
	int err;

	o.symbol = l->rx;
	o.type = l->type;
	err = report__begin(&rep, l->p, &o, REPORT_LIST, why, sizeof(why));
	if (!err)
		err = report__print(&rep, REPORT_LIST, f);
	report__end(&rep);
	if (err == -ENOENT)
		fputs("no function of this profile\n", f);
	return err == -ENOENT ? 0 : err;
}

void webpage__list(const struct webpage_client *c, const struct http_request *r, struct profile *p)
{
	const char *name = http_request__param(r, "function");
	struct source_lines l = {.p = p,
				 .type = open__find_type(p, http_request__param(r, "type"))};
	char why[200];

	if (!name || l.type < 0 || rx__new(name, &l.rx, why, sizeof(why))) {
		webpage__error(c, 400, "which function?");
		return;
	}
	privilege__raise(PRIVILEGE_READ);
	webpage__reply(c, NULL, NULL, write_list, &l);
	privilege__lower(PRIVILEGE_READ);
	rx__free(l.rx);
}

struct recorded {
	const void *bytes;
	size_t len;
};

static int write_verdicts(FILE *f, void *arg)
{
	const struct recorded *r = arg;

	return recording__verdicts_json(f, r->bytes, r->len, WEBPAGE_VERDICTS);
}

void webpage__verdicts(const struct webpage_client *c, const void *bytes, size_t len)
{
	struct recorded r = {bytes, len};

	webpage__reply(c, JSON_TYPE, NULL, write_verdicts, &r);
}
