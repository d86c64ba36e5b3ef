/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidy.c - what is too old goes, and what is beyond the size: of the kind that takes the most the
 * oldest, no more than is needed. So each kind has at least its part of the file (KINDS), however
 * much of another comes.
 */
#include "history/history_priv.h"

#include "core/util.h"

#define EVERY_MS 60000
#define DAY_MS (86400LL * 1000)
/* Stays in any case: the processes that live have been seen in it (passes.c), and the key that the
 * next passes build on is in it. */
#define YOUNG_MS 120000
#define MAX_ROUNDS 256

/* Passes by their step, then these: as the table room has them. */
enum { RECORDINGS = HISTORY_STEPS, EVENTS, PROCESSES, KINDS };

static const struct {
	enum history_sql oldest, drop;
	int64_t keep_ms;
} kinds[KINDS] = {
	{HISTORY_OLDEST_PASSES, HISTORY_DROP_PASSES, 7200000},
	{HISTORY_OLDEST_PASSES, HISTORY_DROP_PASSES, DAY_MS},
	{HISTORY_OLDEST_PASSES, HISTORY_DROP_PASSES, 14 * DAY_MS},
	{HISTORY_OLDEST_PASSES, HISTORY_DROP_PASSES, INT64_MAX},
	[RECORDINGS] = {HISTORY_OLDEST_RECORDINGS, HISTORY_DROP_RECORDINGS, INT64_MAX},
	[EVENTS] = {HISTORY_OLDEST_EVENTS, HISTORY_DROP_EVENTS, INT64_MAX},
	[PROCESSES] = {HISTORY_OLDEST_PROCESSES, HISTORY_DROP_PROCESSES, INT64_MAX},
};

static int drop(struct history *h, int kind, int64_t before_ms)
{
	if (kind == RECORDINGS)
		history__end_recordings(h, before_ms);
	return history__run_with(h, kinds[kind].drop, kind, before_ms);
}

static int drop_old(struct history *h, int64_t now_ms)
{
	int err = 0;

	for (int i = 0; i < KINDS && !err; i++) {
		int64_t keep_ms = min_of(kinds[i].keep_ms, (int64_t)h->opts.max_age_ms);

		err = drop(h, i, now_ms - min_of(keep_ms, now_ms));
	}
	return err;
}

/* The moment before which the oldest of a kind make up so many bytes; 0: nothing of it may go. */
static int find_moment(struct history *h, int kind, int64_t now_ms, int64_t bytes, int64_t *ret)
{
	int err;
	sqlite3_stmt *s = history__stmt_with(h, kinds[kind].oldest, kind, now_ms - YOUNG_MS, &err);

	*ret = 0;
	if (!s)
		return err;
	while (bytes > 0 && (err = history__step(h, s)) > 0) {
		*ret = sqlite3_column_int64(s, 0) + 1;
		bytes -= sqlite3_column_int64(s, 1);
	}
	sqlite3_reset(s);
	return min_of(err, 0);
}

/* What takes the most gives so many bytes or an eighth of itself. *room: what it takes then; 0: it
 * has nothing to give. */
static int give_way(struct history *h, int kind, int64_t now_ms, int64_t bytes, int64_t *room)
{
	int64_t before;
	int err = find_moment(h, kind, now_ms, min_of(bytes, *room / 8 + 1), &before);

	*room = 0;
	if (err || !before)
		return err;
	err = drop(h, kind, before);
	return err ? err : history__value(h, HISTORY_ROOM, kind, 0, 0, room);
}

static int shrink(struct history *h, int64_t now_ms)
{
	int64_t bytes = 0, max = (int64_t)h->opts.max_bytes, room[KINDS] = {0};
	int err = history__value(h, HISTORY_BYTES, 0, 0, 0, &bytes);

	for (int i = 0; i < KINDS && !err && bytes > max; i++)
		err = history__value(h, HISTORY_ROOM, i, 0, 0, &room[i]);
	for (int i = 0; i < MAX_ROUNDS && !err && bytes > max; i++) {
		int most = 0;

		for (int k = 1; k < KINDS; k++)
			most = room[k] > room[most] ? k : most;
		if (room[most] <= 0)
			break;
		err = give_way(h, most, now_ms, bytes - max, &room[most]);
		if (!err)
			err = history__value(h, HISTORY_BYTES, 0, 0, 0, &bytes);
	}
	return err;
}

int history__tidy(struct history *h, int64_t now_ms)
{
	int err;

	if (now_ms - h->tidied_ms < EVERY_MS)
		return 0;
	h->tidied_ms = now_ms;
	err = history__begin(h);
	if (err)
		return err;
	err = drop_old(h, now_ms);
	if (!err)
		err = shrink(h, now_ms);
	err = history__end(h, err);
	return err ? err : history__run(h, HISTORY_VACUUM);
}
