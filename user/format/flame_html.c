/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flame_html.c - the interactive flame graph: the profile's tree as JSON in a self-contained page
 * of tools/web (flame.html, flame.js, flame.css). flame.js says what the JSON holds.
 */
#include "format/flame.h"

#include "core/util.h"
#include "core/emit.h"
#include "format/hist_out.h"
#include "format/ledger_out.h"
#include "model/flametree.h"
#include "format/page.h"
#include "model/losses.h"

#include <inttypes.h>
#include <string.h>

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

static void write_about(FILE *f, const struct flametree *t, int type)
{
	const struct profile *p = t->p;
	uint64_t cut, lost = losses__of_profile(p, &cut);

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
	fprintf(f, "],\"lost\":%" PRIu64 ",\"cut\":%" PRIu64 ",\"difference\":%s,\n", lost, cut,
		t->difference ? "true" : "false");
}

struct flame_page {
	const struct profile *p;
	int type;
	bool all; /* with the histograms, the ledgers and the times too */
};

static int write_more(FILE *f, const struct profile *p)
{
	hist_out__json_total(f, p);
	fprintf(f,
		"\"time_unix_ms\":%" PRId64 ",\"duration_ms\":%" PRId64 ",\"sample_bytes\":%" PRIu64
		",\n",
		p->time_ns / 1000000, p->duration_ns / 1000000, p->sample_bytes);
	return ledger_out__json_member(f, p);
}

static int write_tree(FILE *f, const struct flametree *t, const struct flame_page *page)
{
	cleanup_free struct frame_ids *ids = calloc(t->nframes + 1, sizeof(*ids));
	int err;

	if (!ids)
		return -ENOMEM;
	write_about(f, t, page->type);
	err = write_strings(f, t, ids);
	write_frames(f, t, ids);
	write_values(f, t);
	write_nodes(f, t);
	if (!err && page->all)
		err = write_more(f, t->p);
	fputs("\"schema\":\"memwatch.flame/1\"}", f);
	return err;
}

static int write_data(FILE *f, void *arg)
{
	const struct flame_page *page = arg;
	struct flametree *t;
	int err;

	if (page->type < 0 || (size_t)page->type >= page->p->nvalues)
		return -EINVAL;
	err = flametree__new(page->p, &t);
	if (err)
		return err;
	err = write_tree(f, t, page);
	flametree__free(t);
	return err;
}

int flame__write_html(FILE *f, const struct profile *p, int type)
{
	struct flame_page page = {.p = p, .type = type};

	return page__write(f, "flame", write_data, &page);
}

int flame__write_json(FILE *f, const struct profile *p, int type)
{
	struct flame_page page = {.p = p, .type = type, .all = true};
	int err = write_data(f, &page);

	return emit__end(f, err);
}
