/* SPDX-License-Identifier: GPL-2.0-or-later */
/* traces.c - every sample with its stack, and the raw dump; see report.h. */
#include "core/util.h"
#include "core/emit.h"
#include "core/textbuf.h"
#include "report/measure.h"
#include "report/report.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define SEPARATOR "-----------+-------------------------------------------------------\n"

/* The values of one key, in order: "key:  v1 v2" or "key:[v1 v2]". */
struct label_line {
	uint32_t key;
	bool text;
	struct textbuf line;
};

struct label_lines {
	struct label_line *line;
	size_t n, cap;
};

static void free_lines(struct label_lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		textbuf__free(&l->line[i].line);
	free(l->line);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct label_line *)a)->line.text,
		      ((const struct label_line *)b)->line.text);
}

/* The line of the label's key: an earlier one, or a new one that begins with the key. */
static int line_of(const struct profile *p, struct label_lines *ls, const struct profile_label *l,
		   bool raw, struct textbuf **ret, bool *ret_fresh)
{
	struct textbuf name = {0};
	int err;

	for (size_t i = 0; i < ls->n; i++) {
		if (ls->line[i].key == l->key) {
			*ret = &ls->line[i].line;
			*ret_fresh = false;
			return 0;
		}
	}
	err = array_reserve(ls->line, ls->cap, ls->n + 1);
	if (err)
		return err;
	ls->line[ls->n] = (struct label_line){.key = l->key};
	*ret = &ls->line[ls->n++].line;
	*ret_fresh = true;
	textbuf__plain(&name, profile__text(p, l->key), "");
	if (raw)
		textbuf__format(*ret, "%s:[", name.text ? name.text : "");
	else
		textbuf__format(*ret, "%10s:  ", name.text ? name.text : "");
	err = name.err;
	textbuf__free(&name);
	return err;
}

static bool has_unit(const struct profile *p, const struct profile_sample *s, uint32_t key)
{
	for (size_t i = 0; i < s->nlabels; i++) {
		const struct profile_label *l = &p->labels[s->label0 + i];

		if (l->key == key && !l->str && l->unit)
			return true;
	}
	return false;
}

/* Labels of one kind (text or numeric) of a sample, sorted as pprof sorts them. units: NULL for the
 * raw form. */
static int collect(const struct profile *p, const struct profile_sample *s, bool text,
		   const uint32_t *units, struct label_lines *ls)
{
	bool raw = !units;
	int err = 0;

	for (size_t i = 0; i < s->nlabels && !err; i++) {
		const struct profile_label *l = &p->labels[s->label0 + i];
		struct textbuf *b;
		char num[MEASURE_LEN];
		bool fresh;

		if ((l->str != 0) != text)
			continue;
		err = line_of(p, ls, l, raw, &b, &fresh);
		if (err)
			break;
		if (!fresh)
			textbuf__str(b, " ");
		if (text) {
			textbuf__plain(b, profile__text(p, l->str), "");
		} else if (!raw) {
			textbuf__str(b,
				     measure__label(num, sizeof(num), l->num,
						    filter__label_unit(p, units, l->key), "auto"));
		} else {
			/* One unit among the values of a key gives all of them a place for it. */
			textbuf__format(b, "%" PRId64 "%s", l->num,
					has_unit(p, s, l->key) ? " " : "");
			textbuf__plain(b, profile__text(p, l->unit), "");
		}
	}
	for (size_t i = 0; i < ls->n && !err; i++) {
		if (raw)
			textbuf__str(&ls->line[i].line, "]");
		err = ls->line[i].line.err;
	}
	if (!err && ls->n)
		qsort(ls->line, ls->n, sizeof(*ls->line), by_text);
	return err;
}

static int trace_labels(FILE *f, const struct profile *p, const struct profile_sample *s,
			const uint32_t *units)
{
	int err = 0;

	for (int text = 1; text >= 0 && !err; text--) {
		struct label_lines ls = {0};

		err = collect(p, s, text, units, &ls);
		for (size_t i = 0; i < ls.n && !err; i++)
			fprintf(f, "%s\n", ls.line[i].line.text);
		free_lines(&ls);
	}
	return err;
}

static int trace(struct report *r, FILE *f, struct graph *g, const struct profile_sample *s,
		 const uint32_t *units)
{
	char value[MEASURE_LEN];
	int err;

	fputs(SEPARATOR, f);
	err = trace_labels(f, r->p, s, units);
	report__value(r, report__sample_value(r, s), value, sizeof(value));
	for (size_t j = 0; j < s->nstack && !err; j++) {
		uint32_t loc = r->p->stack[s->stack0 + j];
		uint32_t end = g->location0[loc + 1];

		for (uint32_t k = g->location0[loc]; k < end; k++) {
			fprintf(f, "%10s   ", value);
			*value = 0;
			emit__plain(f, graph__label(g, g->line_node[k]));
			fputs(k + 1 < end ? " (inline)\n" : "\n", f);
		}
	}
	return err;
}

int report__traces(struct report *r, FILE *f)
{
	struct graph_options o = {.granularity = r->o.granularity, .whole_paths = true};
	struct graph g;
	int err;

	report__header(r, f);
	err = graph__build(&g, r->p, &o);
	if (err)
		return err;
	for (size_t i = 0; i < r->p->nsamples && !err; i++) {
		if (r->p->samples[i].nstack)
			err = trace(r, f, &g, &r->p->samples[i], r->label_units);
	}
	fputs(SEPARATOR, f);
	graph__free(&g);
	return emit__end(f, err);
}

/* --- raw --- */

