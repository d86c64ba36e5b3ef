/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history/view.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "core/emit.h"
#include "core/units.h"
#include "core/util.h"
#include "core/when.h"
#include "history/judged.h"
#include "oom/oom_record.h"
#include "oom/render.h"
#include "oom/throttle.h"

#define JUDGED 3
#define JUDGED_STACKS 5

struct listing {
	const struct history_view *v;
	size_t n;
	struct {
		int64_t process;
		uint32_t pid;
	} judged[JUDGED]; /* the most grown of which profiles were kept */
	size_t njudged;
};

static int stream_err(const struct history_view *v)
{
	return ferror(v->f) ? -EIO : 0;
}

static const char *size_text(char buf[UNITS_LEN], int64_t bytes)
{
	return bytes == TIMELINE_UNKNOWN ? "-" : units__size(buf, UNITS_LEN, bytes);
}

/* "+12.00MB", "-3.00MB", "0B" */
static const char *change_text(char buf[UNITS_LEN], int64_t bytes)
{
	char size[UNITS_LEN];

	snprintf(buf, UNITS_LEN, "%s%s", bytes > 0 ? "+" : "", units__size(size, UNITS_LEN, bytes));
	return buf;
}

static void put_json_value(FILE *f, const char *name, int64_t v)
{
	if (v == TIMELINE_UNKNOWN)
		fprintf(f, ",\"%s\":null", name);
	else
		fprintf(f, ",\"%s\":%" PRId64, name, v);
}

static struct history_wanted wanted(const struct history_view *v)
{
	return (struct history_wanted){.from = v->from, .to = v->to, .max = v->top};
}

/* --- the machine --- */

struct machine_sum {
	int64_t first[HISTORY_MACHINE_VALUES], last[HISTORY_MACHINE_VALUES];
	int64_t least, least_ms, some, full;
	size_t n;
};

static int sum_machine(void *arg, int64_t time_ms, const int64_t v[HISTORY_MACHINE_VALUES])
{
	struct machine_sum *m = arg;

	if (!m->n++) {
		memcpy(m->first, v, sizeof(m->first));
		m->least = INT64_MAX;
	}
	memcpy(m->last, v, sizeof(m->last));
	if (v[HISTORY_MEM_AVAILABLE] != TIMELINE_UNKNOWN && v[HISTORY_MEM_AVAILABLE] < m->least) {
		m->least = v[HISTORY_MEM_AVAILABLE];
		m->least_ms = time_ms;
	}
	m->some = max_of(m->some, v[HISTORY_PSI_SOME]);
	m->full = max_of(m->full, v[HISTORY_PSI_FULL]);
	return 0;
}

static void tell_machine(const struct history_view *v, const struct machine_sum *m)
{
	char a[UNITS_LEN], b[UNITS_LEN], c[UNITS_LEN], d[UNITS_LEN], when[WHEN_LEN];

	if (!m->n) {
		fputs("Nothing was recorded in this time.\n", v->f);
		return;
	}
	fprintf(v->f, "machine   %s, available %s at first, %s at last, least %s at %s\n",
		size_text(a, m->last[HISTORY_MEM_TOTAL]),
		size_text(b, m->first[HISTORY_MEM_AVAILABLE]),
		size_text(c, m->last[HISTORY_MEM_AVAILABLE]),
		m->least == INT64_MAX ? "-" : size_text(d, m->least),
		when__local(when, sizeof(when), m->least_ms));
	if (m->last[HISTORY_SWAP_TOTAL] > 0)
		fprintf(v->f, "swap      %s used at first, %s at last, of %s\n",
			size_text(a, m->first[HISTORY_SWAP_TOTAL] - m->first[HISTORY_SWAP_FREE]),
			size_text(b, m->last[HISTORY_SWAP_TOTAL] - m->last[HISTORY_SWAP_FREE]),
			size_text(c, m->last[HISTORY_SWAP_TOTAL]));
	if (m->last[HISTORY_PSI_SOME] != TIMELINE_UNKNOWN)
		fprintf(v->f,
			"pressure  at most %.2f %% of 10 s with some, %.2f %% with all tasks "
			"stalled for memory\n",
			(double)m->some / 100, (double)m->full / 100);
}

