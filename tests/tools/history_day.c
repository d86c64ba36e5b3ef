/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * history_day - what a day of history costs on a busy machine: PROCESSES of which a tenth change in
 * each second, PROFILED of them profiled (what they have in use and have allocated changes every
 * second, a ledger is read a second, a profile of STACKS stacks is kept every ten minutes), one
 * more that comes every CHURN_S seconds and lives for as many, alerts and OOM kills. Prints the
 * size of the file, the time a pass and a profile take, and the moment of the end, for
 * `memwatch history`.
 *
 *	history_day DIR PROCESSES SECONDS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/util.h"
#include "history/history.h"

#define MB (1LL << 20)
#define T0 1700000000000LL
#define PROFILED 50
#define STACKS 400
#define FUNCTIONS 300
#define DEPTH 12
#define SNAPSHOT_S 600
#define CHURN_S 5
#define ALERT_S 300 /* also resolved */
#define KILL_S 3600
#define KILL_BYTES 12000 /* with its table of tasks */

struct day {
	struct history *h;
	struct history_row *row;
	struct profile *profile[PROFILED];
	size_t n;
	unsigned seed;
	uint64_t pass_ns, profile_ns, profiles;
};

/* Of this thread: others may be busy. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void check(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "history_day: %s: %s\n", what, strerror(-err));
	exit(1);
}

static struct history_row row_of(uint32_t pid)
{
	struct history_row r = {.pid = pid,
				.start_ns = pid,
				.comm = "process",
				.command = "/usr/lib/some/process --with --arguments=and/a/path",
				.cgroup = "/system.slice/some.service"};

	for (int v = 0; v < HISTORY_VALUES; v++)
		r.value[v] =
			v < TIMELINE_INUSE || v == HISTORY_PEAK_RSS ? 20 * MB : TIMELINE_UNKNOWN;
	r.value[TIMELINE_RSS_ANON] = r.value[TIMELINE_RSS_FILE] = 10 * MB;
	r.value[TIMELINE_RSS_SHMEM] = r.value[TIMELINE_SWAP] = 0;
	return r;
}

static struct profile *make_profile(size_t which)
{
	struct profile_line line = {.line = 12};
	struct profile_function f = {0};
	int64_t v[4] = {1, 4096, 1, 4096};
	uint32_t loc[FUNCTIONS], stack[DEPTH];
	unsigned seed = (unsigned)which;
	struct profile *p;
	char name[64];

	check(profile__new(&p), "profile");
	check(profile__set_heap_types(p, 524288), "types");
	for (int i = 0; i < FUNCTIONS; i++) {
		snprintf(name, sizeof(name), "library::of_program_%zu::function_%d", which, i);
		check(profile__string(p, name, &f.name), "string");
		f.system_name = f.name;
		check(profile__function(p, &f, &line.function), "function");
		check(profile__location(p, PROFILE_NONE, 0x1000 + (uint64_t)i, &line, 1, &loc[i]),
		      "location");
	}
	for (int i = 0; i < STACKS; i++) {
		for (int d = 0; d < DEPTH; d++)
			stack[d] = loc[(rand_r(&seed) % (DEPTH - d) * 7 + d * 23) % FUNCTIONS];
		stack[0] = loc[i % FUNCTIONS];
		stack[1] = loc[i / FUNCTIONS];
		check(profile__sample(p, stack, DEPTH, v, NULL, 0), "sample");
	}
	p->pid = 1000 + (uint32_t)which;
	return p;
}

static void change(struct day *d)
{
	for (size_t k = 0; k < d->n / 10 + 1; k++) {
		struct history_row *x = &d->row[(size_t)rand_r(&d->seed) % d->n];
		int64_t by = (int64_t)(rand_r(&d->seed) % 512 - 250) * 4096;

		x->value[TIMELINE_RSS] = max_of(x->value[TIMELINE_RSS] + by, 4 * MB);
		x->value[TIMELINE_RSS_ANON] = x->value[TIMELINE_RSS] / 8192 * 4096;
		x->value[TIMELINE_RSS_FILE] = x->value[TIMELINE_RSS] - x->value[TIMELINE_RSS_ANON];
		x->value[TIMELINE_VIRT] = 4 * x->value[TIMELINE_RSS];
		x->value[HISTORY_PEAK_RSS] = x->value[TIMELINE_RSS] + rand_r(&d->seed) % 2 * 65536;
	}
	for (size_t i = 0; i < PROFILED; i++) {
		int64_t *v = d->row[i].value;

		v[TIMELINE_ALLOC] += (int64_t)(rand_r(&d->seed) % 4096) * 1024;
		v[TIMELINE_INUSE] = max_of(
			v[TIMELINE_INUSE] + (int64_t)(rand_r(&d->seed) % 1024 - 500) * 512, MB);
	}
}

static void read_ledger(struct day *d, int64_t s)
{
	static const enum ledger_kind moves[] = {LEDGER_LIVE, LEDGER_RETAINED, LEDGER_OVERHEAD,
						 LEDGER_FILES};

	for (size_t i = 0; i < ARRAY_SIZE(moves); i++)
		d->row[s % PROFILED].value[HISTORY_LEDGER + moves[i]] +=
			(int64_t)(rand_r(&d->seed) % 64) * 4096;
}

/* A quarter of its stacks have changed since its last. */
static int64_t keep_profile(struct day *d, size_t which, int64_t time_ms, const char *why)
{
	struct profile *p = d->profile[which];
	uint64_t begin = cpu_ns();
	int64_t id;

	for (size_t i = 0; i < STACKS / 4; i++) {
		int64_t *v = p->samples[(size_t)rand_r(&d->seed) % p->nsamples].value;
		int64_t blocks = rand_r(&d->seed) % 100, size = 16 << rand_r(&d->seed) % 8;

		v[PROFILE_ALLOC_OBJECTS] += blocks;
		v[PROFILE_ALLOC_SPACE] += blocks * size;
		v[PROFILE_INUSE_OBJECTS] = blocks / 2;
		v[PROFILE_INUSE_SPACE] = blocks / 2 * size;
	}
	p->time_ns = time_ms * 1000000;
	p->totals.inuse_bytes = (double)d->row[which].value[TIMELINE_INUSE];
	check(history__profile(d->h, &d->row[which], p, why, &id), "history__profile");
	d->profile_ns += cpu_ns() - begin;
	d->profiles++;
	return id;
}

