/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * json_write.c - the schema memwatch.profile/1. Written as a stream, every location rendered
 * once, so that 100,000 stacks take a fraction of a second and no second copy of the profile.
 *
 * A profile of other sample types than the heap's four (a CPU profile) carries in addition
 * "sample_types" and per stack "values"; labels travel as "labels" where a stack has any,
 * ledgers of the processes as "ledger" where the profile has some.
 */
#include "format/text.h"

#include "core/util.h"
#include "core/emit.h"
#include "core/textbuf.h"
#include "format/hist_out.h"
#include "format/json_keys.h"
#include "format/ledger_out.h"
#include "format/pprof.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct writer {
	FILE *f;
	const struct profile *p;
	int index[JSON_KEYS_VALUES]; /* of json_keys__value; -1: absent */
	bool other_types;
};

static void frame(struct textbuf *b, const struct profile *p, const struct profile_location *l,
		  size_t i)
{
	const struct profile_line *line = i < l->nlines ? &p->lines[l->line0 + i] : NULL;
	const struct profile_function *fn =
		line && line->function < p->nfunctions ? &p->functions[line->function] : NULL;
	const struct profile_mapping *m =
		l->mapping < p->nmappings ? &p->mappings[l->mapping] : NULL;

	textbuf__str(b, "{\"function\":");
	textbuf__json(b, fn ? profile__text(p, fn->name) : "");
	textbuf__str(b, ",\"file\":");
	textbuf__json(b, fn ? profile__text(p, fn->file) : "");
	textbuf__format(b, ",\"line\":%" PRId64 ",\"module\":", line ? line->line : 0);
	textbuf__json(b, m ? profile__text(p, m->file) : "");
	textbuf__str(b, ",\"build_id\":");
	textbuf__json(b, m ? profile__text(p, m->build_id) : "");
	textbuf__format(b, ",\"address\":%" PRIu64 ",\"inlined\":%s}", l->address,
			i + 1 < l->nlines ? "true" : "false");
}

/* The frames of every location, innermost first: text of i at at[i]..at[i+1]. */
static int render_all(const struct profile *p, struct textbuf *b, size_t *at)
{
	for (size_t i = 0; i < p->nlocations && !b->err; i++) {
		const struct profile_location *l = &p->locations[i];
		size_t n = l->nlines ? l->nlines : 1;

		at[i] = b->len;
		for (size_t j = 0; j < n; j++) {
			frame(b, p, l, j);
			if (j + 1 < n)
				textbuf__raw(b, ",", 1);
		}
	}
	at[p->nlocations] = b->len;
	return b->err;
}

static double finite_or_0(double v)
{
	return isfinite(v) ? v : 0;
}

/* Totals of a profile that came without them are the sums of its samples. */
static struct profile_totals totals_of(const struct writer *w)
{
	struct profile_totals t = w->p->totals;
	double *sum[4] = {&t.alloc_objects, &t.alloc_bytes, &t.inuse_objects, &t.inuse_bytes};

	if (t.alloc_objects || t.alloc_bytes || t.inuse_objects || t.inuse_bytes)
		return t;
	for (size_t k = 0; k < 4; k++) {
		for (size_t i = 0; w->index[k] >= 0 && i < w->p->nsamples; i++)
			*sum[k] += (double)w->p->samples[i].value[w->index[k]];
	}
	t.free_objects = t.alloc_objects - t.inuse_objects;
	t.free_bytes = t.alloc_bytes - t.inuse_bytes;
	return t;
}

static void comments(const struct writer *w)
{
	const struct profile *p = w->p;
	bool any = false;

	for (size_t i = 0; i < p->ncomments; i++) {
		const char *text = profile__text(p, p->comments[i]);

		if (pprof__is_private(text))
			continue;
		fputs(any ? "," : "\"comments\":[", w->f);
		emit__json(w->f, text);
		any = true;
	}
	if (any)
		fputs("],\n", w->f);
}

