/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/api_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/top_n.h"
#include "core/util.h"
#include "format/timeline_plot.h"
#include "web/webpage.h"

#define MAX_PROCESSES 500 /* listed */
#define SPARK 60	  /* points of a process's RSS */
#define MAX_EVENTS 200	  /* listed, each with what its JSON has */
#define MAX_MARKS 500	  /* of a window */
#define DEFAULT_SPAN_MS 3600000

struct api {
	struct api_sources s;
	uint64_t stream[HTTP_MAX_STREAMS]; /* tickets */
	size_t n;
};

int api__new(const struct api_sources *s, struct api **ret)
{
	struct api *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->s = *s;
	*ret = a;
	return 0;
}

void api__free(struct api *a)
{
	free(a);
}

/* --- answers --- */

static int put_text(FILE *f, void *arg)
{
	const struct textbuf *b = arg;

	return fwrite(b->text, 1, b->len, f) == b->len ? 0 : -EIO;
}

/* And gives the text back. */
static void reply(const struct webpage_client *c, struct textbuf *b)
{
	if (b->err)
		webpage__error(c, 500, "out of memory");
	else
		webpage__reply(c, "application/json", NULL, put_text, b);
	textbuf__free(b);
}

/* ?from= and ?to=, ms since 1970; the last hour without. */
static bool read_window(const struct http_request *r, int64_t *ret_from, int64_t *ret_to)
{
	return api__number(r, "to", util__wall_ms(), INT64_MAX / 2, ret_to) &&
	       api__number(r, "from", max_of(*ret_to - DEFAULT_SPAN_MS, (int64_t)0), INT64_MAX / 2,
			   ret_from) &&
	       *ret_from <= *ret_to;
}

/* --- processes --- */

static int by_size(const void *a, const void *b)
{
	uint64_t x = mw_task_row__rss(&(*(const struct table_proc *const *)a)->row),
		 y = mw_task_row__rss(&(*(const struct table_proc *const *)b)->row);

	return x < y ? 1 : x > y ? -1 : 0;
}

static void put_member(struct textbuf *b, const char *name, const char *value)
{
	textbuf__format(b, ",\"%s\":", name);
	textbuf__json(b, value ? value : "");
}

static void put_spark(struct textbuf *b, const struct table_proc *p)
{
	uint32_t first = p->nhistory > SPARK ? p->nhistory - SPARK : 0;

	textbuf__str(b, ",\"spark\":[");
	for (uint32_t i = first; i < p->nhistory; i++)
		textbuf__format(b, "%s%" PRIu64, i > first ? "," : "", p->history[i].rss_bytes);
	textbuf__str(b, "]}");
}

static void put_process(const struct api *a, struct textbuf *b, const struct table_proc *p)
{
	const struct deep_process *d =
		deep__find(a->s.from->deep, (struct deep_id){p->row.tgid, p->row.start_ns});
	bool profiled = d && !d->ended;
	double growth = 0;

	table_proc__growth(p, &growth);
	textbuf__format(b, "{\"pid\":%u", p->row.tgid);
	put_member(b, "comm", p->comm);
	put_member(b, "user", p->user);
	put_member(b, "cgroup", p->cgroup);
	put_member(b, "container", p->container);
	put_member(b, "rule", profiled ? d->rule : "");
	textbuf__format(b,
			",\"rss_bytes\":%" PRIu64 ",\"virt_bytes\":%" PRIu64
			",\"growth_bytes_s\":%.0f,\"profiled\":%s",
			(uint64_t)mw_task_row__rss(&p->row), (uint64_t)p->row.virt_bytes,
			growth / 60, profiled ? "true" : "false");
	if (profiled && deep__is_thinned(d))
		textbuf__format(b, ",\"sample_bytes\":%" PRIu64,
				deep__sample_bytes(a->s.from->deep, d));
	put_spark(b, p);
}

static void answer_processes(struct api *a, const struct webpage_client *c)
{
	const struct table *t = a->s.from->table;
	const struct table_proc **row = calloc(t->n + 1, sizeof(*row));
	struct textbuf b = {0};
	size_t n = 0, shown;

	for (size_t i = 0; row && i < t->n; i++) {
		if (!(t->proc[i]->row.flags & (MW_TASK_KTHREAD | MW_TASK_NO_MM)))
			row[n++] = t->proc[i];
	}
	shown = top_n__sort(row, n, sizeof(*row), MAX_PROCESSES, by_size);
	textbuf__format(&b, "{\"time_unix_ms\":%" PRId64 ",\"left_out\":%zu,\"processes\":[",
			util__wall_ms(), n - shown);
	for (size_t i = 0; i < shown; i++) {
		textbuf__str(&b, i ? ",\n" : "");
		put_process(a, &b, row[i]);
	}
	textbuf__str(&b, "]}\n");
	b.err = row ? b.err : -ENOMEM;
	reply(c, &b);
	free(row);
}

