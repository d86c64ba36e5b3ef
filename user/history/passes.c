/* SPDX-License-Identifier: GPL-2.0-or-later */
/* passes.c - passes over all processes into the finest step. */
#include "history/history_priv.h"

#include "core/util.h"

#include <string.h>

#define YOUNG_NS 10000000000ULL
#define SMALL_BYTES (8 << 20)

int history__process_id(struct history *h, const struct history_row *row, int64_t time_ms,
			int64_t *ret)
{
	int64_t age_ms = (int64_t)((util__boot_ns() - row->start_ns) / 1000000);
	int err;
	sqlite3_stmt *s = history__stmt(h, HISTORY_ADD_PROCESS, &err);

	if (!s)
		return err;
	sqlite3_bind_text(s, 1, h->boot, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, row->pid);
	sqlite3_bind_int64(s, 3, (int64_t)row->start_ns);
	sqlite3_bind_int64(s, 4, util__wall_ms() - age_ms);
	sqlite3_bind_int64(s, 5, row->uid);
	sqlite3_bind_text(s, 6, row->comm, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(s, 7, row->command, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(s, 8, row->cgroup, -1, SQLITE_TRANSIENT);
	sqlite3_bind_int64(s, 9, time_ms);
	err = history__step(h, s);
	if (err > 0) {
		*ret = sqlite3_column_int64(s, 0);
		err = history__step(h, s);
	}
	sqlite3_reset(s);
	return min_of(err, 0);
}

/*
 * How far back a reading begins. A reading that goes on in a finer step where a coarser one ends
 * finds a key there or, where the changes are much less than a key, within some minutes.
 */
static const int64_t key_every_ms[HISTORY_STEPS] = {60000, 600000, 600000, 6 * 3600000};

static bool is_key(const struct history *h, int step, int64_t time_ms)
{
	int64_t every = key_every_ms[step];

	return !h->last[step].n || time_ms / every != h->written_ms[step] / every;
}

int history__write_pass(struct history *h, int step, int64_t time_ms, const struct pass_state *now)
{
	static const struct pass_state nothing;
	bool key = is_key(h, step, time_ms);
	cleanup_free uint8_t *data = NULL;
	size_t len;
	int err = pass_code__write(key ? &nothing : &h->last[step], now, &data, &len);
	sqlite3_stmt *s = err ? NULL : history__stmt(h, HISTORY_ADD_PASS, &err);

	if (!s)
		return err;
	sqlite3_bind_int(s, 1, step);
	sqlite3_bind_int64(s, 2, time_ms);
	sqlite3_bind_int(s, 3, key);
	sqlite3_bind_blob64(s, 4, data, len, SQLITE_STATIC);
	err = history__step(h, s);
	sqlite3_clear_bindings(s);
	if (!err)
		err = pass_state__set(&h->last[step], now->e, now->n);
	h->written_ms[step] = time_ms;
	return err;
}

/* After what was written was taken back: what is in memory is no longer what is in the file. */
static void start_over(struct history *h)
{
	for (int i = 0; i < HISTORY_STEPS; i++) {
		h->last[i].n = 0;
		h->rolled_ms[i] = 0;
	}
	h->nlive = 0;
}

/* -1: before, 0: the same, 1: behind */
static int order(uint32_t pid, uint64_t start_ns, const struct history_row *r)
{
	if (pid != r->pid)
		return pid < r->pid ? -1 : 1;
	return start_ns < r->start_ns ? -1 : start_ns > r->start_ns;
}

static int by_process(const void *a, const void *b)
{
	const struct history_row *x = *(const struct history_row *const *)a;

	return order(x->pid, x->start_ns, *(const struct history_row *const *)b);
}

static int by_id(const void *a, const void *b)
{
	const struct pass_entry *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int order_live(const struct history_live *l, const struct history_row *r)
{
	return order(l->pid, l->start_ns, r);
}

static bool is_worth_it(const struct history_row *r, uint64_t now_ns)
{
	return now_ns - r->start_ns >= YOUNG_NS || r->value[TIMELINE_RSS] >= SMALL_BYTES;
}

/* Which process each row is of; those that were there and are no more have been seen last now. */
static int match(struct history *h, const struct history_row **row, size_t n, int64_t time_ms,
		 struct history_live *live, size_t *ret_n, struct pass_entry *entry)
{
	uint64_t now_ns = util__boot_ns();
	size_t at = 0, k = 0;
	int err = 0;

	for (size_t i = 0; i <= n && !err; i++) {
		const struct history_row *r = i < n ? row[i] : NULL;

		for (; at < h->nlive && (!r || order_live(&h->live[at], r) < 0) && !err; at++)
			err = history__run_with(h, HISTORY_SEEN_PROCESS, h->live[at].id, time_ms);
		if (err || !r)
			break;
		live[k] = (struct history_live){r->pid, r->start_ns, 0};
		if (at < h->nlive && !order_live(&h->live[at], r))
			live[k].id = h->live[at++].id;
		else if (is_worth_it(r, now_ns))
			err = history__process_id(h, r, time_ms, &live[k].id);
		else
			continue;
		entry[k].id = live[k].id;
		memcpy(entry[k].value, r->value, sizeof(r->value));
		k++;
	}
	*ret_n = k;
	return err;
}

/* The pass as entries: the machine and the processes. */
static int enter(struct history *h, const struct history_row *row, size_t n, int64_t time_ms,
		 struct pass_state *to)
{
	cleanup_free const struct history_row **sorted = calloc(n + 1, sizeof(*sorted));
	struct history_live *live = calloc(n + 1, sizeof(*live));
	size_t k = 0;
	int err = sorted && live ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !err; i++)
		sorted[i] = &row[i];
	if (!err) {
		qsort(sorted, n, sizeof(*sorted), by_process);
		err = match(h, sorted, n, time_ms, live, &k, to->e + 1);
	}
	if (err) {
		free(live);
		return err;
	}
	to->n = k + 1;
	qsort(to->e + 1, k, sizeof(*to->e), by_id);
	free(h->live);
	h->live = live;
	h->live_cap = n + 1;
	h->nlive = k;
	return 0;
}

/* What a clock that was ahead has written is not history. */
static int first_pass(struct history *h, int64_t time_ms)
{
	int64_t last;
	int err = history__value(h, HISTORY_LAST_PASS, 0, 0, 0, &last);

	return err || last < time_ms ? err : history__run_with(h, HISTORY_DROP_FUTURE, time_ms, 0);
}

static int see_all(struct history *h, int64_t time_ms)
{
	int err = 0;

	for (size_t i = 0; i < h->nlive && !err; i++)
		err = history__run_with(h, HISTORY_SEEN_PROCESS, h->live[i].id, time_ms);
	return err;
}

static int write_all(struct history *h, int64_t time_ms,
		     const int64_t machine[HISTORY_MACHINE_VALUES], const struct history_row *row,
		     size_t n)
{
	struct pass_state now = {.e = calloc(n + 1, sizeof(*now.e)), .cap = n + 1};
	int err = now.e ? 0 : -ENOMEM;

	if (err)
		return err;
	for (int i = 0; i < HISTORY_VALUES; i++)
		now.e[0].value[i] = i < HISTORY_MACHINE_VALUES ? machine[i] : TIMELINE_UNKNOWN;
	if (!h->last_ms)
		err = first_pass(h, time_ms);
	if (!err)
		err = enter(h, row, n, time_ms, &now);
	if (!err)
		err = history__write_pass(h, 0, time_ms, &now);
	if (!err && time_ms / HISTORY_SEEN_MS != h->last_ms / HISTORY_SEEN_MS)
		err = see_all(h, time_ms);
	if (!err)
		err = history__roll_up(h, time_ms);
	pass_state__clear(&now);
	return err;
}

int history__pass(struct history *h, int64_t time_unix_ms,
		  const int64_t machine[HISTORY_MACHINE_VALUES], const struct history_row *row,
		  size_t n)
{
	int err;

	time_unix_ms = max_of(time_unix_ms, h->last_ms + 1);
	n = min_of(n, (size_t)PASS_MAX_ENTRIES - 1);
	err = history__begin(h);
	if (!err)
		err = history__end(h, write_all(h, time_unix_ms, machine, row, n));
	h->last_ms = time_unix_ms;
	if (err) {
		h->lost++;
		start_over(h);
		return err;
	}
	return history__tidy(h, time_unix_ms);
}
