/* SPDX-License-Identifier: GPL-2.0-or-later */
/* query.c - what is asked of a history. */
#include "history/history_priv.h"

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/top_n.h"
#include "core/util.h"

#include <string.h>

/* Of one step, for one answer: peaks are in every step, so that growth needs few. */
#define ROWS_PASSES 2000
#define GROWTH_PASSES 100

/* --- windows: coarse steps for what is long ago, finer ones for what they have not reached --- */

struct passes_in {
	history_pass_fn fn;
	void *arg;
	int64_t last_ms;
};

static int on_pass(void *arg, int64_t time_ms, const struct pass_state *s)
{
	struct passes_in *w = arg;

	w->last_ms = time_ms;
	return w->fn(w->arg, time_ms, s);
}

static int wanted_step(int64_t from, int64_t to, int64_t max)
{
	int i = 0;

	while (i < HISTORY_STEPS - 1 && (to - from) / history_step_ms[i] > max)
		i++;
	return i;
}

/* Every pass in [from, to], in the finest step that has a bounded number of them; what is too long
 * ago for that step, and too new, in those that have it. */
static int walk_window(struct history *h, int64_t id, int64_t from, int64_t to, int64_t max,
		       history_pass_fn fn, void *arg)
{
	struct passes_in w = {fn, arg, from - 1};
	int64_t oldest;
	int best, err = history__value(h, HISTORY_OLDEST, 0, 0, to, &oldest);

	best = wanted_step(max_of(from, oldest), to, max);
	for (int step = HISTORY_STEPS - 1; step >= 0 && !err; step--) {
		int64_t until = to, finer;

		if (step > best) {
			err = history__value(h, HISTORY_FIRST_PASS, step - 1, 0, INT64_MAX, &finer);
			until = min_of(to, finer - 1);
		}
		if (!err && until > w.last_ms)
			err = history__walk(h, step, id, w.last_ms, until, on_pass, &w);
	}
	return err;
}

/* --- processes --- */

struct seen {
	struct hash_index index;
	struct history_process *p;
	size_t cap;
	int64_t last_ms;
};

static struct history_process *seen_of(struct seen *s, int64_t id)
{
	size_t at = HASH_INDEX_START;
	uint32_t i;

	while (hash_index__next(&s->index, keyhash__word((uint64_t)id), &at, &i)) {
		if (s->p[i].id == id)
			return &s->p[i];
	}
	if (hash_index__reserve(&s->index) || array_reserve(s->p, s->cap, s->index.n + 1))
		return NULL;
	i = s->index.n;
	s->p[i] = (struct history_process){.id = id, .peak_rss = TIMELINE_UNKNOWN};
	hash_index__add(&s->index, keyhash__word((uint64_t)id));
	return &s->p[i];
}

static int see_pass(void *arg, int64_t time_ms, const struct pass_state *pass)
{
	struct seen *s = arg;

	s->last_ms = time_ms;
	for (size_t i = 0; i < pass->n; i++) {
		const struct pass_entry *e = &pass->e[i];
		struct history_process *p = e->id == HISTORY_MACHINE_ID ? NULL : seen_of(s, e->id);

		if (e->id == HISTORY_MACHINE_ID)
			continue;
		if (!p)
			return -ENOMEM;
		if (!p->first_unix_ms) {
			p->first_unix_ms = time_ms;
			memcpy(p->first, e->value, sizeof(p->first));
		}
		p->last_unix_ms = time_ms;
		memcpy(p->last, e->value, sizeof(p->last));
		p->peak_rss = max_of(p->peak_rss,
				     max_of(e->value[HISTORY_PEAK_RSS], e->value[TIMELINE_RSS]));
	}
	return 0;
}

static int64_t growth(const struct history_process *p)
{
	return p->last[TIMELINE_RSS] - p->first[TIMELINE_RSS];
}