static void raw_time(FILE *f, int64_t ns)
{
	int64_t frac = ns % 1000000000;
	time_t s = ns / 1000000000 - (frac < 0);
	char text[64], zone[32], digits[16] = "";
	struct tm tm;

	if (frac < 0)
		frac += 1000000000;
	if (frac) {
		size_t n = snprintf(digits, sizeof(digits), ".%09" PRId64, frac);

		while (digits[n - 1] == '0')
			digits[--n] = 0;
	}
	if (localtime_r(&s, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) &&
	    strftime(zone, sizeof(zone), "%z %Z", &tm))
		fprintf(f, "Time: %s%s %s\n", text, digits, zone);
}

/* Go prints the duration with a precision of four characters. */
static void raw_duration(FILE *f, int64_t ns)
{
	char text[MEASURE_LEN];
	size_t n = 0;

	measure__duration(text, sizeof(text), ns);
	for (int chars = 0; text[n] && chars < 4; chars++)
		n += (text[n] & 0xe0) == 0xc0 ? 2 : 1;
	fprintf(f, "Duration: %.*s\n", (int)n, text);
}

static void raw_head(FILE *f, const struct profile *p)
{
	for (size_t i = 0; i < p->ncomments; i++) {
		fputs("Comment: ", f);
		emit__plain(f, profile__text(p, p->comments[i]));
		putc('\n', f);
	}
	if (p->period_type.type || p->period_type.unit) {
		fputs("PeriodType: ", f);
		emit__plain(f, profile__text(p, p->period_type.type));
		putc(' ', f);
		emit__plain(f, profile__text(p, p->period_type.unit));
		putc('\n', f);
	}
	fprintf(f, "Period: %" PRId64 "\n", p->period);
	if (p->time_ns)
		raw_time(f, p->time_ns);
	if (p->duration_ns)
		raw_duration(f, p->duration_ns);
	fputs("Samples:\n", f);
	for (size_t i = 0; i < p->nvalues; i++) {
		const struct profile_value_type *t = &p->sample_type[i];

		fputs(i ? " " : "", f);
		emit__plain(f, profile__text(p, t->type));
		putc('/', f);
		emit__plain(f, profile__text(p, t->unit));
		if (t->type == p->default_sample_type)
			fputs("[dflt]", f);
	}
	putc('\n', f);
}

static int raw_labels(FILE *f, const struct profile *p, const struct profile_sample *s, bool text)
{
	struct label_lines ls = {0};
	int err = collect(p, s, text, NULL, &ls);

	if (!err && ls.n) {
		fputs("                ", f);
		for (size_t i = 0; i < ls.n; i++)
			fprintf(f, "%s%s", i ? " " : "", ls.line[i].line.text);
		putc('\n', f);
	}
	free_lines(&ls);
	return err;
}

static int raw_samples(FILE *f, const struct profile *p)
{
	int err = 0;

	for (size_t i = 0; i < p->nsamples && !err; i++) {
		const struct profile_sample *s = &p->samples[i];

		for (size_t k = 0; k < p->nvalues; k++)
			fprintf(f, " %10" PRId64, s->value[k]);
		fputs(": ", f);
		for (size_t j = 0; j < s->nstack; j++)
			fprintf(f, "%" PRIu32 " ", p->stack[s->stack0 + j] + 1);
		putc('\n', f);
		err = raw_labels(f, p, s, true);
		err = err ? err : raw_labels(f, p, s, false);
	}
	return err;
}

static void raw_location(FILE *f, const struct profile *p, size_t i)
{
	const struct profile_location *l = &p->locations[i];

	fprintf(f, "%6zu: 0x%" PRIx64 " ", i + 1, l->address);
	if (l->mapping < p->nmappings)
		fprintf(f, "M=%" PRIu32 " ", l->mapping + 1);
	if (l->is_folded)
		fputs("[F] ", f);
	for (size_t j = 0; j < l->nlines; j++) {
		const struct profile_line *line = &p->lines[l->line0 + j];
		const struct profile_function *fn = &p->functions[line->function];

		if (j) /* further lines of one location */
			fputs("\n             ", f);
		emit__plain(f, profile__text(p, fn->name));
		putc(' ', f);
		emit__plain(f, profile__text(p, fn->file));
		fprintf(f, ":%" PRId64 " s=%" PRId64, line->line, fn->start_line);
		if (fn->name == fn->system_name)
			continue;
		putc('(', f);
		emit__plain(f, profile__text(p, fn->system_name));
		putc(')', f);
	}
	putc('\n', f);
}

static void raw_mapping(FILE *f, const struct profile *p, size_t i)
{
	const struct profile_mapping *m = &p->mappings[i];

	fprintf(f, "%zu: 0x%" PRIx64 "/0x%" PRIx64 "/0x%" PRIx64 " ", i + 1, m->start, m->limit,
		m->offset);
	emit__plain(f, profile__text(p, m->file));
	putc(' ', f);
	emit__plain(f, profile__text(p, m->build_id));
	fprintf(f, " %s%s%s%s\n", m->has_functions ? "[FN]" : "", m->has_filenames ? "[FL]" : "",
		m->has_lines ? "[LN]" : "", m->has_inlines ? "[IN]" : "");
}

int report__raw(struct report *r, FILE *f)
{
	const struct profile *p = r->p;
	int err;

	raw_head(f, p);
	err = raw_samples(f, p);
	fputs("Locations\n", f);
	for (size_t i = 0; i < p->nlocations; i++)
		raw_location(f, p, i);
	fputs("Mappings\n", f);
	for (size_t i = 0; i < p->nmappings; i++)
		raw_mapping(f, p, i);
	return emit__end(f, err);
}
