/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flame_html.c - the interactive flame graph: the profile's tree as JSON in a self-contained page
 * with the script and style bundled from tools/web. flame.js says what the JSON holds.
 */
#include "format/flame.h"

#include "core/util.h"
#include "core/emit.h"
#include "format/flametree.h"
#include "web_bundle.h"

#include <inttypes.h>
#include <string.h>

static const char page_head[] =
	"<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
	"script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:\">\n"
	"<title>memwatch flame graph</title>\n<style>";
static const char page_body[] =
	"</style>\n<body>\n<header>\n"
	"<h1><span id=\"title\"></span> <span class=\"dim\" id=\"pid\"></span></h1>\n"
	"<span class=\"group\" id=\"types\" role=\"group\" aria-label=\"sample type\"></span>\n"
	"<span class=\"group\" id=\"way\" role=\"group\" aria-label=\"direction\"></span>\n"
	"<select id=\"module\" aria-label=\"module\"></select>\n"
	"<input id=\"search\" type=\"search\" placeholder=\"search ( / )\" aria-label=\"search\">\n"
	"<span class=\"dim\" id=\"found\"></span>\n"
	"<button id=\"reset\">reset zoom</button>\n"
	"<span><b id=\"total\"></b> <span class=\"dim\" id=\"stacks\"></span> <span "
	"id=\"loss\"></span> "
	"<span class=\"dim\" id=\"legend\"></span></span>\n"
	"</header>\n<main><div id=\"crumbs\"></div><div id=\"chart\"></div>"
	"<div id=\"empty\" hidden>nothing of this type was recorded</div></main>\n"
	"<div id=\"detail\" class=\"dim\"></div>\n<noscript>This page draws with "
	"JavaScript.</noscript>\n"
	"<script type=\"application/json\" id=\"data\">";

/* Strings that the page shows get small numbers in the order of their first use. */
struct strings {
	uint32_t *number; /* per string of the profile; 0: not used yet; 1 is "" */
	FILE *f;
	uint32_t used;
};

static uint32_t string_number(struct strings *s, const struct profile *p, uint32_t id)
{
	if (!id || id >= p->nstrings)
		return 0;
	if (!s->number[id]) {
		putc(',', s->f);
		emit__json(s->f, profile__text(p, id));
		s->number[id] = ++s->used;
	}
	return s->number[id];
}

struct frame_ids {
	uint32_t name, module, file;
};

/* Writes "strings":[…] and fills ids; names of unnamed code are made here. */
static int write_strings(FILE *f, const struct flametree *t, struct frame_ids *ids)
{
	struct strings s = {.f = f, .number = calloc(t->p->nstrings + 1, sizeof(*s.number))};
	char buf[320];

	if (!s.number)
		return -ENOMEM;
	fputs("\"strings\":[\"\"", f);
	for (size_t i = 0; i < t->nframes; i++) {
		const struct flametree_frame *fr = &t->frames[i];

		if (fr->name) {
			ids[i].name = string_number(&s, t->p, fr->name);
		} else {
			putc(',', f);
			emit__json(f, flametree__name(t, fr, buf, sizeof(buf)));
			ids[i].name = ++s.used;
		}
		ids[i].module = string_number(&s, t->p, fr->module);
		ids[i].file = string_number(&s, t->p, fr->file);
	}
	fputs("],\n", f);
	free(s.number);
	return 0;
}

static void write_frames(FILE *f, const struct flametree *t, const struct frame_ids *ids)
{
	static const char *const key[] = {"name", "module", "file"};

	fputs("\"frames\":{", f);
	for (int k = 0; k < 3; k++) {
		fprintf(f, "%s\"%s\":[", k ? "," : "", key[k]);
		for (size_t i = 0; i < t->nframes; i++)
			fprintf(f, "%s%u", i ? "," : "",
				k == 0	 ? ids[i].name
				: k == 1 ? ids[i].module
					 : ids[i].file);
		putc(']', f);
	}
	fputs("},\n", f);
}

static void write_nodes(FILE *f, const struct flametree *t)
{
	fputs("\"nodes\":{\"parent\":[0", f);
	for (size_t i = 1; i < t->nnodes; i++)
		fprintf(f, ",%u", t->nodes[i].parent);
	fputs("],\"frame\":[0", f);
	for (size_t i = 1; i < t->nnodes; i++)
		fprintf(f, ",%u", t->nodes[i].frame);
	fputs("]},\n", f);
}

static bool has_values(const struct flametree *t, size_t node)
{
	for (size_t v = 0; v < t->p->nvalues; v++)
		if (t->self[node * t->p->nvalues + v])
			return true;
	return false;
}

static void write_values(FILE *f, const struct flametree *t)
{
	const char *sep = "";

	fputs("\"leaves\":[", f);
	for (size_t i = 0; i < t->nnodes; i++) {
		if (!has_values(t, i))
			continue;
		fprintf(f, "%s%zu", sep, i);
		sep = ",";
	}
	fputs("],\n\"values\":[", f);
	for (size_t v = 0; v < t->p->nvalues; v++) {
		fputs(v ? ",\n[" : "[", f);
		sep = "";
		for (size_t i = 0; i < t->nnodes; i++) {
			if (!has_values(t, i))
				continue;
			fprintf(f, "%s%" PRId64, sep, t->self[i * t->p->nvalues + v]);
			sep = ",";
		}
		putc(']', f);
	}
	fputs("],\n", f);
}

static void write_about(FILE *f, const struct profile *p, int type)
{
	fputs("{\"comm\":", f);
	emit__json(f, profile__text(p, p->comm));
	fprintf(f, ",\"pid\":%u,\"stacks\":%zu,\"type\":%d,\"types\":[", p->pid, p->nsamples, type);
	for (size_t v = 0; v < p->nvalues; v++) {
		fputs(v ? ",{\"name\":" : "{\"name\":", f);
		emit__json(f, profile__text(p, p->sample_type[v].type));
		fputs(",\"unit\":", f);
		emit__json(f, profile__text(p, p->sample_type[v].unit));
		putc('}', f);
	}
	fputs("],\"losses\":[", f);
	for (size_t i = 0; i < p->nlosses; i++) {
		fputs(i ? ",{\"cause\":" : "{\"cause\":", f);
		emit__json(f, profile__text(p, p->losses[i].cause));
		fprintf(f, ",\"count\":%" PRIu64 "}", p->losses[i].count);
	}
	fputs("],\n", f);
}

int flame__write_html(FILE *f, const struct profile *p, int type)
{
	cleanup_free struct frame_ids *ids = NULL;
	struct flametree *t;
	int err;

	if (type < 0 || (size_t)type >= p->nvalues)
		return -EINVAL;
	err = flametree__new(p, &t);
	if (err)
		return err;
	ids = calloc(t->nframes + 1, sizeof(*ids));
	err = ids ? 0 : -ENOMEM;
	if (!err) {
		fputs(page_head, f);
		fwrite(web_flame_css, 1, sizeof(web_flame_css), f);
		fputs(page_body, f);
		write_about(f, p, type);
		err = write_strings(f, t, ids);
		write_frames(f, t, ids);
		write_values(f, t);
		write_nodes(f, t);
		fputs("\"schema\":\"memwatch.flame/1\"}</script>\n<script>", f);
		fwrite(web_flame_js, 1, sizeof(web_flame_js), f);
		fputs("</script>\n</body>\n</html>\n", f);
	}
	flametree__free(t);
	return err ? err : fflush(f) || ferror(f) ? -EIO : 0;
}
