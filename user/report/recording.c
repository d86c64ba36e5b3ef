/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/recording.h"

#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "core/emit.h"
#include "core/textbuf.h"
#include "format/record.h"
#include "format/text.h"

#include <inttypes.h>
#include <string.h>

#define FRAMES_SHOWN 6

static int open_recording(const void *buf, size_t len, struct record **ret, const char **ret_why)
{
	int err = record__read(buf, len, ret);

	if (err) {
		*ret_why = err == -ENOMEM ? "out of memory"
					  : "a recording of which nothing can be read";
		return err;
	}
	if (record__damage(*ret))
		log_warn("the last %zu bytes of the recording are cut off or damaged",
			 record__damage(*ret));
	return 0;
}

/* Ticks of the window; *from is SIZE_MAX when the whole past counts. */
static int window_ticks(const struct record *r, const struct recording_window *w, size_t *from,
			size_t *to, const char **ret_why)
{
	const struct record_tick *t;
	size_t n = record__ticks(r, &t);

	*to = w->has_to ? record__tick_at(r, t[0].time_unix_ns + (int64_t)w->to_ns) : n - 1;
	*from = w->has_from ? record__tick_at(r, t[0].time_unix_ns + (int64_t)w->from_ns)
			    : SIZE_MAX;
	if (*from != SIZE_MAX && *from >= *to) {
		*ret_why = "nothing was recorded between --from and --to";
		return -EINVAL;
	}
	return 0;
}

/* Stacks of other moments, without values in this one. */
static void drop_empty(struct profile *p)
{
	size_t n = 0, hist = 0, nhists = 0;

	for (size_t i = 0; i < p->nsamples; i++) {
		bool any = false;

		for (size_t v = 0; v < p->nvalues; v++)
			any |= p->samples[i].value[v] != 0;
		if (hist < p->nhists && p->hists[hist].sample == i) {
			if (any) {
				p->hists[nhists] = p->hists[hist];
				p->hists[nhists++].sample = n;
			} else {
				hist__clear(&p->hists[hist].hist);
			}
			hist++;
		}
		if (any)
			p->samples[n++] = p->samples[i];
	}
	p->nsamples = n;
	p->nhists = nhists;
}

int recording__profile(const void *buf, size_t len, const struct recording_window *w,
		       struct profile **ret, const char **ret_why)
{
	static const struct recording_window all;
	struct record *r;
	size_t from, to;
	int err = open_recording(buf, len, &r, ret_why);

	if (err)
		return err;
	err = window_ticks(r, w ? w : &all, &from, &to, ret_why);
	if (!err) {
		err = record__profile(r, from, to, ret);
		*ret_why = err ? strerror(-err) : "";
		if (!err)
			drop_empty(*ret);
	}
	record__free(r);
	return err;
}

static bool is_allocator(const char *name)
{
	static const char *const names[] = {"malloc", "calloc", "realloc", "operator new",
					    "__libc_"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strncmp(name, names[i], strlen(names[i])))
			return true;
	return false;
}

/* "main.c:42 store_session < handle_login": the innermost frame that is not the allocator itself,
 * and who called it. */
static void place(const struct profile *p, const struct profile_sample *s, char *buf, size_t len)
{
	size_t n = 0;

	buf[0] = 0;
	for (uint32_t k = 0; k < s->nstack; k++) {
		const struct profile_location *l = &p->locations[p->stack[s->stack0 + k]];

		for (uint32_t j = 0; j < l->nlines; j++) {
			const struct profile_line *ln = &p->lines[l->line0 + j];
			const struct profile_function *fn = &p->functions[ln->function];
			const char *name = profile__text(p, fn->name), *file, *slash;

			if (n && n < len) {
				snprintf(buf + n, len - n, " < %.200s", name);
				return;
			}
			if (is_allocator(name))
				continue;
			file = profile__text(p, fn->file);
			slash = strrchr(file, '/');
			if (*file)
				n = snprintf(buf, len, "%.100s:%" PRId64 " %.200s",
					     slash ? slash + 1 : file, ln->line, name);
			else
				n = snprintf(buf, len, "%.200s", name);
		}
	}
}

struct shown {
	FILE *f;
	int n;
};

static int put_frame(void *arg, uint32_t location, size_t line, char *name)
{
	struct shown *s = arg;
	bool more = s->n++ < FRAMES_SHOWN;

	fputs("        ", s->f);
	emit__plain(s->f, more ? name : "...");
	putc('\n', s->f);
	return !more;
}

static int put_stack(FILE *f, const struct profile *p, const struct profile_sample *s)
{
	return min_of(text__each_frame(p, s, put_frame, &(struct shown){.f = f}), 0);
}

static int put_verdict(FILE *f, const struct profile *p, const struct record_verdict *v)
{
	const struct profile_sample *s = &p->samples[v->sample];
	char where[512], text[800], size[UNITS_LEN];
	int err = 0;

	place(p, s, where, sizeof(where));
	trend__verdict(text, sizeof(text), &v->trend, where);
	fprintf(f, "%12s  ", units__size(size, sizeof(size), (int64_t)v->trend.bytes));
	emit__plain(f, text);
	putc('\n', f);
	if (v->trend.likely_leak || v->trend.early) {
		fprintf(f, "              in an hour: %s; in a day: %s\n",
			units__size(size, sizeof(size), (int64_t)trend__forecast(&v->trend, 3600)),
			units__size(text, UNITS_LEN, (int64_t)trend__forecast(&v->trend, 86400)));
		err = put_stack(f, p, s);
	}
	return err;
}

static void put_head(FILE *f, const struct record *r, const struct profile *p, size_t from,
		     size_t to)
{
	const struct record_tick *t;
	char rss0[UNITS_LEN], rss1[UNITS_LEN], use0[UNITS_LEN], use1[UNITS_LEN], span[UNITS_LEN];

	record__ticks(r, &t);
	emit__plain(f, profile__text(p, p->comm));
	fprintf(f, " (PID %u), %zu snapshots in %s: in use %s to %s, RSS %s to %s\n\n", p->pid,
		to - from + 1,
		units__time(span, sizeof(span),
			    (uint64_t)(t[to].time_unix_ns - t[from].time_unix_ns)),
		units__size(use0, sizeof(use0), (int64_t)t[from].totals.inuse_bytes),
		units__size(use1, sizeof(use1), (int64_t)t[to].totals.inuse_bytes),
		units__size(rss0, sizeof(rss0), t[from].rss_bytes),
		units__size(rss1, sizeof(rss1), t[to].rss_bytes));
}

int recording__verdicts(FILE *f, const void *buf, size_t len, const struct recording_window *w,
			size_t top, const char **ret_why)
{
	struct record_verdict *v = NULL;
	struct profile *p = NULL;
	struct record *r;
	size_t from, to, n = 0;
	int err = open_recording(buf, len, &r, ret_why);

	if (err)
		return err;
	err = window_ticks(r, w, &from, &to, ret_why);
	if (!err) {
		from = from == SIZE_MAX ? 0 : from;
		err = record__profile(r, SIZE_MAX, to, &p);
		err = err ? err
			  : record__verdicts(r, from, to, max_of(top * 4, (size_t)200),
					     w->leak_after_s, &v, &n);
		*ret_why = err ? strerror(-err) : "";
	}
	if (!err)
		put_head(f, r, p, from, to);
	for (size_t i = 0; i < n && i < top && !err; i++)
		err = put_verdict(f, p, &v[i]);
	if (!err && fflush(f))
		err = -errno;
	free(v);
	profile__free(p);
	record__free(r);
	return err;
}
