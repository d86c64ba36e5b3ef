/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/hist_out.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "core/top_n.h"
#include "core/units.h"
#include "core/util.h"
#include "core/emit.h"
#include "format/text.h"

#define TOP_TEMPORARY 5 /* stacks named */
#define TOP_FRAMES 8
#define NAME_LEN 80

/* What is left of sums of estimates that cancel out is no count. */
static double whole(double v)
{
	return v > 0.5 ? round(v) : 0;
}

/* A power of two in whole units. */
static const char *round_size(char *buf, size_t len, uint64_t bytes)
{
	static const char *const unit[] = {"B", "kB", "MB", "GB"};
	int i = 0;

	for (; bytes >= 1024 && i < 3; i++)
		bytes /= 1024;
	snprintf(buf, len, "%" PRIu64 "%s", bytes, unit[i]);
	return buf;
}

static const char *size_label(char *buf, size_t len, int bucket)
{
	char a[UNITS_LEN], b[UNITS_LEN];
	uint64_t from = hist__size_from(bucket), below = hist__size_below(bucket);

	if (below == HIST_OPEN)
		snprintf(buf, len, "%s or more", round_size(a, sizeof(a), from));
	else if (below - from == 1)
		snprintf(buf, len, "%" PRIu64 "B", from);
	else if (below <= 1024)
		snprintf(buf, len, "%" PRIu64 "-%" PRIu64 "B", from, below - 1);
	else
		snprintf(buf, len, "%s to <%s", round_size(a, sizeof(a), from),
			 round_size(b, sizeof(b), below));
	return buf;
}

static const char *life_time(char *buf, size_t len, uint64_t us)
{
	if (us < 1000)
		snprintf(buf, len, "%" PRIu64 "us", us);
	else if (us < 1000000)
		snprintf(buf, len, "%" PRIu64 "ms", us / 1000);
	else if (us < 60000000)
		snprintf(buf, len, "%" PRIu64 "s", us / 1000000);
	else
		snprintf(buf, len, "%" PRIu64 "min", us / 60000000);
	return buf;
}

static const char *life_label(char *buf, size_t len, int bucket)
{
	uint64_t below = hist__life_below_us(bucket);
	char a[UNITS_LEN], b[UNITS_LEN];

	life_time(a, sizeof(a), hist__life_from_us(bucket));
	life_time(b, sizeof(b), below);
	if (below == HIST_OPEN)
		snprintf(buf, len, "%s or longer", a);
	else if (!bucket)
		snprintf(buf, len, "under %s", b);
	else
		snprintf(buf, len, "%s to <%s", a, b);
	return buf;
}

/* bytes: NAN where they are not known. */
static void row(FILE *f, const char *label, double objects, double bytes, double all, int width)
{
	char size[UNITS_LEN] = "";
	int bar = all > 0 ? (int)ceil(width * fmin(1, objects / all)) : 0;

	if (!isnan(bytes))
		units__size(size, sizeof(size), llround(bytes));
	fprintf(f, "  %-22s %12.0f %5.1f%% %10s  ", label, objects,
		all > 0 ? 100 * objects / all : 0, size);
	while (bar-- > 0)
		putc('#', f);
	putc('\n', f);
}

static void all_rows(FILE *f, const struct hist_total *t, int bar)
{
	double sizes = 0, lives = 0, size_bytes = 0, life_bytes = 0;
	char label[NAME_LEN];

	for (int i = 0; i < HIST_SIZES; i++) {
		sizes += whole(t->size_objects[i]);
		size_bytes += whole(t->size_bytes[i]);
	}
	for (int i = 0; i < HIST_LIVES; i++) {
		lives += whole(t->life_objects[i]);
		life_bytes += whole(t->life_bytes[i]);
	}
	fputs("\nSizes of allocated blocks:\n", f);
	for (int i = 0; i < HIST_SIZES; i++) {
		if (whole(t->size_objects[i]))
			row(f, size_label(label, sizeof(label), i), whole(t->size_objects[i]),
			    whole(t->size_bytes[i]), sizes, bar);
	}
	fputs("\nLifetimes of allocated blocks:\n", f);
	for (int i = 0; i < HIST_LIVES; i++) {
		if (whole(t->life_objects[i]))
			row(f, life_label(label, sizeof(label), i), whole(t->life_objects[i]),
			    whole(t->life_bytes[i]), sizes, bar);
	}
	if (sizes > lives)
		row(f, "no free seen", sizes - lives, fmax(0, size_bytes - life_bytes), sizes, bar);
}

struct ranked_temporary {
	double objects;
	const struct profile_hist *hist;
};

static int by_objects(const void *a, const void *b)
{
	double x = ((const struct ranked_temporary *)a)->objects,
	       y = ((const struct ranked_temporary *)b)->objects;

	return x < y ? 1 : x > y ? -1 : 0;
}

