/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The history: steps and their peaks, limits, profiles, what damage costs. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/util.h"
#include "history/history.h"

#define MB (1 << 20)
#define T0 1700000000000LL

static char dir[64];

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/memwatch-history.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
	char path[128];
	static const char *const names[] = {
		"history.db",	      "history.db-wal",		"history.db-shm",
		"history.db.damaged", "history.db.damaged-wal", "history.db.damaged-shm"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

static struct history *create(const struct history_opts *o)
{
	static const struct history_opts none;
	char why[HISTORY_WHY];
	struct history *h;

	assert_int_equal(history__create(dir, o ? o : &none, &h, why), 0);
	return h;
}

static const int64_t machine[HISTORY_MACHINE_VALUES] = {100, 50, 10, 10, 0, 0};

static struct history_row row_of(uint32_t pid, int64_t rss)
{
	struct history_row r = {.pid = pid,
				.start_ns = pid * 1000,
				.uid = 7,
				.comm = "prog",
				.command = "prog --serve",
				.cgroup = "/a/b"};

	for (int i = 0; i < HISTORY_VALUES; i++)
		r.value[i] = TIMELINE_UNKNOWN;
	r.value[TIMELINE_VIRT] = 2 * rss;
	r.value[TIMELINE_RSS] = r.value[HISTORY_PEAK_RSS] = rss;
	return r;
}

struct list {
	struct history_process p[64];
	size_t n;
};

static int collect(void *arg, const struct history_process *p)
{
	struct list *l = arg;

	assert_string_equal(p->comm, "prog");
	assert_string_equal(p->command, "prog --serve");
	assert_string_equal(p->cgroup, "/a/b");
	assert_int_equal(p->uid, 7);
	l->p[l->n++] = *p;
	return 0;
}

/* Of those that are there all the time. */
static int find_steady(void *arg, const struct history_process *p)
{
	struct list *l = arg;

	if (p->pid < 1000)
		l->p[l->n++] = *p;
	return 0;
}

static int processes(struct history *h, int64_t from, int64_t to, history_process_fn fn,
		     struct list *l)
{
	struct history_wanted w = {.from = from, .to = to, .max = 64};
	int err = history__processes(h, &w, fn, l);

	return err ? err : (int)w.left_out;
}

/* Four hours: process 1 grows by 1 MB a minute, 2 is flat with a spike of one second in the first
 * minute of each hour, 3 lives for the first hour. */
static void write_hours(struct history *h)
{
	for (int s = 1; s <= 4 * 3600; s++) {
		struct history_row row[3] = {row_of(1, 100LL * MB + s * (MB / 60)),
					     row_of(2, 50 * MB), row_of(3, 20 * MB)};

		if (s % 3600 == 30)
			row[1].value[HISTORY_PEAK_RSS] = 900LL * MB;
		assert_int_equal(history__pass(h, T0 + s * 1000LL, machine, row, s <= 3600 ? 3 : 2),
				 0);
	}
}

static void growth_in_a_window(void **state)
{
	struct history *h = create(NULL), *reader;
	char why[HISTORY_WHY];
	struct list l = {0};

	write_hours(h);
	/* beside the writer */
	assert_int_equal(history__open(dir, &reader, why), 0);
	assert_int_equal(processes(reader, T0, T0 + 4 * 3600000LL, collect, &l), 0);
	assert_int_equal(l.n, 3);
	assert_int_equal(l.p[0].pid, 1); /* the most grown first */
	assert_in_range(l.p[0].last[TIMELINE_RSS] - l.p[0].first[TIMELINE_RSS], 238 * MB, 240 * MB);
	assert_false(l.p[0].ended);
	for (int i = 1; i < 3; i++) {
		if (l.p[i].pid == 2)
			assert_int_equal(l.p[i].peak_rss, 900LL * MB);
		else
			assert_true(l.p[i].ended);
	}
	/* a window of ten minutes, three hours ago: the seconds are gone, the minutes are not */
	l.n = 0;
	assert_int_equal(processes(reader, T0 + 3000000, T0 + 3600000, collect, &l), 0);
	assert_int_equal(l.n, 3);
	assert_in_range(l.p[0].last[TIMELINE_RSS] - l.p[0].first[TIMELINE_RSS], 8 * MB, 11 * MB);
	history__close(reader);
	history__close(h);
}

static int count_lived(void *arg, const struct history_process *p)
{
	assert_string_equal(p->comm, "prog");
	++*(int *)arg;
	return 0;
}

/* Who lives is written as seen once a minute. */
static void who_lives_is_found_between_the_minutes(void **state)
{
	struct history_row row = row_of(7, 30 * MB);
	struct history *h = create(NULL);
	int lived = 0;
	int64_t id;

	for (int s = 1; s <= 90; s++)
		assert_int_equal(history__pass(h, T0 + s * 1000LL, machine, &row, 1), 0);
	assert_int_equal(history__find(h, 7, T0 + 89000, T0 + 90000, &id), 0);
	assert_int_equal(history__lived(h, T0 + 89000, T0 + 90000, count_lived, &lived), 0);
	assert_int_equal(lived, 1);
	assert_int_equal(history__find(h, 7, T0 + 400000, T0 + 500000, &id), -ENOENT);
	history__close(h);
}

static void a_timeline_keeps_its_peaks(void **state)
{
	struct history *h = create(NULL);
	struct timeline t;
	int64_t id, highest = 0;

	write_hours(h);
	assert_int_equal(history__find(h, 2, T0, INT64_MAX, &id), 0);
	assert_int_equal(history__find(h, 99, T0, INT64_MAX, &id), -ENOENT);
	timeline__init(&t, 2, "prog", 20000);
	assert_int_equal(history__timeline(h, id, T0, T0 + 4 * 3600000LL, &t), 0);
	assert_true(t.nrows > 1000 && t.nrows < 6000);
	for (size_t i = 0; i < t.nrows; i++) {
		highest = max_of(highest, t.rows[i].value[TIMELINE_RSS]);
		assert_true(!i || t.rows[i].time_unix_ms >= t.rows[i - 1].time_unix_ms);
	}
	assert_int_equal(highest, 900LL * MB);
	timeline__clear(&t);
	/* the last five minutes by the second */
	timeline__init(&t, 2, "prog", 20000);
	assert_int_equal(history__timeline(h, id, T0 + 14100000, T0 + 4 * 3600000LL, &t), 0);
	assert_int_equal(t.nrows, 301);
	timeline__clear(&t);
	history__close(h);
}

static int lowest(void *arg, int64_t time_ms, const int64_t v[HISTORY_MACHINE_VALUES])
{
	int64_t *low = arg;

	low[0] = min_of(low[0], v[HISTORY_MEM_AVAILABLE]);
	low[1] = max_of(low[1], v[HISTORY_PSI_SOME]);
	low[2]++;
	return 0;
}

static void the_machine_keeps_its_worst(void **state)
{
	struct history *h = create(NULL);
	int64_t low[3] = {INT64_MAX, 0, 0};

	for (int s = 1; s <= 6 * 3600; s += 5) {
		int64_t m[] = {1000, s == 3601 ? 3 : 500, 0, 0, s == 7201 ? 4200 : 10, 0};

		assert_int_equal(history__pass(h, T0 + s * 1000LL, m, NULL, 0), 0);
	}
	assert_int_equal(history__machine(h, T0, T0 + 6 * 3600000LL, lowest, low), 0);
	assert_int_equal(low[0], 3);
	assert_int_equal(low[1], 4200);
	assert_true(low[2] > 300 && low[2] < 4400);
	history__close(h);
}

/* Closed and opened again: steps that were not over are made then, numbers go on. */
static void it_goes_on_after_a_stop(void **state)
{
	struct list l = {0};
	struct history *h = create(NULL);

	for (int s = 1; s <= 3600; s++) {
		struct history_row row = row_of(1, 10 * MB + s * 1000);

		if (s % 100 == 0) {
			history__close(h);
			h = create(NULL);
		}
		assert_int_equal(history__pass(h, T0 + s * 1000LL, machine, &row, 1), 0);
	}
	assert_int_equal(processes(h, T0, INT64_MAX / 2, collect, &l), 0);
	assert_int_equal(l.n, 1);
	assert_in_range(l.p[0].last[TIMELINE_RSS] - l.p[0].first[TIMELINE_RSS], 2900 * 1000,
			3600 * 1000);
	history__close(h);
}

static void the_young_and_small_are_left_out(void **state)
{
	struct history *h = create(NULL);
	struct history_row row[3] = {row_of(1, 1 * MB), row_of(2, 100 * MB), row_of(3, 1 * MB)};
	struct list l = {0};

	row[0].start_ns = row[1].start_ns = util__boot_ns();
	assert_int_equal(history__pass(h, T0, machine, row, 3), 0);
	assert_int_equal(processes(h, T0 - 1, T0, collect, &l), 0);
	assert_int_equal(l.n, 2);
	assert_true(l.p[0].pid != 1 && l.p[1].pid != 1);
	history__close(h);
}

/* Bytes of the file on the disk. */
static int64_t file_bytes(void)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/history.db", dir);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

#define SMALL (1 << 20)
#define STEADY 20

/* What of it all comes each second beside STEADY processes. */
struct burden {
	int processes, events; /* new ones */
	bool noise;	       /* all values change */
	int profiled, first;   /* so many processes with a profile, from this one on */
};

static struct profile *make_profile(int64_t bytes, int64_t time_ms);

static void write_second(struct history *h, int s, const struct burden *b)
{
	static char json[1024];
	struct history_row row[STEADY + 64];
	unsigned seed = (unsigned)s;
	int n = STEADY;

	memset(json, 'x', sizeof(json));
	for (int i = 0; i < STEADY; i++)
		row[i] = row_of((uint32_t)i + 1,
				b->noise ? (int64_t)rand_r(&seed) * 4096 : 9LL * MB);
	/* each lives for two seconds */
	for (int i = 0; i < 2 * b->processes; i++)
		row[n++] = row_of((uint32_t)(1000 + s * b->processes + i), 9LL * MB);
	for (int i = 0; i < b->events; i++)
		assert_int_equal(history__event(h, "oom", T0 + s * 1000LL + i, 5, "prog", json,
						sizeof(json), 0),
				 0);
	for (int i = 0; i < b->profiled; i++) {
		struct profile *p = make_profile(s * 1000 + i, T0 + s * 1000LL);

		assert_int_equal(history__profile(h, &row[b->first + i], p, "regular", NULL), 0);
		profile__free(p);
	}
	assert_int_equal(history__pass(h, T0 + s * 1000LL, machine, row, (size_t)n), 0);
}

static int64_t count(const char *sql)
{
	char path[128];
	sqlite3 *db;
	sqlite3_stmt *s;
	int64_t n;

	snprintf(path, sizeof(path), "%s/history.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return n;
}

/* However much of one kind comes, the file stays as small as it shall be and full, and of what was
 * there before something is left. */
static void bounded_with(const struct burden *b, const char *grows)
{
	static const struct history_opts small = {.max_bytes = SMALL};
	static const struct burden all = {.processes = 1, .events = 1, .profiled = 1};
	struct history_wanted late = {.from = T0 + 3940000, .to = T0 + 3950000, .max = SIZE_MAX};
	struct history *h = create(&small);
	struct history_stats st;
	struct list l = {0};
	bool was_full = false;
	int64_t id;

	for (int s = 1; s <= 4000; s++) {
		write_second(h, s, s <= 60 ? &all : b);
		if (s % 60 != 1) /* a minute is tidied at a time */
			continue;
		assert_int_equal(history__stats(h, &st), 0);
		assert_true(st.bytes <= SMALL);
		assert_true(file_bytes() < 2 * SMALL);
		was_full |= st.bytes > SMALL / 8 * 7;
		assert_true(!was_full || st.bytes > SMALL / 8 * 7);
	}
	assert_true(was_full);
	assert_true(count(grows) > 50);
	/* those that live are known all the time */
	for (int i = 1; i <= STEADY; i++)
		assert_int_equal(history__find(h, (uint32_t)i, T0 + 3930000, INT64_MAX, &id), 0);
	assert_int_equal(history__processes(h, &late, find_steady, &l), 0);
	assert_int_equal(l.n, STEADY);
	assert_true(count("SELECT count(*) FROM pass WHERE step = 0") > 120);
	assert_true(count("SELECT count(*) FROM pass WHERE step = 1") > 60);
	/* what is rare is not displaced by what is not */
	assert_true(count("SELECT count(*) FROM event") >= 60);
	assert_true(count("SELECT count(*) FROM snapshot") >= 60);
	/* also into a recording that has given way since its last profile */
	write_second(h, 4001, &all);
	assert_int_equal(history__stats(h, &st), 0);
	assert_int_equal(st.lost, 0);
	history__close(h);
}

static void the_size_is_bounded(void **state)
{
	bounded_with(&(struct burden){.noise = true}, "SELECT count(*) FROM pass");
}

static void the_size_is_bounded_with_churn(void **state)
{
	bounded_with(&(struct burden){.processes = 5}, "SELECT count(*) FROM process");
}

static void the_size_is_bounded_with_events(void **state)
{
	bounded_with(&(struct burden){.events = 2}, "SELECT count(*) FROM event");
}

static void the_size_is_bounded_with_profiles(void **state)
{
	bounded_with(&(struct burden){.profiled = 4, .first = 1}, "SELECT count(*) FROM snapshot");
}

/* A file that is larger than it may be from now on gives what is needed, minute by minute. */
static void a_smaller_size_than_before(void **state)
{
	static const struct history_opts large = {.max_bytes = 64 << 20},
					 small = {.max_bytes = SMALL};
	struct history *h = create(&large);
	struct history_stats st;

	for (int s = 1; s <= 2000; s++)
		write_second(h, s, &(struct burden){5, 2, true, 1, 0});
	assert_int_equal(history__stats(h, &st), 0);
	assert_true(st.bytes > 4 * SMALL);
	history__close(h);
	h = create(&small);
	for (int s = 2001; s <= 2121; s++)
		write_second(h, s, &(struct burden){0});
	assert_int_equal(history__stats(h, &st), 0);
	assert_in_range(st.bytes, SMALL / 8 * 7, SMALL);
	history__close(h);
}

/* --- profiles and events --- */

static struct profile *make_profile(int64_t bytes, int64_t time_ms)
{
	struct profile_line line = {.line = 12};
	struct profile_function f = {0};
	struct profile *p;
	uint32_t loc;
	int64_t v[4] = {1, bytes, 1, bytes};

	assert_int_equal(profile__new(&p), 0);
	assert_int_equal(profile__set_heap_types(p, 524288), 0);
	assert_int_equal(profile__string(p, "leaky", &f.name), 0);
	f.system_name = f.name;
	assert_int_equal(profile__function(p, &f, &line.function), 0);
	assert_int_equal(profile__location(p, PROFILE_NONE, 0x1234, &line, 1, &loc), 0);
	assert_int_equal(profile__sample(p, &loc, 1, v, NULL, 0), 0);
	p->time_ns = time_ms * 1000000;
	p->totals.inuse_bytes = (double)bytes;
	return p;
}

static int last_snapshot(void *arg, const struct history_snapshot *s)
{
	*(struct history_snapshot *)arg = *s;
	return 0;
}

static int event_profile(void *arg, const struct history_event *e)
{
	assert_string_equal(e->json, "{\"x\":1}");
	assert_string_equal(e->kind, "oom");
	*(int64_t *)arg = e->profile;
	return 0;
}

static void profiles_come_back(void **state)
{
	struct history *h = create(NULL);
	struct history_row row = row_of(5, 10 * MB);
	struct history_wanted w = {.from = T0, .to = T0 + 10000, .max = 4};
	struct history_snapshot shot;
	int64_t id, process, ids[300], kept = -1;
	struct profile *p;

	for (int i = 0; i < 300; i++) {
		p = make_profile(1000 + i, T0 + i * 1000);
		assert_int_equal(history__profile(h, &row, p, "regular", &ids[i]), 0);
		profile__free(p);
	}
	assert_int_equal(history__event(h, "oom", T0 + 5000, 5, "prog", "{\"x\":1}", 7, ids[5]), 0);
	assert_int_equal(history__find(h, 5, 0, INT64_MAX, &process), 0);
	for (int i = 0; i < 300; i += 37) {
		assert_int_equal(history__snapshot_at(h, process, T0 + i * 1000 + 500, &id), 0);
		assert_int_equal(id, ids[i]);
		assert_int_equal(history__read_profile(h, id, &p), 0);
		assert_int_equal(p->nsamples, 1);
		assert_int_equal(p->samples[0].value[1], 1000 + i);
		assert_string_equal(profile__text(p, p->functions[0].name), "leaky");
		profile__free(p);
	}
	assert_int_equal(history__snapshot_at(h, process, T0 - 1, &id), -ENOENT);
	/* The next owner of the number is another process. */
	assert_int_equal(history__find_living(h, 5, row.start_ns, &id), 0);
	assert_int_equal(id, process);
	assert_int_equal(history__find_living(h, 5, row.start_ns + 1, &id), -ENOENT);
	assert_int_equal(history__read_profile(h, 9999, &p), -ENOENT);
	w.process = process;
	assert_int_equal(history__snapshots(h, &w, last_snapshot, &shot), 0);
	assert_int_equal(shot.inuse_bytes, 1010);
	assert_int_equal(w.left_out, 7); /* the older ones */
	w.kind = "oom";
	assert_int_equal(history__events(h, &w, event_profile, &kept), 0);
	assert_int_equal(kept, ids[5]);
	assert_int_equal(w.left_out, 0);
	assert_int_equal(history__event_by_id(h, 77, event_profile, &kept), -ENOENT);
	history__close(h);
}

/* What page faults tell is no heap: it is kept as it is, and heaps come first. */
static void a_profile_of_other_values_stands_alone(void **state)
{
	struct history *h = create(NULL);
	struct history_row row = row_of(5, 10 * MB);
	struct history_wanted w = {.to = INT64_MAX, .max = 10};
	struct history_snapshot shot;
	struct profile *p = make_profile(1000, T0), *got;
	uint8_t *bytes;
	size_t len;
	int64_t heap, alone, process, id;

	assert_int_equal(history__profile(h, &row, p, "regular", &heap), 0);
	profile__free(p);
	p = make_profile(77, T0 + 1000);
	assert_int_equal(profile__string(p, "resident_space", &p->sample_type[3].type), 0);
	assert_int_equal(history__profile(h, &row, p, "OOM kill", &alone), 0);
	profile__free(p);
	assert_int_equal(history__read_profile(h, alone, &got), 0);
	assert_int_equal(profile__find_type(got, "resident_space"), 3);
	assert_int_equal(got->samples[0].value[3], 77);
	profile__free(got);
	assert_int_equal(history__read_recording(h, alone, &bytes, &len), -ENOENT);
	assert_int_equal(history__snapshots(h, &w, last_snapshot, &shot), 0);
	assert_int_equal(shot.id, alone);
	assert_int_equal(shot.inuse_bytes, TIMELINE_UNKNOWN);
	assert_int_equal(history__find(h, 5, 0, INT64_MAX, &process), 0);
	assert_int_equal(history__snapshot_at(h, process, T0 + 5000, &id), 0);
	assert_int_equal(id, heap);
	/* the recording goes on behind it */
	p = make_profile(2000, T0 + 2000);
	assert_int_equal(history__profile(h, &row, p, "regular", &heap), 0);
	profile__free(p);
	assert_int_equal(history__read_recording(h, heap, &bytes, &len), 0);
	free(bytes);
	assert_int_equal(count("SELECT count(*) FROM recording"), 2);
	history__close(h);
}

/* --- what goes wrong --- */

static void a_full_disk_costs_a_pass(void **state)
{
	struct history *h = create(NULL);
	struct history_row row[200];
	struct history_stats st;
	struct list l = {0};
	struct rlimit all, small;
	int lost = 0;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &all);
	small = (struct rlimit){192 << 10, all.rlim_max};
	setrlimit(RLIMIT_FSIZE, &small);
	for (int s = 1; s <= 200; s++) {
		unsigned seed = s;

		for (int i = 0; i < 200; i++)
			row[i] = row_of(i + 1, (int64_t)rand_r(&seed) * 4096);
		lost += history__pass(h, T0 + s * 1000LL, machine, row, 200) != 0;
	}
	assert_true(lost > 0 && lost < 200);
	setrlimit(RLIMIT_FSIZE, &all); /* room again */
	row[0] = row_of(1, 77LL * MB);
	assert_int_equal(history__pass(h, T0 + 300000, machine, row, 1), 0);
	assert_int_equal(history__stats(h, &st), 0);
	assert_int_equal(st.lost, lost);
	assert_int_equal(processes(h, T0 + 299000, T0 + 300000, collect, &l), 0);
	assert_int_equal(l.n, 1);
	assert_int_equal(l.p[0].last[TIMELINE_RSS], 77LL * MB);
	history__close(h);
}

static void a_damaged_file_is_told(void **state)
{
	char path[128], why[HISTORY_WHY];
	struct history *h;
	int fd;

	assert_int_equal(history__open(dir, &h, why), -ENOENT);
	snprintf(path, sizeof(path), "%s/history.db", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	for (int i = 0; i < 4096; i++)
		assert_int_equal(write(fd, "rubbish", 7), 7);
	close(fd);
	assert_int_equal(history__open(dir, &h, why), -EBADMSG);
	assert_int_equal(history__create(dir, &(struct history_opts){0}, &h, why), -EBADMSG);
	assert_string_equal(why, "it is damaged");
	assert_int_equal(history__set_aside(dir), 0);
	history__close(create(NULL));
	assert_int_equal(history__open(dir, &h, why), 0);
	history__close(h);
}

static void execute(const char *sql)
{
	char path[128];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/history.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* What later versions have added is taken away. */
static void make_version_1(void)
{
	execute("DROP INDEX process_by_end; DROP TABLE room;"
		"DROP TRIGGER pass_comes; DROP TRIGGER pass_goes; DROP TRIGGER snapshot_comes;"
		"DROP TRIGGER snapshot_goes; DROP TRIGGER event_comes; DROP TRIGGER event_goes;"
		"DROP TRIGGER process_comes; DROP TRIGGER process_goes; PRAGMA user_version = 1");
}

static void a_newer_file_is_left_alone(void **state)
{
	char why[HISTORY_WHY];
	struct history *h = create(NULL);

	history__close(h);
	execute("PRAGMA user_version = 77");
	assert_int_equal(history__create(dir, &(struct history_opts){0}, &h, why), -EPROTO);
	assert_non_null(strstr(why, "newer memwatch (version 77"));
}

static size_t rows_with_ledger(struct history *h, int64_t to, int64_t kib_last)
{
	struct timeline t;
	int64_t id;
	size_t n = 0;

	assert_int_equal(history__find(h, 1, T0, INT64_MAX, &id), 0);
	timeline__init(&t, 1, "prog", 20000);
	assert_int_equal(history__timeline(h, id, T0, to, &t), 0);
	assert_true(t.nrows > 50);
	for (size_t i = 0; i < t.nrows; i++) {
		const int64_t *more = t.rows[i].more;

		if (!more)
			continue;
		n++;
		assert_int_equal(t.nmore, LEDGER_KINDS);
		assert_string_equal(t.more_name[LEDGER_LIVE], "ledger_live_heap_bytes");
		assert_int_equal(more[LEDGER_FILES], 7);
		assert_int_equal(more[LEDGER_JIT], TIMELINE_UNKNOWN);
		assert_in_range(more[LEDGER_LIVE], 1, kib_last * 1024);
	}
	if (n)
		assert_int_equal(t.rows[t.nrows - 1].more[LEDGER_LIVE], kib_last * 1024);
	timeline__clear(&t);
	return n;
}

/* An hour of version 1, which knew no ledgers, and one of this, in every step. */
static void version_1_is_carried_over(void **state)
{
	struct history *h = create(NULL);
	char why[HISTORY_WHY];

	for (int s = 1; s <= 7200; s++) {
		struct history_row row = row_of(1, 10 * MB + s);

		if (s == 3601) {
			history__close(h);
			make_version_1();
			assert_int_equal(history__open(dir, &h, why), 0);
			assert_int_equal(rows_with_ledger(h, T0 + 3600000, 0), 0);
			history__close(h);
			h = create(NULL);
		}
		if (s > 3600) {
			row.value[HISTORY_LEDGER + LEDGER_LIVE] = (s - 3600) * 1024;
			row.value[HISTORY_LEDGER + LEDGER_FILES] = 7;
		}
		assert_int_equal(history__pass(h, T0 + s * 1000LL, machine, &row, 1), 0);
	}
	for (int64_t span = 300000; span <= 3600000; span *= 12) {
		struct timeline t;
		int64_t id;

		assert_int_equal(history__find(h, 1, T0, INT64_MAX, &id), 0);
		timeline__init(&t, 1, "prog", 20000);
		assert_int_equal(history__timeline(h, id, T0 + 7200000 - span, T0 + 7200000, &t),
				 0);
		assert_int_equal(t.rows[t.nrows - 1].more[LEDGER_LIVE], 3600 * 1024);
		timeline__clear(&t);
	}
	assert_true(rows_with_ledger(h, T0 + 7200000, 3600) >= 300);
	/* what the passes take is known, of both hours */
	assert_int_equal(count("SELECT bytes FROM room WHERE kind = 2"),
			 count("SELECT sum(length(data) + 40) FROM pass WHERE step = 2"));
	history__close(h);
	assert_int_equal(history__open(dir, &h, why), 0);
	history__close(h);
}

/* What files keep by its place. */
static void lines_keep_their_places(void **state)
{
	static const char *const keys[] = {"live_heap",
					   "heap_before_attach",
					   "heap_used",
					   "heap_before_attach_and_retained",
					   "allocator_retained",
					   "allocator_overhead",
					   "heap",
					   "stack_main",
					   "stack_threads",
					   "module_code",
					   "module_data",
					   "files",
					   "shared",
					   "go_heap",
					   "go_heap_inuse",
					   "go_heap_free",
					   "go_heap_released",
					   "go_stacks",
					   "go_metadata",
					   "go_off_heap",
					   "jit",
					   "python_arenas",
					   "reserved",
					   "kernel",
					   "unattributed",
					   "difference"};

	assert_true(LEDGER_KINDS >= ARRAY_SIZE(keys));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		assert_string_equal(ledger__key(i), keys[i]);
}

/* What another user's history may take of the processor's time: here none. */
static void time_that_is_used_up(void **state)
{
	struct history_wanted w = {.to = T0, .max = 5};
	char path[128], why[HISTORY_WHY];
	struct history *h;
	sqlite3 *db;

	history__close(create(NULL));
	snprintf(path, sizeof(path), "%s/history.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db,
			     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
			     "WHERE i < 50000) INSERT INTO event(time_ms) SELECT i FROM n",
			     NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(history__open(dir, &h, why), 0);
	assert_int_equal(history__events(h, &w, NULL, NULL), 0);
	assert_int_equal(w.left_out, 50000 - 5);
	history__limit(h, 0);
	assert_int_equal(history__events(h, &w, NULL, NULL), -ETIME);
	history__close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define FILE_TEST(t) cmocka_unit_test_setup_teardown(t, make_dir, drop_dir)
		FILE_TEST(growth_in_a_window),
		FILE_TEST(who_lives_is_found_between_the_minutes),
		FILE_TEST(a_timeline_keeps_its_peaks),
		FILE_TEST(the_machine_keeps_its_worst),
		FILE_TEST(it_goes_on_after_a_stop),
		FILE_TEST(the_young_and_small_are_left_out),
		FILE_TEST(the_size_is_bounded),
		FILE_TEST(the_size_is_bounded_with_churn),
		FILE_TEST(the_size_is_bounded_with_events),
		FILE_TEST(the_size_is_bounded_with_profiles),
		FILE_TEST(a_smaller_size_than_before),
		FILE_TEST(profiles_come_back),
		FILE_TEST(a_profile_of_other_values_stands_alone),
		FILE_TEST(a_full_disk_costs_a_pass),
		FILE_TEST(a_damaged_file_is_told),
		FILE_TEST(a_newer_file_is_left_alone),
		FILE_TEST(version_1_is_carried_over),
		cmocka_unit_test(lines_keep_their_places),
		FILE_TEST(time_that_is_used_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
