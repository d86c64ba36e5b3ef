/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store.c - the file: its tables and their versions, statements, transactions. */
#include "history/history_priv.h"

#include "core/util.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define FILE_NAME "history.db"
#define MAX_ROW_BYTES (256 << 20)
#define STEPS_BETWEEN_LOOKS 100000 /* of SQLite's machine, at how long it has taken */
#define DEFAULT_BYTES (512ULL << 20)
#define DEFAULT_AGE_MS (366LL * 86400 * 1000)

const int64_t history_step_ms[HISTORY_STEPS] = {1000, 10000, 60000, 600000};

/* The table room follows what comes and goes. */
#define COUNTED(table, kind, room)                                                                \
	"CREATE TRIGGER " table "_comes AFTER INSERT ON " table " BEGIN"                          \
	" UPDATE room SET bytes = bytes + " room("NEW.") " WHERE kind = " kind(                   \
		"NEW.") ";"                                                                       \
			" END;"                                                                   \
			"CREATE TRIGGER " table "_goes AFTER DELETE ON " table " BEGIN"           \
			" UPDATE room SET bytes = bytes - (" room("OLD.") ") WHERE kind = " kind( \
				"OLD.") ";"                                                       \
					" END;"
#define KIND_OF_PASS(row) row "step"
#define KIND_OF_SNAPSHOT(row) HISTORY_ROOM_RECORDINGS
#define KIND_OF_EVENT(row) HISTORY_ROOM_EVENTS
#define KIND_OF_PROCESS(row) HISTORY_ROOM_PROCESSES

/* From each version of the tables to the next. */
static const char *const migrations[] = {
	"CREATE TABLE process(id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT, pid INTEGER,"
	" start_ns INTEGER, start_ms INTEGER, uid INTEGER, comm TEXT, command TEXT, cgroup TEXT,"
	" first_ms INTEGER, last_ms INTEGER, UNIQUE(boot, pid, start_ns));"
	"CREATE INDEX process_by_pid ON process(pid, last_ms);"
	"CREATE TABLE pass(step INTEGER, time_ms INTEGER, is_key INTEGER, data BLOB,"
	" PRIMARY KEY(step, time_ms)) WITHOUT ROWID;"
	"CREATE INDEX key_pass ON pass(step, time_ms) WHERE is_key;"
	"CREATE TABLE recording(id INTEGER PRIMARY KEY AUTOINCREMENT, process INTEGER,"
	" first_ms INTEGER, last_ms INTEGER);"
	"CREATE INDEX recording_by_process ON recording(process, last_ms);"
	"CREATE TABLE snapshot(id INTEGER PRIMARY KEY AUTOINCREMENT, recording INTEGER"
	" REFERENCES recording(id) ON DELETE CASCADE, time_ms INTEGER, why TEXT,"
	" inuse_bytes INTEGER, alloc_bytes INTEGER, data BLOB);"
	"CREATE INDEX snapshot_by_recording ON snapshot(recording);"
	"CREATE INDEX snapshot_by_time ON snapshot(time_ms);"
	"CREATE TABLE event(id INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER, kind TEXT,"
	" pid INTEGER, comm TEXT, json TEXT, snapshot INTEGER);"
	"CREATE INDEX event_by_time ON event(time_ms);",
	"", /* rows of passes may have the lines of a ledger, which version 1 takes for damage */
	"CREATE INDEX process_by_end ON process(last_ms);"
	"CREATE TABLE room(kind INTEGER PRIMARY KEY, bytes INTEGER);"
	"INSERT INTO room SELECT 0, 0 UNION SELECT 1, 0 UNION SELECT 2, 0 UNION SELECT 3, 0"
	" UNION SELECT " HISTORY_ROOM_RECORDINGS ", ifnull(sum(" HISTORY_SNAPSHOT_ROOM(
		"") "), 0)"
		    " FROM snapshot"
		    " UNION SELECT " HISTORY_ROOM_EVENTS ", ifnull(sum(" HISTORY_EVENT_ROOM(
			    "") "), 0)"
				" FROM event"
				" UNION SELECT " HISTORY_ROOM_PROCESSES
				", ifnull(sum(" HISTORY_PROCESS_ROOM(
					"") "), 0)"
					    " FROM process;"
					    "UPDATE room SET bytes = ifnull((SELECT "
					    "sum(" HISTORY_PASS_ROOM(
						    "") ") FROM pass"
							" WHERE step = kind), 0) WHERE kind "
							"< " HISTORY_ROOM_RECORDINGS
							";" COUNTED("pass", KIND_OF_PASS,
								    HISTORY_PASS_ROOM)
								COUNTED("snapshot",
									KIND_OF_SNAPSHOT,
									HISTORY_SNAPSHOT_ROOM)
									COUNTED("event",
										KIND_OF_EVENT,
										HISTORY_EVENT_ROOM)
										COUNTED("process",
											KIND_OF_PROCESS,
											HISTORY_PROCESS_ROOM),
	"", /* passes are written by pages, which version 3 takes for damage */
};