static void put_name(FILE *f, const struct profile *p, uint32_t loc, size_t line)
{
	cleanup_free char *name = text__frame_name(p, loc, line);

	if (name)
		emit__plain(f, name);
}

static void put_frames(FILE *f, const struct profile *p, const struct profile_sample *s)
{
	int shown = 0;

	for (size_t j = 0; j < s->nstack; j++) {
		uint32_t loc = p->stack[s->stack0 + j];
		size_t n = p->locations[loc].nlines;

		for (size_t k = 0; k < (n ? n : 1); k++) {
			fputs("        ", f);
			if (shown++ == TOP_FRAMES) {
				fputs("...\n", f);
				return;
			}
			put_name(f, p, loc, k);
			putc('\n', f);
		}
	}
}

static double allocated(const struct hist *h)
{
	double sum = 0;

	for (int i = 0; i < HIST_SIZES; i++)
		sum += hist__size_objects(h, i);
	return sum;
}

static double share(double part, double all)
{
	return all > 0 ? 100 * fmin(1, part / all) : 0;
}

static void temporary(FILE *f, const struct profile *p)
{
	cleanup_free struct ranked_temporary *r = calloc(p->nhists + 1, sizeof(*r));
	double objects, bytes, all = 0;
	char size[UNITS_LEN], limit[UNITS_LEN];
	size_t shown = 0;

	hist_total__temporary(p->hist_total, &objects, &bytes);
	for (int i = 0; i < HIST_SIZES; i++)
		all += p->hist_total->size_objects[i];
	fprintf(f, "\nTemporary (freed within %s): %.0f blocks, %.1f%% of all, %s\n",
		life_time(limit, sizeof(limit), HIST_TEMPORARY_US), whole(objects),
		share(objects, all), units__size(size, sizeof(size), llround(bytes)));
	for (size_t i = 0; r && i < p->nhists; i++)
		r[i] = (struct ranked_temporary){hist__temporary_objects(&p->hists[i].hist),
						 &p->hists[i]};
	if (r)
		shown = top_n__sort(r, p->nhists, sizeof(*r), TOP_TEMPORARY, by_objects);
	for (size_t i = 0; i < shown && whole(r[i].objects); i++) {
		const struct hist *h = &r[i].hist->hist;

		fprintf(f, "%12.0f temporary blocks, %.1f%% of its %.0f, %s\n", whole(r[i].objects),
			share(r[i].objects, allocated(h)), whole(allocated(h)),
			units__size(size, sizeof(size), llround(h->temporary_bytes)));
		put_frames(f, p, &p->samples[r[i].hist->sample]);
	}
}

void hist_out__text(FILE *f, const struct profile *p, int bar)
{
	if (!p->hist_total)
		return;
	all_rows(f, p->hist_total, bar);
	temporary(f, p);
}

/* "98 of 100 blocks of these ages are still there" */
static void age_rows(FILE *f, const struct hist_ages *ages, uint32_t now_ms, int bar)
{
	struct trend_cohort c[HIST_AGES];
	size_t n = hist_ages__cohorts(ages, now_ms, c);
	uint64_t width_ms = 1ULL << ages->shift;

	fputs("\nBlocks by age:                     allocated  alive   share\n", f);
	for (size_t i = 0; i < n; i++) {
		char a[UNITS_LEN], b[UNITS_LEN], label[NAME_LEN];
		double alive = fmin(whole(c[i].alive), whole(c[i].allocated));
		int len = (int)ceil(bar * share(alive, whole(c[i].allocated)) / 100);

		units__time(a, sizeof(a), (uint64_t)(c[i].age_s * 1e9));
		/* the youngest are of the slot that time is in */
		units__time(b, sizeof(b),
			    (uint64_t)(c[i].age_s * 1e9) +
				    (c[i].age_s > 0 ? width_ms : now_ms % width_ms) * 1000000);
		snprintf(label, sizeof(label), "%s to %s", c[i].age_s > 0 ? a : "up", b);
		fprintf(f, "  %-22s %19.0f %6.0f  %5.1f%%  ", label, whole(c[i].allocated), alive,
			share(alive, whole(c[i].allocated)));
		while (len-- > 0)
			putc('#', f);
		putc('\n', f);
	}
}