static int most_grown(const void *a, const void *b)
{
	const struct history_process *x = a, *y = b;

	if (growth(x) != growth(y))
		return growth(x) < growth(y) ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static int tell_process(struct history *h, struct history_process *p, history_process_fn fn,
			void *arg)
{
	int err;
	sqlite3_stmt *s = history__stmt(h, HISTORY_PROCESS, &err);

	if (!s)
		return err;
	sqlite3_bind_int64(s, 1, p->id);
	err = history__step(h, s);
	if (err > 0) {
		p->pid = sqlite3_column_int64(s, 1);
		p->uid = sqlite3_column_int64(s, 2);
		p->start_unix_ms = sqlite3_column_int64(s, 3);
		p->comm = (const char *)sqlite3_column_text(s, 4);
		p->command = (const char *)sqlite3_column_text(s, 5);
		p->cgroup = (const char *)sqlite3_column_text(s, 6);
		p->profiles = sqlite3_column_int64(s, 7);
		err = fn(arg, p);
	}
	sqlite3_reset(s);
	return err;
}

#define SEEN_ENOUGH 1

static int see_one_pass(void *arg, int64_t time_ms, const struct pass_state *pass)
{
	int err = see_pass(arg, time_ms, pass);

	return err ? err : SEEN_ENOUGH;
}

/* The finest step that reaches back to that moment, or the one that does the furthest. */
static int first_step(struct history *h, int64_t from, int *ret)
{
	int64_t first, earliest = INT64_MAX;
	int err = 0;

	*ret = 0;
	for (int step = 0; step < HISTORY_STEPS && earliest > from && !err; step++) {
		err = history__value(h, HISTORY_FIRST_PASS, step, 0, INT64_MAX, &first);
		if (err || first >= earliest)
			continue;
		earliest = first;
		*ret = step;
	}
	return err;
}

/* What it grew from is as it was at the window's begin, not at the end of a coarse step there. */
static int see_begin(struct history *h, const struct history_wanted *w, struct seen *s)
{
	int step, err = first_step(h, w->from, &step);

	if (!err)
		err = history__walk(h, step, HISTORY_ALL, w->from - 1, w->to, see_one_pass, s);
	return err == SEEN_ENOUGH ? 0 : err;
}

int history__processes(struct history *h, struct history_wanted *w, history_process_fn fn,
		       void *arg)
{
	struct seen s = {0};
	int err = see_begin(h, w, &s);
	size_t n;

	if (!err)
		err = walk_window(h, HISTORY_ALL, w->from, w->to, GROWTH_PASSES, see_pass, &s);
	n = top_n__sort(s.p, s.index.n, sizeof(*s.p), w->max, most_grown);
	w->left_out = s.index.n - n;
	for (size_t i = 0; i < n && !err; i++) {
		s.p[i].ended = s.p[i].last_unix_ms < s.last_ms;
		err = tell_process(h, &s.p[i], fn, arg);
	}
	hash_index__fini(&s.index);
	free(s.p);
	return err;
}

int history__lived(struct history *h, int64_t from, int64_t to, history_process_fn fn, void *arg)
{
	int err;
	sqlite3_stmt *s = history__stmt_with(h, HISTORY_LIVED, from - HISTORY_SEEN_MS, to, &err);

	if (!s)
		return err;
	while ((err = history__step(h, s)) > 0) {
		struct history_process p = {
			.id = sqlite3_column_int64(s, 0),
			.pid = sqlite3_column_int64(s, 1),
			.comm = (const char *)sqlite3_column_text(s, 2),
			.command = (const char *)sqlite3_column_text(s, 3),
			.first_unix_ms = sqlite3_column_int64(s, 4),
			.last_unix_ms = sqlite3_column_int64(s, 5),
		};

		err = fn(arg, &p);
		if (err)
			break;
	}
	sqlite3_reset(s);
	return err;
}

int history__find(struct history *h, uint32_t pid, int64_t from, int64_t to, int64_t *ret_process)
{
	int err;
	sqlite3_stmt *s = history__stmt(h, HISTORY_FIND_PID, &err);

	if (!s)
		return err;
	sqlite3_bind_int64(s, 1, pid);
	sqlite3_bind_int64(s, 2, from - HISTORY_SEEN_MS);
	sqlite3_bind_int64(s, 3, to);
	err = history__step(h, s);
	if (err > 0)
		*ret_process = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return err > 0 ? 0 : err ? err : -ENOENT;
}

int history__find_living(struct history *h, uint32_t pid, uint64_t start_ns, int64_t *ret_process)
{
	int err;
	sqlite3_stmt *s = history__stmt(h, HISTORY_FIND_LIVING, &err);

	if (!s)
		return err;
	sqlite3_bind_text(s, 1, h->boot, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, pid);
	sqlite3_bind_int64(s, 3, (int64_t)start_ns);
	err = history__step(h, s);
	if (err > 0)
		*ret_process = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return err > 0 ? 0 : err ? err : -ENOENT;
}

/* --- timelines --- */

struct timeline_of {
	int64_t id;
	struct timeline *t;
};

static bool has_ledger(const struct pass_entry *e, int64_t ret[LEDGER_KINDS])
{
	bool has = false;

	for (int k = 0; k < LEDGER_KINDS; k++) {
		ret[k] = e->value[HISTORY_LEDGER + k];
		has |= ret[k] != TIMELINE_UNKNOWN;
	}
	return has;
}

static int append_pass(void *arg, int64_t time_ms, const struct pass_state *s)
{
	struct timeline_of *of = arg;
	const struct pass_entry *e = pass_state__find(s, of->id);
	struct timeline_row row = timeline__row(time_ms);
	int64_t more[LEDGER_KINDS];
	int err = 0;

	if (!e)
		return 0;
	/* the peak of a step was somewhere in it, with its other values unknown */
	if (e->value[HISTORY_PEAK_RSS] > e->value[TIMELINE_RSS]) {
		struct timeline_row peak = timeline__row(time_ms - 1);

		peak.value[TIMELINE_VIRT] = e->value[TIMELINE_VIRT];
		peak.value[TIMELINE_RSS] = e->value[HISTORY_PEAK_RSS];
		err = timeline__append(of->t, &peak);
	}
	memcpy(row.value, e->value, sizeof(row.value));
	if (has_ledger(e, more)) {
		of->t->more_name = ledger_columns;
		of->t->nmore = LEDGER_KINDS;
		row.more = more;
	}
	return err ? err : timeline__append(of->t, &row);
}

static int name_timeline(void *arg, const struct history_process *p)
{
	struct timeline *t = arg;

	snprintf(t->name, sizeof(t->name), "%s", p->comm ? p->comm : "");
	return 0;
}

int history__timeline(struct history *h, int64_t process, int64_t from, int64_t to,
		      struct timeline *ret)
{
	struct timeline_of of = {process, ret};
	struct history_process p = {.id = process};
	int err = *ret->name ? 0 : tell_process(h, &p, name_timeline, ret);

	return err ? err : walk_window(h, process, from, to, ROWS_PASSES, append_pass, &of);
}

struct machine_of {
	history_machine_fn fn;
	void *arg;
};

static int machine_pass(void *arg, int64_t time_ms, const struct pass_state *s)
{
	const struct machine_of *m = arg;
	const struct pass_entry *e = pass_state__find(s, HISTORY_MACHINE_ID);

	return e ? m->fn(m->arg, time_ms, e->value) : 0;
}

int history__machine(struct history *h, int64_t from, int64_t to, history_machine_fn fn, void *arg)
{
	struct machine_of m = {fn, arg};

	return walk_window(h, HISTORY_MACHINE_ID, from, to, ROWS_PASSES, machine_pass, &m);
}

/* --- events and snapshots --- */

/* "" where there is none: whoever planted a history may have left it out. */
static const char *text_of(sqlite3_stmt *s, int column)
{
	const char *text = (const char *)sqlite3_column_text(s, column);

	return text ? text : "";
}

static int tell_events(struct history *h, sqlite3_stmt *s, history_event_fn fn, void *arg)
{
	int err;

	while ((err = history__step(h, s)) > 0) {
		struct history_event e = {
			.id = sqlite3_column_int64(s, 0),
			.time_unix_ms = sqlite3_column_int64(s, 1),
			.kind = text_of(s, 2),
			.pid = sqlite3_column_int64(s, 3),
			.comm = text_of(s, 4),
			.json = text_of(s, 5),
			.profile = sqlite3_column_int64(s, 6),
		};

		err = fn(arg, &e);
		if (err)
			break;
	}
	sqlite3_reset(s);
	return err;
}

/* A statement about what is wanted, bound but for how many it skips. */
static sqlite3_stmt *ask_events(struct history *h, enum history_sql which,
				const struct history_wanted *w, int *err)
{
	sqlite3_stmt *s = history__stmt_with(h, which, w->from, w->to, err);

	if (!s)
		return NULL;
	sqlite3_bind_text(s, 3, w->kind, -1, SQLITE_TRANSIENT);
	sqlite3_bind_int64(s, 4, w->pid);
	return s;
}

static sqlite3_stmt *ask_snapshots(struct history *h, enum history_sql which,
				   const struct history_wanted *w, int *err)
{
	sqlite3_stmt *s = history__stmt_with(h, which, w->from, w->to, err);

	if (s)
		sqlite3_bind_int64(s, 3, w->process);
	return s;
}

/* How many there are more than are wanted. */
static int left_out(struct history *h, sqlite3_stmt *s, struct history_wanted *w)
{
	int err = history__step(h, s);
	int64_t n = err > 0 ? sqlite3_column_int64(s, 0) : 0;

	sqlite3_reset(s);
	w->left_out = (size_t)n - min_of((size_t)n, w->max);
	return min_of(err, 0);
}

int history__events(struct history *h, struct history_wanted *w, history_event_fn fn, void *arg)
{
	int err;
	sqlite3_stmt *s = ask_events(h, HISTORY_COUNT_EVENTS, w, &err);

	if (s)
		err = left_out(h, s, w);
	s = err || !fn ? NULL : ask_events(h, HISTORY_EVENTS, w, &err);
	if (!s)
		return err;
	sqlite3_bind_int(s, 5, !w->brief);
	sqlite3_bind_int64(s, 6, (int64_t)w->left_out);
	return tell_events(h, s, fn, arg);
}

struct one_event {
	history_event_fn fn;
	void *arg;
	bool found;
};

static int on_event(void *arg, const struct history_event *e)
{
	struct one_event *o = arg;

	o->found = true;
	return o->fn(o->arg, e);
}

int history__event_by_id(struct history *h, int64_t id, history_event_fn fn, void *arg)
{
	struct one_event one = {fn, arg, false};
	int err;
	sqlite3_stmt *s = history__stmt(h, HISTORY_EVENT, &err);

	if (!s)
		return err;
	sqlite3_bind_int64(s, 1, id);
	err = tell_events(h, s, on_event, &one);
	return err ? err : one.found ? 0 : -ENOENT;
}

static int64_t known(sqlite3_stmt *s, int column)
{
	return sqlite3_column_type(s, column) == SQLITE_NULL ? TIMELINE_UNKNOWN
							     : sqlite3_column_int64(s, column);
}

int history__snapshots(struct history *h, struct history_wanted *w, history_snapshot_fn fn,
		       void *arg)
{
	int err;
	sqlite3_stmt *s = ask_snapshots(h, HISTORY_COUNT_SNAPSHOTS, w, &err);

	if (s)
		err = left_out(h, s, w);
	s = err || !fn ? NULL : ask_snapshots(h, HISTORY_SNAPSHOTS, w, &err);
	if (!s)
		return err;
	sqlite3_bind_int64(s, 4, (int64_t)w->left_out);
	while ((err = history__step(h, s)) > 0) {
		struct history_snapshot shot = {
			.id = sqlite3_column_int64(s, 0),
			.time_unix_ms = sqlite3_column_int64(s, 1),
			.process = sqlite3_column_int64(s, 2),
			.pid = sqlite3_column_int64(s, 3),
			.comm = (const char *)sqlite3_column_text(s, 4),
			.why = (const char *)sqlite3_column_text(s, 5),
			.inuse_bytes = known(s, 6),
			.alloc_bytes = known(s, 7),
		};

		err = fn(arg, &shot);
		if (err)
			break;
	}
	sqlite3_reset(s);
	return err;
}

int history__snapshot_at(struct history *h, int64_t process, int64_t unix_ms, int64_t *ret_id)
{
	int err = history__value(h, HISTORY_SNAPSHOT_AT, process, unix_ms, 0, ret_id);

	return err ? err : *ret_id ? 0 : -ENOENT;
}