static int machine(const struct history_view *v)
{
	struct machine_sum m = {.n = 0};
	int err = history__machine(v->h, v->from, v->to, sum_machine, &m);

	if (err)
		return err;
	if (!v->json) {
		tell_machine(v, &m);
		return stream_err(v);
	}
	fprintf(v->f, "\"machine\":{\"passes\":%zu", m.n);
	if (m.n) {
		put_json_value(v->f, "total_bytes", m.last[HISTORY_MEM_TOTAL]);
		put_json_value(v->f, "available_first_bytes", m.first[HISTORY_MEM_AVAILABLE]);
		put_json_value(v->f, "available_last_bytes", m.last[HISTORY_MEM_AVAILABLE]);
		put_json_value(v->f, "available_least_bytes",
			       m.least == INT64_MAX ? TIMELINE_UNKNOWN : m.least);
		put_json_value(v->f, "available_least_unix_ms", m.least_ms);
		put_json_value(v->f, "swap_total_bytes", m.last[HISTORY_SWAP_TOTAL]);
		put_json_value(v->f, "swap_free_bytes", m.last[HISTORY_SWAP_FREE]);
		fprintf(v->f, ",\"psi_some_most_percent\":%.2f,\"psi_full_most_percent\":%.2f",
			(double)m.some / 100, (double)m.full / 100);
	}
	fputs("}", v->f);
	return stream_err(v);
}

/* --- processes --- */

static void process_json(FILE *f, const struct history_process *p)
{
	fprintf(f, "{\"pid\":%u,\"uid\":%u,\"start_unix_ms\":%" PRId64 ",\"ended\":%s,\"comm\":",
		p->pid, p->uid, p->start_unix_ms, p->ended ? "true" : "false");
	emit__json(f, p->comm ? p->comm : "");
	fputs(",\"command\":", f);
	emit__json(f, p->command ? p->command : "");
	fputs(",\"cgroup\":", f);
	emit__json(f, p->cgroup ? p->cgroup : "");
	put_json_value(f, "first_unix_ms", p->first_unix_ms);
	put_json_value(f, "last_unix_ms", p->last_unix_ms);
	put_json_value(f, "rss_first_bytes", p->first[TIMELINE_RSS]);
	put_json_value(f, "rss_bytes", p->last[TIMELINE_RSS]);
	put_json_value(f, "peak_rss_bytes", p->peak_rss);
	put_json_value(f, "virt_bytes", p->last[TIMELINE_VIRT]);
	put_json_value(f, "swap_bytes", p->last[TIMELINE_SWAP]);
	put_json_value(f, "inuse_bytes", p->last[TIMELINE_INUSE]);
	fprintf(f, ",\"profiles\":%u}", p->profiles);
}

static int list_process(void *arg, const struct history_process *p)
{
	struct listing *l = arg;
	FILE *f = l->v->f;
	char a[UNITS_LEN], b[UNITS_LEN], c[UNITS_LEN], d[UNITS_LEN];
	int64_t grown = p->last[TIMELINE_RSS] - p->first[TIMELINE_RSS];

	if (p->profiles && grown > 0 && l->njudged < JUDGED) {
		l->judged[l->njudged].process = p->id;
		l->judged[l->njudged++].pid = p->pid;
	}
	if (l->v->json) {
		fputs(l->n++ ? "," : "", f);
		process_json(f, p);
		return stream_err(l->v);
	}
	if (!l->n++)
		fprintf(f, "%10s %10s %10s %10s %8s  %s\n", "GROWTH", "RSS", "PEAK", "IN USE",
			"PID", "COMMAND");
	fprintf(f, "%10s %10s %10s %10s %8u  ", change_text(a, grown),
		size_text(b, p->last[TIMELINE_RSS]), size_text(c, p->peak_rss),
		size_text(d, p->last[TIMELINE_INUSE]), p->pid);
	emit__plain(f, p->command && p->command[0] ? p->command : p->comm ? p->comm : "");
	fprintf(f, "%s", p->ended ? "  (ended)" : "");
	if (p->profiles)
		fprintf(f, "  (%u profile%s)", p->profiles, units__s(p->profiles));
	fputc('\n', f);
	return stream_err(l->v);
}

static int list_growth(const struct history_view *v, struct listing *l)
{
	struct history_wanted w = wanted(v);
	int err;

	if (v->json)
		fputs("\"processes\":[", v->f);
	err = history__processes(v->h, &w, list_process, l);
	if (v->json)
		fprintf(v->f, "],\"processes_left_out\":%zu", w.left_out);
	else if (w.left_out)
		fprintf(v->f, "%zu more processes; --top shows more\n", w.left_out);
	else if (!l->n && !err)
		fputs("no process was seen\n", v->f);
	return err;
}

static int growth(const struct history_view *v)
{
	struct listing l = {.v = v};

	return list_growth(v, &l);
}

