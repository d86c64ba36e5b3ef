/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * history_day - what a day of history costs: PROCESSES of which a tenth change in each second, as
 * on a busy machine; prints the size of the file, the time a pass takes, and that of four
 * questions.
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
#define PROFILED 50 /* have a ledger, one of which is read a second */

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

static void change(struct history_row *r, size_t n, unsigned *seed)
{
	for (size_t k = 0; k < n / 10 + 1; k++) {
		struct history_row *x = &r[rand_r(seed) % n];
		int64_t by = (int64_t)(rand_r(seed) % 512 - 250) * 4096;

		x->value[TIMELINE_RSS] = max_of(x->value[TIMELINE_RSS] + by, 4 * MB);
		x->value[TIMELINE_RSS_ANON] = x->value[TIMELINE_RSS] / 2;
		x->value[TIMELINE_RSS_FILE] = x->value[TIMELINE_RSS] - x->value[TIMELINE_RSS_ANON];
		x->value[TIMELINE_VIRT] = 4 * x->value[TIMELINE_RSS];
		x->value[HISTORY_PEAK_RSS] = x->value[TIMELINE_RSS] + rand_r(seed) % 2 * 65536;
	}
}

static void read_ledger(struct history_row *r, unsigned *seed)
{
	static const enum ledger_kind moves[] = {LEDGER_LIVE, LEDGER_RETAINED, LEDGER_OVERHEAD,
						 LEDGER_FILES};

	for (size_t i = 0; i < ARRAY_SIZE(moves); i++)
		r->value[HISTORY_LEDGER + moves[i]] += (int64_t)(rand_r(seed) % 64) * 4096;
}

static void write_day(struct history *h, struct history_row *r, size_t n, int64_t seconds)
{
	uint64_t begin = cpu_ns();
	unsigned seed = 1;

	for (int64_t s = 1; s <= seconds; s++) {
		int64_t machine[HISTORY_MACHINE_VALUES] = {8192 * MB, 4096 * MB + s * 4096, 0,
							   0,	      rand_r(&seed) % 100,  0};

		change(r, n, &seed);
		read_ledger(&r[min_of((size_t)(s % PROFILED), n - 1)], &seed);
		check(history__pass(h, T0 + s * 1000, machine, r, n), "history__pass");
	}
	printf("a pass over %zu processes: %.3f ms\n", n,
	       (double)(cpu_ns() - begin) / 1e6 / (double)seconds);
}

static int nothing(void *arg, const struct history_process *p)
{
	++*(size_t *)arg;
	return 0;
}

static void ask(struct history *h, const char *what, int64_t from, int64_t to)
{
	uint64_t begin = cpu_ns();
	size_t n = 0;

	check(history__processes(h, from, to, nothing, &n), what);
	printf("who grew in %s: %.1f ms, %zu processes\n", what, (double)(cpu_ns() - begin) / 1e6,
	       n);
}

int main(int argc, char **argv)
{
	static const struct history_opts opts = {.max_bytes = 4ULL << 30};
	size_t n = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
	int64_t seconds = argc == 4 ? atoll(argv[3]) : 0, end = T0 + seconds * 1000, id;
	struct history_row *r = calloc(n + 1, sizeof(*r));
	char why[HISTORY_WHY] = "";
	struct history_stats st;
	struct history *h;
	struct timeline t;
	uint64_t begin;

	if (!n || !seconds || !r)
		return 2;
	check(history__create(argv[1], &opts, &h, why), "history__create");
	for (size_t i = 0; i < n; i++) {
		r[i] = (struct history_row){.pid = 1000 + i,
					    .start_ns = i,
					    .comm = "process",
					    .command = "process --with --arguments",
					    .cgroup = "/system.slice/some.service"};
		for (int v = 0; v < HISTORY_VALUES; v++)
			r[i].value[v] = 20 * MB;
		r[i].value[TIMELINE_INUSE] = r[i].value[TIMELINE_ALLOC] = TIMELINE_UNKNOWN;
		for (int k = 0; k < LEDGER_KINDS && i >= PROFILED; k++)
			r[i].value[HISTORY_LEDGER + k] = TIMELINE_UNKNOWN;
	}
	write_day(h, r, n, seconds);
	check(history__stats(h, &st), "history__stats");
	printf("%.1f hours: %.1f MiB\n", (double)seconds / 3600, (double)st.bytes / (1 << 20));
	ask(h, "all of it", T0, end);
	ask(h, "the last hour", end - 3600000, end);
	ask(h, "ten minutes of the middle", T0 + seconds * 500, T0 + seconds * 500 + 600000);
	check(history__find(h, 1000, T0, end, &id), "history__find");
	timeline__init(&t, 1000, "process", 8192);
	begin = cpu_ns();
	check(history__timeline(h, id, T0, end, &t), "history__timeline");
	printf("the timeline of one: %.1f ms, %zu rows\n", (double)(cpu_ns() - begin) / 1e6,
	       t.nrows);
	timeline__clear(&t);
	history__close(h);
	free(r);
	return 0;
}