static const char *const statements[] = {
#define X(name, sql) [HISTORY_##name] = sql,
	HISTORY_SQL(X)
#undef X
};

static int errno_of(int sqlite)
{
	switch (sqlite & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW: return 0;
	case SQLITE_FULL: return -ENOSPC;
	case SQLITE_NOMEM: return -ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return -EBADMSG;
	case SQLITE_READONLY: return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH: return -EACCES;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return -EBUSY;
	case SQLITE_TOOBIG: return -E2BIG;
	case SQLITE_CANTOPEN: return -ENOENT;
	case SQLITE_INTERRUPT: return -ETIME;
	default: return -EIO;
	}
}

sqlite3_stmt *history__stmt(struct history *h, enum history_sql which, int *err)
{
	sqlite3_stmt **s = &h->stmt[which];

	if (!*s)
		*err = errno_of(sqlite3_prepare_v3(h->db, statements[which], -1,
						   SQLITE_PREPARE_PERSISTENT, s, NULL));
	if (!*s)
		return NULL;
	sqlite3_reset(*s);
	sqlite3_clear_bindings(*s);
	*err = 0;
	return *s;
}

int history__step(struct history *h, sqlite3_stmt *s)
{
	int rc = sqlite3_step(s);

	if (rc == SQLITE_ROW)
		return 1;
	sqlite3_reset(s);
	return errno_of(rc);
}

sqlite3_stmt *history__stmt_with(struct history *h, enum history_sql which, int64_t a, int64_t b,
				 int *err)
{
	sqlite3_stmt *s = history__stmt(h, which, err);
	int n = s ? sqlite3_bind_parameter_count(s) : 0;

	if (n > 0)
		sqlite3_bind_int64(s, 1, a);
	if (n > 1)
		sqlite3_bind_int64(s, 2, b);
	return s;
}

int history__run_with(struct history *h, enum history_sql which, int64_t a, int64_t b)
{
	int err;
	sqlite3_stmt *s = history__stmt_with(h, which, a, b, &err);

	if (!s)
		return err;
	do
		err = history__step(h, s);
	while (err > 0);
	return err;
}

int history__run(struct history *h, enum history_sql which)
{
	return history__run_with(h, which, 0, 0);
}

int history__value(struct history *h, enum history_sql which, int64_t a, int64_t b, int64_t none,
		   int64_t *ret)
{
	int err;
	sqlite3_stmt *s = history__stmt_with(h, which, a, b, &err);

	if (!s)
		return err;
	*ret = none;
	err = history__step(h, s);
	if (err > 0 && sqlite3_column_type(s, 0) != SQLITE_NULL)
		*ret = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return min_of(err, 0);
}

int history__begin(struct history *h)
{
	int err = history__run(h, HISTORY_BEGIN);

	h->is_open = !err;
	return err;
}

int history__end(struct history *h, int err)
{
	if (!h->is_open)
		return err;
	if (!err)
		err = history__run(h, HISTORY_COMMIT);
	/* what fails to commit is often taken back already */
	if (err && !sqlite3_get_autocommit(h->db))
		history__run(h, HISTORY_ROLLBACK);
	h->is_open = false;
	return err;
}

static int execute(struct history *h, const char *sql)
{
	return errno_of(sqlite3_exec(h->db, sql, NULL, NULL, NULL));
}

static int version_of(struct history *h, int *ret)
{
	sqlite3_stmt *s;
	int err = errno_of(sqlite3_prepare_v2(h->db, "PRAGMA user_version", -1, &s, NULL));

	if (err)
		return err;
	err = history__step(h, s);
	*ret = err > 0 ? sqlite3_column_int(s, 0) : 0;
	sqlite3_finalize(s);
	return min_of(err, 0);
}

static int migrate(struct history *h, int version)
{
	int err = 0;

	for (size_t i = version; i < ARRAY_SIZE(migrations) && !err; i++) {
		char sql[64];

		snprintf(sql, sizeof(sql), "PRAGMA user_version = %zu", i + 1);
		err = history__begin(h);
		if (!err)
			err = execute(h, migrations[i]);
		if (!err)
			err = execute(h, sql);
		err = history__end(h, err);
	}
	return err;
}

