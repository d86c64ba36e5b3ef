/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/recording.h"

#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "core/emit.h"
#include "core/textbuf.h"
#include "format/record.h"
#include "format/text.h"
#include "report/processes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_SHOWN 6
#define JSON_FRAMES 8

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

/* Stacks of other moments have no values in this one. */
static bool has_values(const struct profile *p, const struct profile_sample *s, void *arg)
{
	for (size_t v = 0; v < p->nvalues; v++) {
		if (s->value[v])
			return true;
	}
	return false;
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
			profile__keep_samples(*ret, has_values, NULL);
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

struct shown_frames {
	FILE *f;
	int n;
};

static int put_frame(void *arg, uint32_t location, size_t line, char *name)
{
	struct shown_frames *s = arg;
	bool more = s->n++ < FRAMES_SHOWN;

	fputs("        ", s->f);
	emit__plain(s->f, more ? name : "...");
	putc('\n', s->f);
	return !more;
}

static int put_stack(FILE *f, const struct profile *p, const struct profile_sample *s)
{
	return min_of(text__each_frame(p, s, put_frame, &(struct shown_frames){.f = f}), 0);
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
		     size_t to, size_t nprocesses)
{
	const struct record_tick *t;
	char rss0[UNITS_LEN], rss1[UNITS_LEN], use0[UNITS_LEN], use1[UNITS_LEN], span[UNITS_LEN];

	record__ticks(r, &t);
	if (nprocesses > 1) {
		fprintf(f, "%zu processes", nprocesses);
	} else {
		emit__plain(f, profile__text(p, p->comm));
		fprintf(f, " (PID %u)", p->pid);
	}
	fprintf(f, ", %zu snapshot%s in %s: in use %s to %s", to - from + 1,
		units__s(to - from + 1),
		units__time(span, sizeof(span),
			    (uint64_t)(t[to].time_unix_ns - t[from].time_unix_ns)),
		units__size(use0, sizeof(use0), (int64_t)t[from].totals.inuse_bytes),
		units__size(use1, sizeof(use1), (int64_t)t[to].totals.inuse_bytes));
	if (t[from].rss_bytes > 0 && t[to].rss_bytes > 0)
		fprintf(f, ", RSS %s to %s", units__size(rss0, sizeof(rss0), t[from].rss_bytes),
			units__size(rss1, sizeof(rss1), t[to].rss_bytes));
	fputs(nprocesses > 1 ? ", in all\n\n" : "\n\n", f);
}

struct verdicts {
	FILE *f;
	size_t top;
	const struct profile *p, *begin; /* at the end and at the beginning */
	const struct record_verdict *v;
	size_t n;
};

/* Of one process; its share of what is in use is the sum over its stacks. */
static int put_process(const struct verdicts *x, const struct process *now)
{
	struct process *before = calloc(PROCESSES_MAX, sizeof(*before));
	char use0[UNITS_LEN], use1[UNITS_LEN];
	size_t n, shown = 0;
	double was = 0;
	int err = 0;

	if (!before)
		return -ENOMEM;
	n = processes__list(x->begin, before);
	for (size_t i = 0; i < n; i++) {
		if (before[i].pid == now->pid)
			was = before[i].inuse_bytes;
	}
	free(before);
	emit__plain(x->f, now->comm);
	fprintf(x->f, " (PID %u): in use %s to %s\n", now->pid,
		units__size(use0, sizeof(use0), (int64_t)was),
		units__size(use1, sizeof(use1), (int64_t)now->inuse_bytes));
	for (size_t i = 0; i < x->n && shown < x->top && !err; i++) {
		if (processes__of(x->p, &x->p->samples[x->v[i].sample]) != now->pid)
			continue;
		err = put_verdict(x->f, x->p, &x->v[i]);
		shown++;
	}
	putc('\n', x->f);
	return err;
}

static int put_verdicts(const struct verdicts *x, const struct record *r, size_t from, size_t to,
			uint32_t pid)
{
	struct process *list = calloc(PROCESSES_MAX, sizeof(*list));
	size_t n = list ? processes__list(x->p, list) : 0;
	bool found = !pid;
	int err = list ? 0 : -ENOMEM;

	if (!err)
		put_head(x->f, r, x->p, from, to, n);
	for (size_t i = 0; n <= 1 && i < x->n && i < x->top && !err; i++)
		err = put_verdict(x->f, x->p, &x->v[i]);
	for (size_t i = 0; n > 1 && i < n && !err; i++) {
		if (pid && list[i].pid != pid)
			continue;
		found = true;
		err = put_process(x, &list[i]);
	}
	if (!err && n <= 1 && pid)
		found = n ? list[0].pid == pid : x->p->pid == pid;
	free(list);
	return err ? err : found ? 0 : -ENOENT;
}

int recording__verdicts(FILE *f, const void *buf, size_t len, const struct recording_window *w,
			size_t top, const char **ret_why)
{
	struct record_verdict *v = NULL;
	struct profile *p = NULL, *begin = NULL;
	struct record *r;
	size_t from, to, n = 0;
	int err = open_recording(buf, len, &r, ret_why);

	if (err)
		return err;
	err = window_ticks(r, w, &from, &to, ret_why);
	if (!err) {
		from = from == SIZE_MAX ? 0 : from;
		err = record__profile(r, SIZE_MAX, to, &p);
		err = err ? err : record__profile(r, SIZE_MAX, from, &begin);
		/* Of each process as many as are wanted. */
		err = err ? err
			  : record__verdicts(r, from, to, max_of(top * 4, (size_t)2000),
					     w->leak_after_s, &v, &n);
		*ret_why = err ? strerror(-err) : "";
	}
	if (!err) {
		struct verdicts x = {f, top, p, begin, v, n};

		err = put_verdicts(&x, r, from, to, w->pid);
		*ret_why = err == -ENOENT ? "it has no process of that --pid" : strerror(-err);
	}
	if (!err && fflush(f))
		err = -errno;
	free(v);
	profile__free(p);
	profile__free(begin);
	record__free(r);
	return err;
}

/* --- as JSON --- */

struct json_frames {
	FILE *f;
	int n;
};

static int put_json_frame(void *arg, uint32_t location, size_t line, char *name)
{
	struct json_frames *fr = arg;

	if (fr->n == JSON_FRAMES)
		return 1;
	fputs(fr->n++ ? "," : "", fr->f);
	emit__json(fr->f, name);
	return 0;
}

static int put_json_verdict(FILE *f, const struct profile *p, const struct record_verdict *v)
{
	struct json_frames fr = {.f = f};
	char text[256];
	int err;

	fprintf(f, "{\"leak\":%s,\"bytes\":%.0f,\"text\":", v->trend.likely_leak ? "true" : "false",
		v->trend.bytes);
	emit__json(f, trend__verdict(text, sizeof(text), &v->trend, NULL));
	fputs(",\"frames\":[", f);
	err = min_of(text__each_frame(p, &p->samples[v->sample], put_json_frame, &fr), 0);
	fputs("]}", f);
	return err;
}

int recording__put_verdicts(FILE *f, const struct profile *p, const struct record_verdict *v,
			    size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		fputs(i ? "," : "", f);
		err = put_json_verdict(f, p, &v[i]);
	}
	return err;
}

int recording__verdicts_json(FILE *f, const void *buf, size_t len, size_t top)
{
	const struct record_tick *tick;
	struct record_verdict *v = NULL;
	struct profile *p = NULL;
	const char *why;
	struct record *r;
	size_t last, n = 0;
	int err = open_recording(buf, len, &r, &why);

	if (err)
		return err;
	last = record__ticks(r, &tick) - 1;
	err = record__profile(r, SIZE_MAX, last, &p);
	if (!err)
		err = record__verdicts(r, 0, last, top, TREND_LEAK_AFTER_S, &v, &n);
	if (!err)
		putc('[', f);
	if (!err)
		err = recording__put_verdicts(f, p, v, n);
	if (!err)
		putc(']', f);
	free(v);
	profile__free(p);
	record__free(r);
	return err;
}
