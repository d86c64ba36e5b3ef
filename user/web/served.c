/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "web/served.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/emit.h"
#include "core/log.h"
#include "core/util.h"
#include "format/record.h"
#include "format/timeline_plot.h"
#include "format/timeline_read.h"
#include "oom/render.h"
#include "oom/saved.h"
#include "report/load.h"
#include "report/merge.h"
#include "report/open.h"
#include "report/processes.h"

#include "web/webpage.h"

#define MAX_FILES 256
#define MAX_KILLS 1000

enum served_kind { SERVED_PROFILE, SERVED_RECORDING, SERVED_TIMELINE, SERVED_OOM };
static const char *const kind_names[] = {"profile", "recording", "timeline", "oom"};

struct served_file {
	enum served_kind kind;
	char *name;
	char *bytes; /* the whole file; of SERVED_OOM its kills as JSON, one behind the other */
	size_t len;
	struct record *record; /* borrows bytes */
	struct timelines timelines;
	size_t items, left_out; /* kills */
};

struct served {
	struct served_file file[MAX_FILES];
	size_t n;
};

int served__new(struct served **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void clear(struct served_file *s)
{
	record__free(s->record);
	timelines__clear(&s->timelines);
	free(s->bytes);
	free(s->name);
	*s = (struct served_file){0};
}

void served__free(struct served *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		clear(&s->file[i]);
	free(s);
}

/* A recording's own series: what it knows of the process at each of its moments. */
static int timeline_of_record(struct served_file *s)
{
	const struct record_tick *tick;
	size_t n = record__ticks(s->record, &tick);
	struct timelines *set = &s->timelines;
	int err = array_reserve(set->line, set->cap, (size_t)1);

	if (err)
		return err;
	timeline__init(&set->line[0], 0, s->name, 0);
	set->n = 1;
	for (size_t i = 0; i < n && !err; i++) {
		struct timeline_row row = timeline__row(tick[i].time_unix_ns / 1000000);

		if (tick[i].rss_bytes)
			row.value[TIMELINE_RSS] = tick[i].rss_bytes;
		if (tick[i].virt_bytes)
			row.value[TIMELINE_VIRT] = tick[i].virt_bytes;
		row.value[TIMELINE_INUSE] = (int64_t)tick[i].totals.inuse_bytes;
		row.value[TIMELINE_ALLOC] = (int64_t)tick[i].totals.alloc_bytes;
		err = timeline__append(&set->line[0], &row);
	}
	return err;
}

struct kills {
	FILE *f;
	size_t n, left_out;
};

static void add_kill(void *arg, struct oom_event *e)
{
	struct textbuf line = {0};
	struct kills *k = arg;

	if (k->n == MAX_KILLS) {
		k->left_out++;
		return;
	}
	if (!render__json(&line, e)) {
		fputs(k->n++ ? "," : "", k->f);
		fputs(line.text, k->f);
	}
	textbuf__free(&line);
}

/* Kills of a kernel's or of memwatch's own log. -EBADMSG: none. */
static int read_kills(struct served_file *s, const char *path)
{
	struct saved_stats stats;
	struct kills k = {0};
	char *json = NULL;
	size_t len = 0;
	int err;

	k.f = open_memstream(&json, &len);
	if (!k.f)
		return -ENOMEM;
	err = saved__read(path, add_kill, &k, &stats);
	if (fclose(k.f))
		err = -ENOMEM;
	if (!err && !k.n)
		err = -EBADMSG;
	if (err) {
		free(json);
		return err;
	}
	free(s->bytes);
	*s = (struct served_file){.kind = SERVED_OOM,
				  .name = s->name,
				  .bytes = json,
				  .len = len,
				  .items = k.n,
				  .left_out = k.left_out};
	return 0;
}

static int recognise(struct served_file *s, const char *path, const char **why, char *text,
		     size_t text_len)
{
	struct profile *p = NULL;
	int err;

	if (record__is(s->bytes, s->len)) {
		s->kind = SERVED_RECORDING;
		*why = "a recording that is damaged";
		err = record__read(s->bytes, s->len, &s->record);
		return err ? err : timeline_of_record(s);
	}
	if (s->len && timeline_read__is(s->bytes, s->len)) {
		s->kind = SERVED_TIMELINE;
		return timeline_read__buffer(s->bytes, s->len, &s->timelines, text, text_len);
	}
	err = load__buffer(s->bytes, s->len, &p, why);
	profile__free(p);
	if (err == -EBADMSG && strcmp(path, "-") && !read_kills(s, path))
		return 0;
	return err;
}

int served__add(struct served *set, const char *path)
{
	struct served_file s = {.name = strdup(path)};
	const char *reason = NULL;
	char why[256] = "";
	int err;

	if (set->n == MAX_FILES) {
		log_error("more than %d files", MAX_FILES);
		return -E2BIG;
	}
	err = s.name ? load__bytes(path, &s.bytes, &s.len, why, sizeof(why)) : -ENOMEM;
	if (!err)
		err = recognise(&s, path, &reason, why, sizeof(why));
	if (err) {
		log_error("failed to read '%s': %s", path,
			  reason ? reason
			  : *why ? why
				 : strerror(-err));
		clear(&s);
		return err;
	}
	set->file[set->n++] = s;
	return 0;
}

/* --- answers --- */

static bool number(const struct http_request *r, const char *name, uint64_t *ret)
{
	const char *text = http_request__param(r, name);
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return !errno && !*end;
}

static struct served_file *find(struct served *set, const struct http_request *r, const char *name)
{
	uint64_t i = 0;

	if (!number(r, name, &i) && http_request__param(r, name))
		return NULL;
	return i < set->n ? &set->file[i] : NULL;
}

/* The profile of a source at the moment that the parameters `from` and `to` name. */
static int load_profile(const struct served_file *s, const struct http_request *r, const char *from,
			const char *to, struct profile **ret, const char **why)
{
	struct recording_window w = {0};
	uint64_t pid, ms;
	int err;

	if (s->kind == SERVED_RECORDING) {
		w.has_from = number(r, from, &ms);
		w.from_ns = w.has_from ? ms * 1000000 : 0;
		w.has_to = number(r, to, &ms);
		w.to_ns = w.has_to ? ms * 1000000 : 0;
		err = recording__profile(s->bytes, s->len, &w, ret, why);
	} else if (s->kind == SERVED_PROFILE) {
		err = load__buffer(s->bytes, s->len, ret, why);
	} else {
		*why = "this file holds no profile";
		err = -EBADMSG;
	}
	if (!err && number(r, "pid", &pid) && processes__keep(*ret, (uint32_t)pid)) {
		*why = "nothing of this process";
		profile__free(take_ptr(*ret));
		err = -ENOENT;
	}
	return err;
}

/* The base that the request names from p. */
static int subtract(struct served *set, const struct http_request *r, struct profile **p,
		    const char **why)
{
	const struct served_file *s = find(set, r, "base");
	struct profile *base = NULL;
	int err;

	*why = "no such base";
	err = s ? load_profile(s, r, "base_from", "base_to", &base, why) : -ENOENT;
	if (!err) {
		err = merge__subtract(p, base, why);
		profile__free(base);
	}
	return err;
}

/* What the request asks for; answers itself when there is none. */
static struct profile *asked_profile(struct served *set, const struct webpage_client *c,
				     const struct http_request *r)
{
	const struct served_file *s = find(set, r, "source");
	const char *why = "no such file";
	struct profile *p = NULL;
	int err = s ? load_profile(s, r, "from", "to", &p, &why) : -ENOENT;

	if (!err && http_request__param(r, "base"))
		err = subtract(set, r, &p, &why);
	if (!err) {
		why = "no memory";
		err = open__prepare(p, false);
	}
	if (!err)
		return p;
	profile__free(p);
	webpage__error(c, err == -ENOENT ? 404 : 400, why);
	return NULL;
}

static int write_about(FILE *f, void *arg)
{
	const struct served *set = arg;

	fputs("{\"schema\":\"memwatch.page/1\",\"version\":\"" MEMWATCH_VERSION
	      "\",\"mode\":\"files\",\"sources\":[",
	      f);
	for (size_t i = 0; i < set->n; i++) {
		const struct served_file *s = &set->file[i];

		fputs(i ? ",{\"name\":" : "{\"name\":", f);
		emit__json(f, s->name);
		fprintf(f, ",\"kind\":\"%s\"", kind_names[s->kind]);
		if (s->kind == SERVED_OOM)
			fprintf(f, ",\"kills\":%zu,\"left_out\":%zu", s->items, s->left_out);
		if (s->record)
			fprintf(f, ",\"damaged_bytes\":%zu", record__damage(s->record));
		putc('}', f);
	}
	fputs("]}\n", f);
	return 0;
}

static int write_timelines(FILE *f, void *arg)
{
	const struct timelines *set = arg;
	cleanup_free const struct timeline **t = calloc(set->n + 1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	for (size_t i = 0; i < set->n; i++)
		t[i] = &set->line[i];
	return timeline_plot__write_json(f, t, set->n);
}

static int write_kills(FILE *f, void *arg)
{
	const struct served_file *s = arg;

	fprintf(f, "{\"left_out\":%zu,\"events\":[", s->left_out);
	fwrite(s->bytes, 1, s->len, f);
	fputs("]}\n", f);
	return 0;
}

static void answer_profile(struct served *set, const struct webpage_client *c,
			   const struct http_request *r)
{
	struct profile *p = asked_profile(set, c, r);

	if (p && !strcmp(r->path, "/api/profile"))
		webpage__profile(c, p);
	else if (p && !strcmp(r->path, "/api/list"))
		webpage__list(c, r, p);
	else if (p)
		webpage__pprof(c, p, http_request__param(r, "download"));
	profile__free(p);
}

static void answer_series(struct served *set, const struct webpage_client *c,
			  const struct http_request *r)
{
	struct served_file *s = find(set, r, "source");
	static const char type[] = "application/json";

	if (!s)
		webpage__error(c, 404, "no such file");
	else if (!strcmp(r->path, "/api/timeline") && s->timelines.n)
		webpage__reply(c, type, NULL, write_timelines, &s->timelines);
	else if (!strcmp(r->path, "/api/verdicts") && s->record)
		webpage__verdicts(c, s->bytes, s->len);
	else if (!strcmp(r->path, "/api/oom") && s->kind == SERVED_OOM)
		webpage__reply(c, type, NULL, write_kills, s);
	else
		webpage__error(c, 404, "this file has none");
}

void served__answer(void *ctx, struct http *h, const struct http_request *r)
{
	struct webpage_client c = webpage__client(h, r);
	struct served *set = ctx;

	if (webpage__file(&c, r, NULL))
		return;
	if (!strcmp(r->path, "/api/about"))
		webpage__reply(&c, "application/json", NULL, write_about, set);
	else if (!strcmp(r->path, "/api/profile") || !strcmp(r->path, "/debug/pprof/heap") ||
		 !strcmp(r->path, "/api/list"))
		answer_profile(set, &c, r);
	else if (!strncmp(r->path, "/api/", 5))
		answer_series(set, &c, r);
	else
		webpage__error(&c, 404, "no such page");
}