static int check_version(struct history *h, char why[HISTORY_WHY])
{
	int version, err = version_of(h, &version);

	if (!err && (size_t)version > ARRAY_SIZE(migrations)) {
		snprintf(why, HISTORY_WHY,
			 "it was written by a newer memwatch (version %d of its "
			 "tables, this one knows %zu)",
			 version, ARRAY_SIZE(migrations));
		return -EPROTO;
	}
	if (!err && h->can_write)
		return migrate(h, version);
	return !err && !version ? -ENOENT : err; /* made, but nothing was written yet */
}

/* Who planted the file wrote its schema, too: of what has the names of our tables, only tables are
 * read, and nothing is computed for them. */
static void distrust(sqlite3 *db)
{
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, MAX_ROW_BYTES);
}

static int open_file(const char *dir, struct history *h)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE |
		    (h->can_write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
				  : SQLITE_OPEN_READWRITE); /* a reader, too, makes the index of
							     * the write-ahead log */
	mode_t mask = umask(077);
	char path[PATH_MAX];
	int err;

	snprintf(path, sizeof(path), "%s/" FILE_NAME, dir);
	err = errno_of(sqlite3_open_v2(path, &h->db, flags, NULL));
	umask(mask);
	if (!err)
		sqlite3_busy_timeout(h->db, 2000);
	if (!err && h->can_write)
		err = execute(h, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
				 "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
				 "PRAGMA cache_size = -4096; PRAGMA wal_autocheckpoint = 512;"
				 "PRAGMA journal_size_limit = 4194304;"
				 /* a pass that is replaced leaves the table room too */
				 "PRAGMA recursive_triggers = ON");
	else if (!err)
		distrust(h->db);
	if (!err && !h->can_write)
		err = execute(h, "PRAGMA query_only = ON");
	return err;
}

static int is_used_up(void *arg)
{
	const struct history *h = arg;
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec >= h->cpu_seconds;
}

void history__limit(struct history *h, unsigned cpu_seconds)
{
	h->cpu_seconds = cpu_seconds;
	sqlite3_progress_handler(h->db, STEPS_BETWEEN_LOOKS, is_used_up, h);
}

static int open_history(const char *dir, struct history *h, struct history **ret,
			char why[HISTORY_WHY])
{
	int err = open_file(dir, h);

	if (!err)
		err = check_version(h, why);
	if (!err && h->can_write)
		err = boot__id(h->boot);
	if (err) {
		if (!why[0])
			snprintf(why, HISTORY_WHY, "%s",
				 err == -EBADMSG  ? "it is damaged"
				 : err == -ENOENT ? "there is none"
						  : strerror(-err));
		history__close(h);
		return err;
	}
	*ret = h;
	return 0;
}

int history__create(const char *dir, const struct history_opts *o, struct history **ret,
		    char why[HISTORY_WHY])
{
	struct history *h = calloc(1, sizeof(*h));

	why[0] = 0;
	if (!h)
		return -ENOMEM;
	h->can_write = true;
	h->opts = *o;
	if (!h->opts.max_bytes)
		h->opts.max_bytes = DEFAULT_BYTES;
	if (!h->opts.max_age_ms)
		h->opts.max_age_ms = DEFAULT_AGE_MS;
	return open_history(dir, h, ret, why);
}

int history__open(const char *dir, struct history **ret, char why[HISTORY_WHY])
{
	struct history *h = calloc(1, sizeof(*h));

	why[0] = 0;
	return h ? open_history(dir, h, ret, why) : -ENOMEM;
}

void history__close(struct history *h)
{
	if (!h)
		return;
	history__end_recordings(h, INT64_MAX);
	for (int i = 0; i < HISTORY_SQL_COUNT; i++)
		sqlite3_finalize(h->stmt[i]);
	sqlite3_close(h->db);
	for (int i = 0; i < HISTORY_STEPS; i++)
		pass_state__clear(&h->last[i]);
	free(h->live);
	free(h->recordings);
	free(h);
}

int history__set_aside(const char *dir)
{
	char from[PATH_MAX], to[PATH_MAX];

	for (int i = 0; i < 3; i++) {
		const char *end = i == 0 ? "-wal" : i == 1 ? "-shm" : "";

		snprintf(from, sizeof(from), "%s/" FILE_NAME "%s", dir, end);
		snprintf(to, sizeof(to), "%s/" FILE_NAME ".damaged%s", dir, end);
		if (rename(from, to) && errno != ENOENT)
			return -errno;
	}
	return 0;
}

int history__stats(struct history *h, struct history_stats *ret)
{
	int64_t bytes = 0;
	int err = history__value(h, HISTORY_BYTES, 0, 0, 0, &bytes);

	*ret = (struct history_stats){.bytes = bytes, .lost = h->lost};
	return err ? err : history__value(h, HISTORY_OLDEST, 0, 0, 0, &ret->first_unix_ms);
}