/* --- the machine --- */

enum machine_column { TIME, TOTAL, AVAILABLE, SWAP_USED, SOME, FULL, MACHINE_COLUMNS };

struct machine_text {
	struct textbuf column[MACHINE_COLUMNS];
};

static void put_value(struct textbuf *b, bool known, double value)
{
	textbuf__str(b, b->len ? "," : "");
	if (known)
		textbuf__format(b, "%.15g", value);
	else
		textbuf__str(b, "null");
}

static int put_machine(void *arg, int64_t time_unix_ms, const int64_t v[HISTORY_MACHINE_VALUES])
{
	struct machine_text *t = arg;
	bool has_swap = v[HISTORY_SWAP_TOTAL] != TIMELINE_UNKNOWN &&
			v[HISTORY_SWAP_FREE] != TIMELINE_UNKNOWN;

	put_value(&t->column[TIME], true, (double)time_unix_ms);
	put_value(&t->column[TOTAL], v[HISTORY_MEM_TOTAL] != TIMELINE_UNKNOWN,
		  (double)v[HISTORY_MEM_TOTAL]);
	put_value(&t->column[AVAILABLE], v[HISTORY_MEM_AVAILABLE] != TIMELINE_UNKNOWN,
		  (double)v[HISTORY_MEM_AVAILABLE]);
	put_value(&t->column[SWAP_USED], has_swap,
		  has_swap ? (double)(v[HISTORY_SWAP_TOTAL] - v[HISTORY_SWAP_FREE]) : 0);
	put_value(&t->column[SOME], v[HISTORY_PSI_SOME] != TIMELINE_UNKNOWN,
		  (double)v[HISTORY_PSI_SOME] / 100);
	put_value(&t->column[FULL], v[HISTORY_PSI_FULL] != TIMELINE_UNKNOWN,
		  (double)v[HISTORY_PSI_FULL] / 100);
	return t->column[TIME].err;
}

/* Without a history: the present. */
static void put_machine_now(const struct machine *m, struct machine_text *t)
{
	const int64_t v[HISTORY_MACHINE_VALUES] = {
		[HISTORY_MEM_TOTAL] = (int64_t)m->total_bytes,
		[HISTORY_MEM_AVAILABLE] = (int64_t)m->available_bytes,
		[HISTORY_SWAP_TOTAL] = (int64_t)m->swap_total_bytes,
		[HISTORY_SWAP_FREE] = (int64_t)m->swap_free_bytes,
		[HISTORY_PSI_SOME] = m->has_psi ? (int64_t)(m->some_avg10 * 100) : TIMELINE_UNKNOWN,
		[HISTORY_PSI_FULL] =
			m->has_psi ? (int64_t)(m->full_avg10 * 100) : TIMELINE_UNKNOWN};

	put_machine(t, util__wall_ms(), v);
}

static void name_mark(struct textbuf *b, const struct history_event *e)
{
	bool is_oom = !strcmp(e->kind, "oom");
	const char *comm = e->comm ? e->comm : "";

	if (!strcmp(e->kind, "throttle"))
		textbuf__format(b, "held up at memory.high: %s", comm);
	else if (is_oom && !e->pid)
		textbuf__str(b, "OOM without a victim");
	else if (!e->pid)
		textbuf__str(b, "alert: machine");
	else
		textbuf__format(b, "%s: PID %u (%s)", is_oom ? "OOM kill" : "alert", e->pid, comm);
}

static int put_mark(void *arg, const struct history_event *e)
{
	struct textbuf *b = arg, text = {0};

	name_mark(&text, e);
	textbuf__format(b, "%s{\"time_unix_ms\":%" PRId64 ",\"text\":", b->len ? "," : "",
			e->time_unix_ms);
	textbuf__json(b, text.text ? text.text : "");
	textbuf__str(b, "}");
	textbuf__free(&text);
	return b->err;
}