/* And what the stacks of the most grown did. */
static int growth_and_verdicts(const struct history_view *v)
{
	struct listing l = {.v = v};
	int err = list_growth(v, &l);

	if (v->json)
		fputs(",\"verdicts\":[", v->f);
	for (size_t i = 0; i < l.njudged && !err; i++) {
		if (v->json)
			fprintf(v->f, "%s{\"pid\":%u,\"stacks\":", i ? "," : "", l.judged[i].pid);
		else
			fputc('\n', v->f);
		err = judged__process(v->h, l.judged[i].process, v->to, JUDGED_STACKS, v->json,
				      v->f);
		if (v->json)
			fputc('}', v->f);
	}
	if (v->json)
		fputc(']', v->f);
	return err;
}

/* --- events --- */

static void oom_summary(FILE *f, const char *json)
{
	struct oom_event *e = malloc(sizeof(*e));
	struct textbuf b = {0};

	if (e && !oom_record__parse(json, strlen(json), e) && !render__summary(&b, e))
		fputs(b.text, f);
	else
		fputs("an OOM kill", f);
	textbuf__free(&b);
	free(e);
}

static void throttle_summary(FILE *f, const char *json)
{
	struct throttle_event e;
	struct textbuf b = {0};

	if (!throttle__parse(json, strlen(json), &e) && !throttle__summary(&b, &e))
		fputs(b.text, f);
	else
		fputs("a group was held up", f);
	textbuf__free(&b);
}

/* A value in the unit of an alert's record, as people write it. */
static void put_measure(FILE *f, const json_t *number, const char *unit)
{
	double v = json_number_value(number);
	char b[UNITS_LEN];

	if (!json_is_number(number)) {
		fputs("none", f); /* an end that is not in sight */
	} else if (!strcmp(unit, "bytes")) {
		fputs(units__size(b, sizeof(b), llround(v)), f);
	} else if (!strcmp(unit, "bytes/s")) {
		fprintf(f, "%s/min", units__size(b, sizeof(b), llround(v * 60)));
	} else if (!strcmp(unit, "seconds")) {
		fputs(units__time(b, sizeof(b), (uint64_t)(v * 1e9)), f);
	} else if (!strcmp(unit, "ratio")) {
		fprintf(f, "%.0f%%", v * 100);
	} else if (!strcmp(unit, "percent")) {
		fprintf(f, "%.2f%%", v);
	} else {
		fprintf(f, "%.6g ", v);
		emit__plain(f, unit);
	}
}

static void alert_summary(FILE *f, const char *json)
{
	json_t *o = json_loads(json, 0, NULL);
	const char *rule = json_string_value(json_object_get(o, "rule"));
	const char *state = json_string_value(json_object_get(o, "state"));
	const char *unit = json_string_value(json_object_get(o, "unit"));

	fputs("alert ", f);
	emit__plain(f, rule ? rule : "?");
	fputs(state && !strcmp(state, "resolved") ? " is over: " : ": ", f);
	put_measure(f, json_object_get(o, "value"), unit ? unit : "");
	fputs(", threshold ", f);
	put_measure(f, json_object_get(o, "threshold"), unit ? unit : "");
	json_decref(o);
}

/* What it says of itself is JSON, unless somebody planted it. */
static void event_json(FILE *f, const struct history_event *e)
{
	json_t *said = json_loads(e->json, 0, NULL);

	fprintf(f, "{\"id\":%" PRId64 ",\"time_unix_ms\":%" PRId64 ",\"kind\":", e->id,
		e->time_unix_ms);
	emit__json(f, e->kind);
	put_json_value(f, "profile", e->profile ? e->profile : TIMELINE_UNKNOWN);
	fputs(",\"event\":", f);
	emit__json_text(f, said ? e->json : "null");
	fputs("}", f);
	json_decref(said);
}

/* How many older ones are not listed. */
static void tell_left_out(const struct history_view *v, const char *what, size_t n)
{
	if (v->json)
		fprintf(v->f, ",\"%ss_left_out\":%zu", what, n);
	else if (n)
		fprintf(v->f, "%zu older %s%s left out; --top shows more\n", n, what,
			n > 1 ? "s are" : " is");
}

