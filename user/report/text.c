/* SPDX-License-Identifier: GPL-2.0-or-later */
/* text.c - a profile as a text for people, see text.h. */

#include "core/emit.h"
#include "core/textbuf.h"
#include "core/top_n.h"
#include "format/text.h"

#include "core/units.h"
#include "core/util.h"
#include "format/hist_out.h"
#include "format/ledger_out.h"
#include "report/merge.h"
#include "report/report.h"

#include <inttypes.h>
#include <string.h>

struct ranked_stack {
	int64_t value;
	uint32_t sample;
};

static int by_value(const void *a, const void *b)
{
	int64_t x = llabs(((const struct ranked_stack *)a)->value),
		y = llabs(((const struct ranked_stack *)b)->value);

	return x < y ? 1 : x > y ? -1 : 0;
}

void text__not_resident(FILE *f, const struct profile *p, const struct profile_sample *s, int type)
{
	int resident = type == PROFILE_INUSE_SPACE ? profile__resident_type(p) : -ENOENT;
	char size[UNITS_LEN];
	int64_t v;

	if (resident < 0)
		return;
	v = max_of(s->value[PROFILE_INUSE_SPACE] - s->value[resident], 0);
	if (v)
		fprintf(f, ", %s of it not resident", units__size(size, sizeof(size), v));
	else
		fputs(", all of it resident", f);
}

#define TOP_STACKS 20

static int put_frame(void *arg, uint32_t location, size_t line, char *name)
{
	FILE *f = arg;

	fputs("        ", f);
	emit__plain(f, name);
	putc('\n', f);
	return 0;
}

static void put_value(FILE *f, const struct profile *p, int type, int64_t value)
{
	char size[UNITS_LEN];

	if (!strcmp(profile__text(p, p->sample_type[type].unit), "bytes"))
		fputs(units__size(size, sizeof(size), value), f);
	else
		fprintf(f, "%" PRId64, value);
}

void text__more_stacks(FILE *f, const struct profile *p, int type, size_t shown,
		       int64_t shown_value)
{
	int64_t total = 0, left;
	size_t n = 0;

	for (size_t i = 0; i < p->nsamples; i++) {
		n += p->samples[i].value[type] != 0;
		util__add(&total, p->samples[i].value[type]);
	}
	if (n <= shown)
		return;
	fprintf(f, "(%zu more stack%s, ", n - shown, units__s(n - shown));
	left = (int64_t)((uint64_t)total - (uint64_t)shown_value);
	put_value(f, p, type, left);
	fputs(")\n", f);
}

static int top_stacks(FILE *f, const struct profile *p, int type)
{
	cleanup_free struct ranked_stack *r = calloc(p->nsamples + 1, sizeof(*r));
	int err = r ? 0 : -ENOMEM;
	size_t shown, n = 0;
	int64_t put = 0;

	if (err)
		return err;
	for (size_t i = 0; i < p->nsamples; i++)
		r[i] = (struct ranked_stack){p->samples[i].value[type], i};
	shown = top_n__sort(r, p->nsamples, sizeof(*r), TOP_STACKS, by_value);
	for (; n < shown && r[n].value && !err; n++) {
		const struct profile_sample *s = &p->samples[r[n].sample];

		put_value(f, p, type, r[n].value);
		util__add(&put, r[n].value);
		text__not_resident(f, p, s, type);
		putc('\n', f);
		err = text__each_frame(p, s, put_frame, f);
	}
	text__more_stacks(f, p, type, n, put);
	return err;
}

#define TOP_FUNCTIONS 40

/* Printing filters and prunes in place: on a copy. */
static int top_functions(FILE *f, const struct profile *p, int type)
{
	struct report_options o = {
		.type = type, .top = TOP_FUNCTIONS, .node_fraction = -1, .edge_fraction = -1};
	struct profile *src = (struct profile *)p, *copy;
	const char *why;
	struct report r;
	int err = merge__profiles(&src, 1, &copy, &why);

	if (err)
		return err;
	err = filter__drop_frames(copy);
	if (err == -EINVAL)
		err = 0;
	if (!err) {
		err = report__begin(&r, copy, &o, REPORT_TOP, NULL, 0);
		err = err ? err : report__top(&r, f);
		report__end(&r);
	}
	profile__free(copy);
	return err;
}

int text__write(FILE *f, const struct profile *p, int type)
{
	int err;

	if (p->pid) {
		fprintf(f, "PID: %u (", p->pid);
		emit__plain(f, profile__text(p, p->comm));
		fputs(")\n", f);
	}
	if (p->cmdline) {
		fputs("Command: ", f);
		emit__plain(f, profile__text(p, p->cmdline));
		putc('\n', f);
	}
	err = top_functions(f, p, type);
	fputs("\nTop stacks:\n", f);
	err = err ? err : top_stacks(f, p, type);
	report__books(p, f);
	if (!err)
		hist_out__text(f, p, HIST_OUT_BAR);
	err = err ? err : ledger_out__profile(f, p, "\n");
	return emit__end(f, err);
}