static void answer_machine(struct api *a, const struct webpage_client *c,
			   const struct http_request *r)
{
	static const char *const names[MACHINE_COLUMNS] = {"time_unix_ms",    "total_bytes",
							   "available_bytes", "swap_used_bytes",
							   "pressure_some",   "pressure_full"};
	struct history *h = keeper__history(a->s.keeper);
	struct history_wanted w = {.max = MAX_MARKS, .brief = true};
	struct textbuf b = {0}, marks = {0};
	struct machine_text t = {0};

	if (!read_window(r, &w.from, &w.to)) {
		webpage__error(c, 400, "from and to are milliseconds since 1970");
		return;
	}
	if (!h || history__machine(h, w.from, w.to, put_machine, &t))
		put_machine_now(a->s.from->machine, &t);
	if (h)
		history__events(h, &w, put_mark, &marks);
	textbuf__str(&b, "{\"columns\":{");
	for (int i = 0; i < MACHINE_COLUMNS; i++) {
		textbuf__format(&b, "%s\"%s\":[", i ? "," : "", names[i]);
		textbuf__raw(&b, t.column[i].text ? t.column[i].text : "", t.column[i].len);
		textbuf__str(&b, "]");
		b.err = b.err ? b.err : t.column[i].err;
		textbuf__free(&t.column[i]);
	}
	textbuf__str(&b, "},\"marks\":[");
	textbuf__raw(&b, marks.text ? marks.text : "", marks.len);
	textbuf__format(&b, "],\"marks_left_out\":%zu}\n", w.left_out);
	textbuf__free(&marks);
	reply(c, &b);
}

/* --- one process --- */

static int put_timeline(FILE *f, void *arg)
{
	const struct timeline *t = arg;

	return timeline_plot__write_json(f, &t, 1);
}

static int mark_timeline(void *arg, const struct history_event *e)
{
	timeline__mark(arg, e->time_unix_ms, strcmp(e->kind, "oom") ? "alert" : "OOM kill");
	return 0;
}

static const char *name_of(const struct api *a, uint32_t pid)
{
	const struct table_proc *p = table__find(a->s.from->table, pid);

	return p ? p->comm : "";
}

/* Of one that the history does not have (so far): the present. -ENOENT: it is not there. */
static int put_now(const struct api *a, uint32_t pid, struct timeline *t)
{
	const struct table_proc *p;
	struct timeline_row row = timeline__row(util__wall_ms());

	roster__meet(a->s.roster, pid);
	p = table__find(a->s.from->table, pid);
	if (!p || (p->row.flags & (MW_TASK_KTHREAD | MW_TASK_NO_MM)))
		return -ENOENT;
	row.value[TIMELINE_VIRT] = (int64_t)p->row.virt_bytes;
	row.value[TIMELINE_RSS] = (int64_t)mw_task_row__rss(&p->row);
	row.value[TIMELINE_RSS_ANON] = (int64_t)p->row.anon_bytes;
	row.value[TIMELINE_RSS_FILE] = (int64_t)p->row.file_bytes;
	row.value[TIMELINE_RSS_SHMEM] = (int64_t)p->row.shmem_bytes;
	row.value[TIMELINE_SWAP] = (int64_t)p->row.swap_bytes;
	return timeline__append(t, &row);
}

static int read_timeline(struct api *a, uint32_t pid, int64_t from, int64_t to, struct timeline *t)
{
	struct history *h = keeper__history(a->s.keeper);
	struct history_wanted marks = {
		.from = from, .to = to, .pid = pid, .max = MAX_MARKS, .brief = true};
	int64_t process;
	int err = h ? history__find(h, pid, from, to, &process) : -ENOENT;

	if (err)
		return err == -ENOENT ? put_now(a, pid, t) : err;
	err = history__timeline(h, process, from, to, t);
	history__events(h, &marks, mark_timeline, t);
	t->marks_dropped += marks.left_out;
	return err;
}

static void answer_timeline(struct api *a, const struct webpage_client *c,
			    const struct http_request *r)
{
	int64_t from, to, pid;
	struct timeline t;
	int err;

	if (!read_window(r, &from, &to) || !api__number(r, "pid", 0, UINT32_MAX, &pid) || !pid) {
		webpage__error(c, 400,
			       "pid is a process id, from and to are milliseconds since 1970");
		return;
	}
	timeline__init(&t, (uint32_t)pid, name_of(a, (uint32_t)pid), 0);
	err = read_timeline(a, (uint32_t)pid, from, to, &t);
	if (err)
		webpage__error(c, err == -ENOENT ? 404 : 500,
			       err == -ENOENT ? "no such process in that time" : strerror(-err));
	else
		webpage__reply(c, "application/json", NULL, put_timeline, &t);
	timeline__clear(&t);
}

