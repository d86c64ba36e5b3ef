/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/gotext.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "core/emit.h"
#include "core/util.h"

struct gotext_row {
	int64_t value;
	uint32_t sample;
};

static int by_row(const void *a, const void *b)
{
	const struct gotext_row *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? 1 : -1;
	return (x->sample > y->sample) - (x->sample < y->sample);
}

static struct gotext_row *sorted(const struct profile *p, int type)
{
	struct gotext_row *r = calloc(p->nsamples + 1, sizeof(*r));

	for (uint32_t i = 0; r && i < p->nsamples; i++)
		r[i] = (struct gotext_row){p->samples[i].value[type], i};
	if (r)
		qsort(r, p->nsamples, sizeof(*r), by_row);
	return r;
}

static void put_addresses(FILE *f, const struct profile *p, const struct profile_sample *s)
{
	for (uint32_t i = 0; i < s->nstack; i++)
		fprintf(f, " 0x%" PRIx64, p->locations[p->stack[s->stack0 + i]].address);
	putc('\n', f);
}

static void put_location(FILE *f, const struct profile *p, const struct profile_location *l)
{
	if (!l->nlines)
		fprintf(f, "#\t0x%" PRIx64 "\n", l->address);
	for (uint32_t k = 0; k < l->nlines; k++) {
		const struct profile_line *line = &p->lines[l->line0 + k];
		const struct profile_function *fn = &p->functions[line->function];

		fprintf(f, "#\t0x%" PRIx64 "\t", l->address);
		emit__plain(f, profile__text(p, fn->name));
		fputs("\t", f);
		emit__plain(f, profile__text(p, fn->file));
		fprintf(f, ":%" PRId64 "\n", line->line);
	}
}

static void put_stack(FILE *f, const struct profile *p, const struct profile_sample *s)
{
	put_addresses(f, p, s);
	for (uint32_t i = 0; i < s->nstack; i++)
		put_location(f, p, &p->locations[p->stack[s->stack0 + i]]);
	putc('\n', f);
}

static void put_heap_values(FILE *f, const int64_t *v)
{
	fprintf(f, "%" PRId64 ": %" PRId64 " [%" PRId64 ": %" PRId64 "] @",
		v[PROFILE_INUSE_OBJECTS], v[PROFILE_INUSE_SPACE], v[PROFILE_ALLOC_OBJECTS],
		v[PROFILE_ALLOC_SPACE]);
}

static void put_type(FILE *f, const struct profile *p, int type, const char *after)
{
	fprintf(f, "%s/%s%s", profile__text(p, p->sample_type[type].type),
		profile__text(p, p->sample_type[type].unit), after);
}

/* What the numbers are, where that is not what the form says; behind what tools read. */
static void put_types(FILE *f, const struct profile *p)
{
	fputs(" # ", f);
	put_type(f, p, PROFILE_INUSE_OBJECTS, ": ");
	put_type(f, p, PROFILE_INUSE_SPACE, " [");
	put_type(f, p, PROFILE_ALLOC_OBJECTS, ": ");
	put_type(f, p, PROFILE_ALLOC_SPACE, "]");
}

int gotext__heap(FILE *f, const struct profile *p)
{
	cleanup_free struct gotext_row *r = sorted(p, PROFILE_INUSE_SPACE);
	int64_t sum[PROFILE_MAX_VALUES] = {0};

	if (!r)
		return -ENOMEM;
	for (size_t i = 0; i < p->nsamples; i++) {
		for (int t = PROFILE_ALLOC_OBJECTS; t <= PROFILE_INUSE_SPACE; t++)
			util__add(&sum[t], p->samples[i].value[t]);
	}
	fputs("heap profile: ", f);
	put_heap_values(f, sum);
	fputs(" heap/2", f);
	if (!profile__is_heap(p))
		put_types(f, p);
	putc('\n', f);
	for (size_t i = 0; i < p->nsamples; i++) {
		put_heap_values(f, p->samples[r[i].sample].value);
		put_stack(f, p, &p->samples[r[i].sample]);
	}
	for (size_t i = 0; i < p->ncomments; i++) {
		const char *text = profile__text(p, p->comments[i]);

		if (*text != '#') { /* (the others are for programs) */
			fputs("# ", f);
			emit__plain(f, text);
			putc('\n', f);
		}
	}
	return ferror(f) ? -EIO : 0;
}

int gotext__count(FILE *f, const struct profile *p, const char *name)
{
	cleanup_free struct gotext_row *r = sorted(p, 0);
	int64_t sum = 0;

	if (!r)
		return -ENOMEM;
	for (size_t i = 0; i < p->nsamples; i++)
		util__add(&sum, p->samples[i].value[0]);
	fprintf(f, "%s profile: total %" PRId64 "\n", name, sum);
	for (size_t i = 0; i < p->nsamples; i++) {
		fprintf(f, "%" PRId64 " @", r[i].value);
		put_stack(f, p, &p->samples[r[i].sample]);
	}
	return ferror(f) ? -EIO : 0;
}