void hist_out__stack_text(FILE *f, const struct profile *p, uint32_t sample, int bar)
{
	const struct hist *h = profile__find_hist(p, sample);
	const struct hist_ages *ages = profile__find_ages(p, sample);
	double all = h ? allocated(h) : 0, freed = 0;
	char label[NAME_LEN], size[UNITS_LEN];

	if (ages)
		age_rows(f, ages, p->ages_ms, bar);
	if (!h)
		return;
	fputs("\nSizes of its blocks:\n", f);
	for (int i = 0; i < HIST_SIZES; i++) {
		if (whole(hist__size_objects(h, i)))
			row(f, size_label(label, sizeof(label), i), whole(hist__size_objects(h, i)),
			    NAN, all, bar);
	}
	fputs("\nLifetimes of its blocks:\n", f);
	for (int i = 0; i < HIST_LIVES; i++) {
		freed += whole(hist__life_objects(h, i));
		if (whole(hist__life_objects(h, i)))
			row(f, life_label(label, sizeof(label), i), whole(hist__life_objects(h, i)),
			    NAN, all, bar);
	}
	if (all > freed)
		row(f, "no free seen", all - freed, NAN, all, bar);
	fprintf(f, "\nTemporary (freed within %s): %.0f blocks, %.1f%% of all, %s\n",
		life_time(label, sizeof(label), HIST_TEMPORARY_US),
		whole(hist__temporary_objects(h)), share(hist__temporary_objects(h), all),
		units__size(size, sizeof(size), llround(h->temporary_bytes)));
}

void hist_out__stack(FILE *f, const struct profile *p, uint32_t sample)
{
	const struct hist *h = profile__find_hist(p, sample);
	double all = h ? allocated(h) : 0, most = 0, longest = 0, freed = 0;
	int size = 0, life = 0;
	char label[NAME_LEN];

	if (all <= 0)
		return;
	for (int i = 0; i < HIST_SIZES; i++) {
		if (hist__size_objects(h, i) > most)
			most = hist__size_objects(h, size = i);
	}
	for (int i = 0; i < HIST_LIVES; i++) {
		freed += hist__life_objects(h, i);
		if (hist__life_objects(h, i) > longest)
			longest = hist__life_objects(h, life = i);
	}
	fprintf(f, "                %.0f%% of %.0f blocks are %s", share(most, all), whole(all),
		size_label(label, sizeof(label), size));
	if (whole(freed))
		fprintf(f, "; %.0f%% of %.0f freed lived %s; %.0f%% temporary",
			share(longest, freed), whole(freed), life_label(label, sizeof(label), life),
			share(hist__temporary_objects(h), all));
	putc('\n', f);
}

static void limits(FILE *f, bool *more, const char *unit, uint64_t from, uint64_t below)
{
	fprintf(f, "%s{\"from_%s\":%" PRIu64 ",\"below_%s\":", *more ? "," : "", unit, from, unit);
	*more = true;
	if (below == HIST_OPEN)
		fputs("null", f);
	else
		fprintf(f, "%" PRIu64, below);
}

static void count(FILE *f, double objects, const double *bytes)
{
	fprintf(f, ",\"objects\":%.0f", whole(objects));
	if (bytes)
		fprintf(f, ",\"bytes\":%.0f", whole(*bytes));
	putc('}', f);
}

static void temporary_member(FILE *f, double objects, double bytes)
{
	fprintf(f, "],\"temporary\":{\"within_us\":%d,\"objects\":%.0f,\"bytes\":%.0f},",
		HIST_TEMPORARY_US, whole(objects), whole(bytes));
}

void hist_out__json_total(FILE *f, const struct profile *p)
{
	const struct hist_total *t = p->hist_total;
	double objects, bytes;
	bool more = false;

	if (!t)
		return;
	fputs("\"size_histogram\":[", f);
	for (int i = 0; i < HIST_SIZES; i++) {
		if (!whole(t->size_objects[i]))
			continue;
		limits(f, &more, "bytes", hist__size_from(i), hist__size_below(i));
		count(f, t->size_objects[i], &t->size_bytes[i]);
	}
	fputs("],\n\"lifetime_histogram\":[", f);
	more = false;
	for (int i = 0; i < HIST_LIVES; i++) {
		if (!whole(t->life_objects[i]))
			continue;
		limits(f, &more, "us", hist__life_from_us(i), hist__life_below_us(i));
		count(f, t->life_objects[i], &t->life_bytes[i]);
	}
	hist_total__temporary(t, &objects, &bytes);
	temporary_member(f, objects, bytes);
	putc('\n', f);
}

void hist_out__json_stack(FILE *f, const struct profile *p, uint32_t sample)
{
	const struct hist *h = profile__find_hist(p, sample);
	bool more = false;

	if (!h)
		return;
	fputs("\"size_histogram\":[", f);
	for (int i = 0; i < HIST_SIZES; i++) {
		if (!whole(hist__size_objects(h, i)))
			continue;
		limits(f, &more, "bytes", hist__size_from(i), hist__size_below(i));
		count(f, hist__size_objects(h, i), NULL);
	}
	fputs("],\"lifetime_histogram\":[", f);
	more = false;
	for (int i = 0; i < HIST_LIVES; i++) {
		if (!whole(hist__life_objects(h, i)))
			continue;
		limits(f, &more, "us", hist__life_from_us(i), hist__life_below_us(i));
		count(f, hist__life_objects(h, i), NULL);
	}
	temporary_member(f, hist__temporary_objects(h), h->temporary_bytes);
}
