/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tidy.c - what is too old goes, and beyond the size what is oldest and finest. */
#include "history/history_priv.h"

#include "core/util.h"

#define EVERY_MS 60000
#define DAY_MS (86400LL * 1000)
#define MAX_ROUNDS 32

static const int64_t keep_ms[HISTORY_STEPS] = {7200000, DAY_MS, 14 * DAY_MS, INT64_MAX};

static int drop_old(struct history *h, int64_t now_ms)
{
	int64_t before = now_ms - (int64_t)h->opts.max_age_ms;
	int err = history__run_with(h, HISTORY_DROP_EVENTS, before, 0);

	for (int i = 0; i < HISTORY_STEPS && !err; i++)
		err = history__run_with(h, HISTORY_DROP_PASSES, i,
					max_of(before, now_ms - min_of(keep_ms[i], now_ms)));
	if (!err)
		err = history__run_with(h, HISTORY_DROP_RECORDINGS, before, 0);
	return err ? err : history__run_with(h, HISTORY_DROP_PROCESSES, before, 0);
}

/* The older eighth of each step, and the oldest recording. */
static int drop_oldest(struct history *h, int64_t now_ms)
{
	int64_t oldest;
	int err = history__value(h, HISTORY_OLDEST_RECORDING, 0, 0, 0, &oldest);

	if (!err && oldest)
		err = history__run_with(h, HISTORY_DROP_RECORDING, oldest, 0);
	for (int i = 0; i < HISTORY_STEPS && !err; i++) {
		int64_t first;

		err = history__value(h, HISTORY_FIRST_PASS, i, 0, now_ms, &first);
		if (!err)
			err = history__run_with(h, HISTORY_DROP_PASSES, i,
						first + (now_ms - first) / 8);
	}
	return err;
}

static int shrink(struct history *h, int64_t now_ms)
{
	int64_t bytes = 0;
	int err = history__value(h, HISTORY_BYTES, 0, 0, 0, &bytes);

	for (int i = 0; i < MAX_ROUNDS && !err && (uint64_t)bytes > h->opts.max_bytes; i++) {
		err = drop_oldest(h, now_ms);
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