static int list_event(void *arg, const struct history_event *e)
{
	struct listing *l = arg;
	FILE *f = l->v->f;
	char when[WHEN_LEN];

	if (l->v->json) {
		fputs(l->n++ ? "," : "", f);
		event_json(f, e);
		return stream_err(l->v);
	}
	l->n++;
	fprintf(f, "%s  #%-5" PRId64 " ", when__local(when, sizeof(when), e->time_unix_ms), e->id);
	if (!strcmp(e->kind, "oom")) {
		oom_summary(f, e->json);
	} else if (!strcmp(e->kind, "throttle")) {
		throttle_summary(f, e->json);
	} else {
		if (e->pid) {
			fprintf(f, "%u (", e->pid);
			emit__plain(f, e->comm ? e->comm : "");
			fputs(") ", f);
		} else { /* the machine's, and no process was watched */
			fputs("machine ", f);
		}
		alert_summary(f, e->json);
	}
	if (e->profile)
		fprintf(f, "  (profile %" PRId64 ")", e->profile);
	fputc('\n', f);
	return stream_err(l->v);
}

static int events(const struct history_view *v)
{
	struct history_wanted w = wanted(v);
	struct listing l = {.v = v};
	int err;

	if (v->json)
		fputs("\"events\":[", v->f);
	err = history__events(v->h, &w, list_event, &l);
	if (v->json)
		fputs("]", v->f);
	else if (!l.n && !err)
		fputs("no OOM kills, no alerts, no group held up\n", v->f);
	tell_left_out(v, "event", w.left_out);
	return err;
}

static int whole_event(void *arg, const struct history_event *e)
{
	const struct history_view *v = arg;
	struct oom_event *oom = malloc(sizeof(*oom));
	struct listing l = {.v = v};
	struct textbuf b = {0};
	int err = 0;

	if (v->json) {
		event_json(v->f, e);
		fputc('\n', v->f);
	} else if (!strcmp(e->kind, "oom") && oom &&
		   !oom_record__parse(e->json, strlen(e->json), oom) && !render__text(&b, oom)) {
		fputs(b.text, v->f);
		if (e->profile)
			fprintf(v->f, "profile of that moment: %" PRId64 "\n", e->profile);
	} else {
		err = list_event(&l, e);
	}
	textbuf__free(&b);
	free(oom);
	return err ? err : stream_err(v);
}

/* --- profiles --- */

static int list_snapshot(void *arg, const struct history_snapshot *s)
{
	struct listing *l = arg;
	FILE *f = l->v->f;
	char a[UNITS_LEN], b[UNITS_LEN], when[WHEN_LEN];

	if (l->v->json) {
		fprintf(f,
			"%s{\"id\":%" PRId64 ",\"time_unix_ms\":%" PRId64 ",\"pid\":%u,\"comm\":",
			l->n++ ? "," : "", s->id, s->time_unix_ms, s->pid);
		emit__json(f, s->comm ? s->comm : "");
		fputs(",\"why\":", f);
		emit__json(f, s->why ? s->why : "");
		put_json_value(f, "inuse_bytes", s->inuse_bytes);
		put_json_value(f, "alloc_bytes", s->alloc_bytes);
		fputc('}', f);
		return stream_err(l->v);
	}
	if (!l->n++)
		fprintf(f, "%8s  %-29s %8s %10s %10s  %s\n", "PROFILE", "TIME", "PID", "IN USE",
			"ALLOC", "COMMAND");
	fprintf(f, "%8" PRId64 "  %-29s %8u %10s %10s  ", s->id,
		when__local(when, sizeof(when), s->time_unix_ms), s->pid,
		size_text(a, s->inuse_bytes), size_text(b, s->alloc_bytes));
	emit__plain(f, s->comm ? s->comm : "");
	if (s->why && strcmp(s->why, "regular")) {
		fputs("  (", f);
		emit__plain(f, s->why);
		fputc(')', f);
	}
	fputc('\n', f);
	return stream_err(l->v);
}

static int profiles(const struct history_view *v, int64_t process)
{
	struct history_wanted w = wanted(v);
	struct listing l = {.v = v};
	int err;

	w.process = process;
	if (v->json)
		fputs("\"profiles\":[", v->f);
	err = history__snapshots(v->h, &w, list_snapshot, &l);
	if (v->json)
		fputs("]", v->f);
	else if (!l.n && !err)
		fputs("no profiles\n", v->f);
	tell_left_out(v, "profile", w.left_out);
	return err;
}

/* Only how many there are. */
static int count_profiles(const struct history_view *v)
{
	struct history_wanted w = wanted(v);
	int err;

	w.max = 0;
	err = history__snapshots(v->h, &w, NULL, NULL);
	if (!err && w.left_out)
		fprintf(v->f, "\n%zu heap profiles were kept: --profiles lists them\n", w.left_out);
	return err;
}

