/* SPDX-License-Identifier: GPL-2.0-or-later */
/* history_priv.h - what the files of this room share. SQL: sql.h and store.c. */
#ifndef HISTORY_HISTORY_PRIV_H
#define HISTORY_HISTORY_PRIV_H

#include <sqlite3.h>

#include "format/record.h"
#include "history/history.h"
#include "history/pass_code.h"
#include "history/sql.h"
#include "sys/boot.h"

_Static_assert(PASS_VALUES == HISTORY_VALUES, "a row's values are an entry's");

#define HISTORY_MACHINE_ID 0 /* the entry of the machine in a pass */
#define HISTORY_STEPS 4
/* So long ago a living process may have been written as seen last. */
#define HISTORY_SEEN_MS 60000

enum history_sql {
#define X(name, sql) HISTORY_##name,
	HISTORY_SQL(X)
#undef X
		HISTORY_SQL_COUNT
};

struct history_live { /* a process of the last pass */
	uint32_t pid;
	uint64_t start_ns;
	int64_t id;
};

struct history_recording;

struct history {
	sqlite3 *db;
	sqlite3_stmt *stmt[HISTORY_SQL_COUNT];
	struct history_opts opts;
	char boot[BOOT_ID];
	bool can_write, is_open; /* is_open: inside of a transaction */
	uint64_t lost;
	unsigned cpu_seconds; /* of the process, when it is enough (history__limit) */

	struct pass_state last[HISTORY_STEPS]; /* as written; empty: the next is a key pass */
	int64_t written_ms[HISTORY_STEPS];     /* of that */
	int64_t last_ms;		       /* of the last pass of step 0 */
	struct history_live *live;	       /* by PID and start */
	size_t nlive, live_cap;
	int64_t rolled_ms[HISTORY_STEPS]; /* end of the last pass of each step */
	int64_t tidied_ms;
	struct history_recording **recordings;
	size_t nrecordings, recordings_cap;
};

extern const int64_t history_step_ms[HISTORY_STEPS];

/* --- store.c --- */
/* A reset statement with no bindings, NULL: -errno in *err. */
sqlite3_stmt *history__stmt(struct history *h, enum history_sql which, int *err);
/* With as many of the two integers as it has parameters. */
sqlite3_stmt *history__stmt_with(struct history *h, enum history_sql which, int64_t a, int64_t b,
				 int *err);
/* Steps once: 1 a row, 0 done, or -errno. */
int history__step(struct history *h, sqlite3_stmt *s);
/* Runs a statement without parameters. 0 or -errno. */
int history__run(struct history *h, enum history_sql which);
/* With one or two integers. */
int history__run_with(struct history *h, enum history_sql which, int64_t a, int64_t b);
/* The integer that it selects, of up to two parameters; `none` if there is no row, or NULL. */
int history__value(struct history *h, enum history_sql which, int64_t a, int64_t b, int64_t none,
		   int64_t *ret);

int history__begin(struct history *h);
/* Commits if err is 0, else takes it all back. Returns err, or that of the commit. */
int history__end(struct history *h, int err);

/* --- passes.c --- */
/* The id of a process, entered if it is new. */
int history__process_id(struct history *h, const struct history_row *row, int64_t time_ms,
			int64_t *ret);
int history__write_pass(struct history *h, int step, int64_t time_ms, const struct pass_state *now);

/* --- recordings.c --- */
/* Those whose last profile is from before that moment: the next begins another. */
void history__end_recordings(struct history *h, int64_t before_ms);

/* --- walk.c --- */
#define HISTORY_ALL (-1)
/* Each pass of a step in (from, to], with the state of all processes at it, or of the one with this
 * id, which is much less to read. */
typedef int (*history_pass_fn)(void *arg, int64_t time_ms, const struct pass_state *s);
int history__walk(struct history *h, int step, int64_t id, int64_t from, int64_t to,
		  history_pass_fn fn, void *arg);

/* --- rollup.c --- */
/* Makes the coarser steps whose time has come. */
int history__roll_up(struct history *h, int64_t now_ms);

/* --- tidy.c --- */
int history__tidy(struct history *h, int64_t now_ms);

#endif