/* --- events --- */

struct event_list {
	struct textbuf line[MAX_EVENTS];
	size_t n;
};

static int keep_event(void *arg, const struct history_event *e)
{
	struct event_list *l = arg;
	struct textbuf *b = &l->line[l->n];

	if (l->n == MAX_EVENTS) /* it came while they were counted */
		return 0;
	l->n++;
	textbuf__raw(b, e->json, strcspn(e->json, "\n"));
	/* one object; how to ask for its profile is ours to add */
	if (e->profile && b->len > 1 && b->text[b->len - 1] == '}') {
		b->len--;
		textbuf__format(b, ",\"kept\":%" PRId64 "}", e->profile);
	}
	return b->err;
}

/* The newest first. */
static void answer_events(struct api *a, const struct webpage_client *c, const char *kind)
{
	struct history *h = keeper__history(a->s.keeper);
	struct history_wanted w = {.to = INT64_MAX / 2, .kind = kind, .max = MAX_EVENTS};
	struct event_list *l = calloc(1, sizeof(*l));
	struct textbuf b = {0};
	int err = l ? 0 : -ENOMEM;

	if (!err && h)
		err = history__events(h, &w, keep_event, l);
	textbuf__format(&b, "{\"left_out\":%zu,\"events\":[", w.left_out);
	for (size_t i = l ? l->n : 0; i-- > 0;) {
		textbuf__raw(&b, l->line[i].text, l->line[i].len);
		textbuf__str(&b, i ? ",\n" : "");
		textbuf__free(&l->line[i]);
	}
	textbuf__str(&b, "]}\n");
	free(l);
	if (err)
		webpage__error(c, 500, strerror(-err));
	else
		reply(c, &b);
	if (err)
		textbuf__free(&b);
}

static void begin_stream(struct api *a, const struct http_request *r)
{
	struct http_answer answer = {.stream = true, .content_type = "text/event-stream"};

	if (a->n == HTTP_MAX_STREAMS)
		http__reply_text(a->s.http, r->ticket, 503, "too many streams\n");
	else if (!http__reply(a->s.http, r->ticket, &answer))
		a->stream[a->n++] = r->ticket;
}

void api__gone(struct api *a, uint64_t ticket)
{
	for (size_t i = 0; i < a->n; i++) {
		if (a->stream[i] == ticket)
			a->stream[i--] = a->stream[--a->n];
	}
}

void api__pass(struct api *a)
{
	char data[64];
	int len = snprintf(data, sizeof(data), "{\"time_unix_ms\":%" PRId64 "}", util__wall_ms());

	for (size_t i = 0; i < a->n; i++)
		http__event(a->s.http, a->stream[i], "changed", data, (size_t)len);
}

/* --- questions --- */

static void answer_about(const struct webpage_client *c)
{
	struct textbuf b = {0};

	textbuf__str(&b, "{\"schema\":\"memwatch.page/1\",\"version\":\"" MEMWATCH_VERSION
			 "\",\"mode\":\"daemon\"}\n");
	reply(c, &b);
}

bool api__answer(struct api *a, const struct http_request *r)
{
	struct webpage_client c = webpage__client(a->s.http, r);

	if (webpage__file(&c, r, "daemon"))
		return true;
	if (strncmp(r->path, "/api/", 5))
		return false;
	if (!strcmp(r->path, "/api/about"))
		answer_about(&c);
	else if (!strcmp(r->path, "/api/processes"))
		answer_processes(a, &c);
	else if (!strcmp(r->path, "/api/machine"))
		answer_machine(a, &c, r);
	else if (!strcmp(r->path, "/api/timeline"))
		answer_timeline(a, &c, r);
	else if (api_profile__answer(&a->s, &c, r))
		return true;
	else if (!strcmp(r->path, "/api/oom"))
		answer_events(a, &c, "oom");
	else if (!strcmp(r->path, "/api/alerts"))
		answer_events(a, &c, "alert");
	else if (!strcmp(r->path, "/api/events"))
		begin_stream(a, r);
	else
		webpage__error(&c, 404, "nothing here");
	return true;
}