/* --- one process --- */

static void rows_json(FILE *f, const struct timeline *t)
{
	fputs("\"rows\":[", f);
	for (size_t i = 0; i < t->nrows; i++) {
		fprintf(f, "%s{\"time_unix_ms\":%" PRId64, i ? "," : "", t->rows[i].time_unix_ms);
		for (int c = 0; c < TIMELINE_COLUMNS; c++)
			put_json_value(f, timeline__column_name(c), t->rows[i].value[c]);
		fputc('}', f);
	}
	fputs("]", f);
}

static void rows_text(FILE *f, const struct timeline *t)
{
	char a[UNITS_LEN], b[UNITS_LEN], c[UNITS_LEN], d[UNITS_LEN], e[UNITS_LEN], when[WHEN_LEN];

	fprintf(f, "%-29s %10s %10s %10s %10s %10s\n", "TIME", "VIRT", "RSS", "ANON", "SWAP",
		"IN USE");
	for (size_t i = 0; i < t->nrows; i++) {
		const int64_t *v = t->rows[i].value;

		fprintf(f, "%-29s %10s %10s %10s %10s %10s\n",
			when__local(when, sizeof(when), t->rows[i].time_unix_ms),
			size_text(a, v[TIMELINE_VIRT]), size_text(b, v[TIMELINE_RSS]),
			size_text(c, v[TIMELINE_RSS_ANON]), size_text(d, v[TIMELINE_SWAP]),
			size_text(e, v[TIMELINE_INUSE]));
	}
	if (t->bucket_ms)
		fprintf(f, "the highest and lowest of every %.0f s; --top shows more, -o all\n",
			(double)t->bucket_ms / 1000);
}

int history_view__process(const struct history_view *v, int64_t process)
{
	struct timeline t;
	int err;

	timeline__init(&t, 0, "", v->top);
	err = history__timeline(v->h, process, v->from, v->to, &t);
	if (!err && v->json) {
		fputs("{\"schema\":\"memwatch.history/1\",", v->f);
		rows_json(v->f, &t);
		fputs(",", v->f);
	} else if (!err) {
		rows_text(v->f, &t);
		fputc('\n', v->f);
	}
	timeline__clear(&t);
	if (!err)
		err = profiles(v, process);
	if (!err)
		fputs(v->json ? ",\"verdicts\":" : "\n", v->f);
	if (!err)
		err = judged__process(v->h, process, v->to, v->top, v->json, v->f);
	if (!err && v->json)
		fputs("}\n", v->f);
	return err;
}

/* --- whole answers --- */

/* A part as a JSON object of its own, or as text. */
static int alone(const struct history_view *v, int (*part)(const struct history_view *))
{
	int err;

	if (v->json)
		fputs("{\"schema\":\"memwatch.history/1\",", v->f);
	err = part(v);
	if (v->json)
		fputs("}\n", v->f);
	return err ? err : stream_err(v);
}

int history_view__growth(const struct history_view *v)
{
	return alone(v, growth);
}

int history_view__events(const struct history_view *v)
{
	return alone(v, events);
}

static int all_profiles(const struct history_view *v)
{
	return profiles(v, 0);
}

int history_view__profiles(const struct history_view *v, int64_t process)
{
	return process ? profiles(v, process) : alone(v, all_profiles);
}

int history_view__event(const struct history_view *v, int64_t id)
{
	return history__event_by_id(v->h, id, whole_event, (void *)v);
}

static int everything(const struct history_view *v)
{
	char a[WHEN_LEN], b[WHEN_LEN], d[UNITS_LEN];
	int err;

	if (v->json)
		fprintf(v->f, "\"from_unix_ms\":%" PRId64 ",\"to_unix_ms\":%" PRId64 ",", v->from,
			v->to);
	else
		fprintf(v->f, "from      %s\nto        %s (%s)\n",
			when__local(a, sizeof(a), v->from), when__local(b, sizeof(b), v->to),
			units__time(d, sizeof(d), (uint64_t)(v->to - v->from) * 1000000));
	err = machine(v);
	fputs(v->json ? "," : "\n", v->f);
	if (!err)
		err = events(v);
	fputs(v->json ? "," : "\n", v->f);
	if (!err)
		err = growth_and_verdicts(v);
	if (!err && v->json) {
		fputs(",", v->f);
		return profiles(v, 0);
	}
	return err ? err : count_profiles(v);
}

int history_view__all(const struct history_view *v)
{
	return alone(v, everything);
}