static int head(const struct writer *w)
{
	const struct profile *p = w->p;
	struct profile_totals t = totals_of(w);
	FILE *f = w->f;
	int err;

	fprintf(f, "{\"schema\":\"memwatch.profile/1\",\"pid\":%u,\"comm\":", p->pid);
	emit__json(f, profile__text(p, p->comm));
	if (p->cmdline) {
		fputs(",\"cmdline\":", f);
		emit__json(f, profile__text(p, p->cmdline));
	}
	fprintf(f, ",\"start_unix_ms\":%" PRId64 ",\"duration_ms\":%" PRId64, p->time_ns / 1000000,
		p->duration_ns / 1000000);
	fprintf(f, ",\"sample_bytes\":%" PRIu64 ",\n\"totals\":{", p->sample_bytes);
	for (size_t i = 0; i < JSON_KEYS_TOTALS; i++) {
		fprintf(f, "%s\"%s\":", i ? "," : "", json_keys__total[i].key);
		if (json_keys__total[i].is_inuse && p->inuse_unknown)
			fputs("null", f);
		else
			fprintf(f, "%.0f", finite_or_0(*json_keys__total_of(&t, i)));
	}
	fputs("},\n\"loss\":{", f);
	for (size_t i = 0; i < p->nlosses; i++) {
		if (i)
			putc(',', f);
		emit__json(f, profile__text(p, p->losses[i].cause));
		fprintf(f, ":%" PRIu64, p->losses[i].count);
	}
	fputs("},\n", f);
	comments(w);
	hist_out__json_total(f, p);
	err = ledger_out__json_member(f, p);
	if (!w->other_types)
		return err;
	fputs("\"sample_types\":[", f);
	for (size_t i = 0; i < p->nvalues; i++) {
		fputs(i ? ",{\"type\":" : "{\"type\":", f);
		emit__json(f, profile__text(p, p->sample_type[i].type));
		fputs(",\"unit\":", f);
		emit__json(f, profile__text(p, p->sample_type[i].unit));
		putc('}', f);
	}
	fputs("],\n", f);
	return err;
}

static void labels(const struct writer *w, const struct profile_sample *s)
{
	const struct profile *p = w->p;

	fputs("\"labels\":[", w->f);
	for (size_t i = 0; i < s->nlabels; i++) {
		const struct profile_label *l = &p->labels[s->label0 + i];

		fputs(i ? ",{\"key\":" : "{\"key\":", w->f);
		emit__json(w->f, profile__text(p, l->key));
		if (l->str) {
			fputs(",\"str\":", w->f);
			emit__json(w->f, profile__text(p, l->str));
		} else {
			fprintf(w->f, ",\"num\":%" PRId64 ",\"unit\":", l->num);
			emit__json(w->f, profile__text(p, l->unit));
		}
		putc('}', w->f);
	}
	fputs("],", w->f);
}

static void stack(const struct writer *w, const struct profile_sample *s, const char *text,
		  const size_t *at)
{
	const struct profile *p = w->p;

	putc_unlocked('{', w->f);
	for (size_t k = 0; k < JSON_KEYS_VALUES; k++)
		fprintf(w->f, "\"%s\":%" PRId64 ",", json_keys__value[k],
			w->index[k] >= 0 ? s->value[w->index[k]] : 0);
	if (w->other_types) {
		fputs("\"values\":[", w->f);
		for (size_t i = 0; i < p->nvalues; i++)
			fprintf(w->f, "%s%" PRId64, i ? "," : "", s->value[i]);
		fputs("],", w->f);
	}
	if (s->nlabels)
		labels(w, s);
	if (p->nhists)
		hist_out__json_stack(w->f, p, s - p->samples);
	fputs("\"frames\":[", w->f);
	for (size_t j = 0; j < s->nstack; j++) {
		uint32_t loc = p->stack[s->stack0 + j];

		if (j)
			putc_unlocked(',', w->f);
		fwrite(text + at[loc], 1, at[loc + 1] - at[loc], w->f);
	}
	fputs("]}", w->f);
}

int json__write(FILE *f, const struct profile *p)
{
	/* of page faults: what was ever faulted in, what is resident */
	static const char *const fault_type[] = {"faulted_pages", "faulted_space", "resident_pages",
						 "resident_space"};
	cleanup_free size_t *at = calloc(p->nlocations + 1, sizeof(*at));
	struct writer w = {.f = f, .p = p};
	struct textbuf b = {0};
	int err = at ? render_all(p, &b, at) : -ENOMEM;

	for (size_t k = 0; k < 4; k++) {
		w.index[k] = profile__find_type(p, profile__heap_type_name((int)k));
		if (w.index[k] < 0)
			w.index[k] = profile__find_type(p, fault_type[k]);
		w.other_types |= w.index[k] != (int)k;
	}
	w.other_types |= p->nvalues != 4;
	err = err ? err : head(&w);
	if (!err)
		fputs("\"stacks\":[\n", f);
	for (size_t i = 0; i < p->nsamples && !err; i++) {
		if (i)
			fputs(",\n", f);
		stack(&w, &p->samples[i], b.text, at);
	}
	textbuf__free(&b);
	errno = 0;
	if (!err && fputs("\n]}\n", f) < 0)
		err = errno ? -errno : -EIO;
	return err;
}