static void tell(struct day *d, const char *kind, size_t which, int64_t time_ms, size_t len,
		 int64_t profile)
{
	cleanup_free char *json = malloc(len + 1);
	int n;

	if (!json)
		check(-ENOMEM, "event");
	memset(json, ' ', len + 1);
	n = snprintf(json, len,
		     "{\"rule\":\"rss\",\"state\":\"firing\",\"value\":%lld,\"threshold\":1048576,"
		     "\"unit\":\"bytes\"",
		     (long long)d->row[which].value[TIMELINE_RSS]);
	json[n] = ' ';
	json[len - 1] = '}';
	check(history__event(d->h, kind, time_ms, d->row[which].pid, "process", json, len, profile),
	      "history__event");
}

static void write_second(struct day *d, int64_t s)
{
	int64_t machine[HISTORY_MACHINE_VALUES] = {8192 * MB, 4096 * MB + s * 4096,   0,
						   0,	      rand_r(&d->seed) % 100, 0};
	int64_t now = T0 + s * 1000;
	uint64_t begin;

	change(d);
	read_ledger(d, s);
	d->row[d->n] = row_of(100000 + (uint32_t)(s / CHURN_S));
	begin = cpu_ns();
	check(history__pass(d->h, now, machine, d->row, d->n + 1), "history__pass");
	d->pass_ns += cpu_ns() - begin;
	for (size_t i = 0; i < PROFILED; i++) {
		if (s % SNAPSHOT_S == (int64_t)i * (SNAPSHOT_S / PROFILED))
			keep_profile(d, i, now, "regular");
	}
	if (s % ALERT_S == 0)
		tell(d, "alert", (size_t)(s / ALERT_S) % d->n, now, 400, 0);
	if (s % KILL_S == 0)
		tell(d, "oom", (size_t)(s / KILL_S) % PROFILED, now, KILL_BYTES,
		     keep_profile(d, (size_t)(s / KILL_S) % PROFILED, now, "OOM kill"));
}

static void begin_day(struct day *d, const char *dir)
{
	static const struct history_opts opts = {.max_bytes = 4ULL << 30};
	char why[HISTORY_WHY] = "";

	check(history__create(dir, &opts, &d->h, why), "history__create");
	for (size_t i = 0; i < d->n; i++)
		d->row[i] = row_of(1000 + (uint32_t)i);
	for (size_t i = 0; i < PROFILED; i++) {
		for (int k = 0; k < LEDGER_KINDS; k++)
			d->row[i].value[HISTORY_LEDGER + k] = 5 * MB;
		d->row[i].value[TIMELINE_INUSE] = d->row[i].value[TIMELINE_ALLOC] = 5 * MB;
		d->profile[i] = make_profile(i);
	}
}

int main(int argc, char **argv)
{
	struct day d = {.n = argc == 4 ? strtoul(argv[2], NULL, 10) : 0, .seed = 1};
	int64_t seconds = argc == 4 ? atoll(argv[3]) : 0;
	struct history_stats st;

	d.row = calloc(d.n + 1, sizeof(*d.row));
	if (d.n < PROFILED || !seconds || !d.row)
		return 2;
	begin_day(&d, argv[1]);
	for (int64_t s = 1; s <= seconds; s++)
		write_second(&d, s);
	check(history__stats(d.h, &st), "history__stats");
	printf("a pass over %zu processes: %.3f ms\n", d.n,
	       (double)d.pass_ns / 1e6 / (double)seconds);
	printf("a profile of %d stacks: %.3f ms\n", STACKS,
	       (double)d.profile_ns / 1e6 / (double)max_of(d.profiles, 1));
	printf("%.1f hours: %.1f MiB\n", (double)seconds / 3600, (double)st.bytes / (1 << 20));
	printf("end: %lld\n", (T0 + seconds * 1000) / 1000);
	history__close(d.h);
	for (size_t i = 0; i < PROFILED; i++)
		profile__free(d.profile[i]);
	free(d.row);
	return 0;
}
