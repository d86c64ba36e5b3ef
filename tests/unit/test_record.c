/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/util.h"
#include "model/watch.h"
#include "format/record.h"

#define STACKS 5
#define TICKS 40

/* Values of stack s at tick t: a leak, a cache, a load, a saw-tooth, one that comes late. */
static int64_t inuse(int s, int t)
{
	switch (s) {
	case 0: return 1000000 + 50000LL * t;
	case 1: return (int64_t)(3e6 * (1 - exp(-t / 8.0)));
	case 2: return t < 2 ? 0 : 7000000;
	case 3: return 100000 * (t % 9);
	default: return t < 20 ? 0 : 12345;
	}
}

/* A snapshot at tick t; every snapshot numbers its strings and locations in another order. */
static struct profile *snapshot(int t)
{
	struct profile *p;
	struct profile_mapping m = {.start = 0x400000, .limit = 0x500000, .has_functions = true};
	uint32_t map, key, str;
	char name[32];

	assert_int_equal(profile__new(&p), 0);
	assert_int_equal(profile__set_heap_types(p, 1), 0);
	profile__string(p, "/bin/prog", &m.file);
	assert_int_equal(profile__mapping(p, &m, &map), 0);
	profile__string(p, "class", &key);
	profile__string(p, "mmap", &str);
	for (int i = 0; i < STACKS; i++) {
		int s = (i + t) % STACKS;
		struct profile_label label = {.key = key, .str = str};
		int64_t v = inuse(s, t);
		uint32_t loc[2];

		if (!v && s == 4)
			continue;
		for (int k = 0; k < 2; k++) {
			struct profile_function fn = {0};
			struct profile_line line = {.line = 10 * s + k};

			snprintf(name, sizeof(name), "fn_%d_%d", s, k);
			profile__string(p, name, &fn.name);
			profile__string(p, "prog.c", &fn.file);
			profile__function(p, &fn, &line.function);
			assert_int_equal(profile__location(p, map, 0x400000 + 16 * (2 * s + k),
							   &line, 1, &loc[k]),
					 0);
		}
		assert_int_equal(profile__sample(p, loc, 2,
						 (int64_t[]){t * 10, t * 1000000, v / 1000, v},
						 &label, s == 2),
				 0);
	}
	p->pid = 42;
	profile__string(p, "prog", &p->comm);
	p->time_ns = 1700000000000000000LL + t * 1000000000LL;
	p->totals.inuse_bytes = t;
	return p;
}

static void *memdup(const void *data, size_t len)
{
	void *copy = malloc(len);

	assert_non_null(copy);
	return memcpy(copy, data, len);
}

static char path[64];
static uint8_t *file;
static size_t file_len;

static void write_recording(void)
{
	struct record_writer *w;
	char *text;
	int fd;

	strcpy(path, "/tmp/record-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(record_writer__open(path, &w), 0);
	for (int t = 0; t < TICKS; t++) {
		struct profile *p = snapshot(t);

		assert_int_equal(record_writer__add(w, p, 1000 + t, 2000 + t), 0);
		profile__free(p);
	}
	assert_int_equal(record_writer__close(w), 0);
	file_len = util__read_file(path, 1 << 24, &text);
	file = (uint8_t *)text;
	unlink(path);
}

static int64_t value_of(const struct profile *p, const char *leaf, int type)
{
	int64_t v = 0;

	for (size_t i = 0; i < p->nsamples; i++) {
		const struct profile_sample *s = &p->samples[i];
		const struct profile_location *l = &p->locations[p->stack[s->stack0]];

		if (!strcmp(profile__text(p, p->functions[p->lines[l->line0].function].name), leaf))
			v += s->value[type];
	}
	return v;
}

static void round_trip(void **state)
{
	const struct record_tick *ticks;
	struct record *r;
	struct profile *p;
	char leaf[16];

	assert_true(record__is(file, file_len));
	assert_int_equal(record__read(file, file_len, &r), 0);
	assert_int_equal(record__damage(r), 0);
	assert_int_equal(record__ticks(r, &ticks), TICKS);
	assert_int_equal(ticks[7].rss_bytes, 1007);
	assert_true(ticks[7].totals.inuse_bytes == 7);
	for (int t = 0; t < TICKS; t++) {
		assert_int_equal(record__profile(r, SIZE_MAX, t, &p), 0);
		for (int s = 0; s < STACKS; s++) {
			snprintf(leaf, sizeof(leaf), "fn_%d_0", s);
			assert_int_equal(value_of(p, leaf, PROFILE_INUSE_SPACE), inuse(s, t));
		}
		assert_int_equal(p->pid, 42);
		assert_string_equal(profile__text(p, p->comm), "prog");
		assert_int_equal(p->time_ns, 1700000000000000000LL + t * 1000000000LL);
		profile__free(p);
	}
	assert_int_equal(record__profile(r, 10, 30, &p), 0);
	assert_int_equal(value_of(p, "fn_0_0", PROFILE_INUSE_SPACE), 20 * 50000);
	assert_int_equal(value_of(p, "fn_0_0", PROFILE_ALLOC_OBJECTS), 200);
	assert_int_equal(value_of(p, "fn_4_0", PROFILE_INUSE_SPACE), 12345);
	assert_int_equal(p->duration_ns, 20000000000LL);
	assert_string_equal(profile__text(p, p->labels[0].str), "mmap");
	profile__free(p);
	assert_int_equal(record__profile(r, 30, 10, &p), -EINVAL);
	assert_int_equal(record__profile(r, 0, TICKS, &p), -EINVAL);
	assert_int_equal(record__tick_at(r, 1700000000000000000LL + 5500000000LL), 5);
	assert_int_equal(record__tick_at(r, 0), 0);
	assert_int_equal(record__tick_at(r, INT64_MAX), TICKS - 1);
	record__free(r);
}

static void verdicts(void **state)
{
	struct record_verdict *v;
	struct record *r;
	struct profile *p;
	size_t n, leaks = 0;
	const enum trend_kind want[] = {TREND_LINEAR, TREND_SATURATING, TREND_STARTUP, TREND_CHURN,
					TREND_STEP};

	assert_int_equal(record__read(file, file_len, &r), 0);
	assert_int_equal(record__verdicts(r, 0, TICKS - 1, 100, 0, &v, &n), 0);
	assert_int_equal(record__profile(r, SIZE_MAX, TICKS - 1, &p), 0);
	assert_int_equal(n, STACKS);
	for (size_t i = 0; i < n; i++) {
		const struct profile_sample *s = &p->samples[v[i].sample];
		const struct profile_location *l = &p->locations[p->stack[s->stack0]];
		const char *leaf = profile__text(p, p->functions[p->lines[l->line0].function].name);

		leaks += v[i].trend.likely_leak;
		assert_int_equal(v[i].trend.kind, want[leaf[3] - '0']);
	}
	assert_int_equal(leaks, 1);
	assert_true(v[0].trend.likely_leak);
	assert_true(fabs(v[0].trend.slope_bytes_s - 50000) < 1);
	free(v);
	profile__free(p);
	record__free(r);
}

#define HIST_TICKS 12

/* Three stacks at tick t: each allocates t + s blocks of 16 << s bytes a tick, and frees half of
 * those of the tick before after 100 us << s; stack 2 comes at tick 5. */
static struct profile *hist_snapshot(int t, struct hist *hist, struct hist_ages *ages,
				     struct hist_total *total)
{
	struct profile *p;

	assert_int_equal(profile__new(&p), 0);
	assert_int_equal(profile__set_heap_types(p, 1), 0);
	for (int s = 0; s < 3; s++) {
		uint64_t size = 16 << s, life = 100 << s;
		uint32_t loc;
		char name[16];

		if (s == 2 && t < 5)
			continue;
		snprintf(name, sizeof(name), "[stack %d]", s);
		for (int i = 0; i < t + s; i++) {
			assert_int_equal(hist__add_size(&hist[s], size, 1), 0);
			hist_total__add_size(total, size, 1);
			hist_ages__alloc(&ages[s], t * 1000, 1);
		}
		for (int i = 0; t && i < (t + s) / 2; i++) {
			assert_int_equal(hist__add_life(&hist[s], size, life, 1), 0);
			hist_total__add_life(total, size, life, 1);
			hist_ages__free(&ages[s], t * 1000, 1);
		}
		assert_int_equal(profile__pseudo_location(p, name, &loc), 0);
		assert_int_equal(profile__sample(p, &loc, 1,
						 (int64_t[]){t + 1, t + 1, t + 1, t + 1}, NULL, 0),
				 0);
		assert_int_equal(profile__hist(p, &hist[s]), 0);
		assert_int_equal(profile__ages(p, &ages[s]), 0);
	}
	assert_int_equal(profile__hist_total(p, total), 0);
	p->ages_ms = t * 1000;
	p->time_ns = 1700000000000000000LL + t * 1000000000LL;
	return p;
}

static void same_hists(const struct profile *p, const struct hist *from, const struct hist *to)
{
	for (size_t i = 0; i < p->nsamples; i++) {
		const struct profile_location *l = &p->locations[p->stack[p->samples[i].stack0]];
		const char *name = profile__text(p, p->functions[p->lines[l->line0].function].name);
		const struct hist *h = profile__find_hist(p, i);
		int s = name[7] - '0';

		assert_non_null(h);
		for (int bit = 0; bit < HIST_BITS; bit++)
			assert_true(hist__bit(h, bit) ==
				    hist__bit(&to[s], bit) - hist__bit(&from[s], bit));
		assert_true(h->temporary_bytes == to[s].temporary_bytes - from[s].temporary_bytes);
	}
}

static void histograms(void **state)
{
	struct hist now[3] = {0}, at[HIST_TICKS][3] = {0};
	struct hist_ages ages[3] = {0};
	struct hist_total total[HIST_TICKS] = {0};
	struct record_writer *w;
	struct record_verdict *v;
	struct record *r;
	struct profile *p;
	char name[] = "/tmp/record-XXXXXX", *text;
	size_t len, n;

	close(mkstemp(name));
	assert_int_equal(record_writer__open(name, &w), 0);
	for (int t = 0; t < HIST_TICKS; t++) {
		if (t)
			total[t] = total[t - 1];
		p = hist_snapshot(t, now, ages, &total[t]);
		assert_int_equal(record_writer__add(w, p, 1, 1), 0);
		profile__free(p);
		for (int s = 0; s < 3; s++)
			assert_int_equal(hist__merge(&at[t][s], &now[s]), 0);
	}
	assert_int_equal(record_writer__close(w), 0);
	len = util__read_file(name, 1 << 24, &text);
	unlink(name);
	assert_int_equal(record__read(text, len, &r), 0);
	for (int to = 5; to < HIST_TICKS; to++) {
		assert_int_equal(record__profile(r, SIZE_MAX, to, &p), 0);
		assert_int_equal(p->nsamples, p->nhists);
		same_hists(p, (struct hist[3]){0}, at[to]);
		assert_memory_equal(p->hist_total, &total[to], sizeof(total[to]));
		profile__free(p);
	}
	assert_int_equal(record__profile(r, 6, 10, &p), 0);
	same_hists(p, at[6], at[10]);
	assert_true(p->hist_total->life_bytes[hist__life_bucket(100)] ==
		    total[10].life_bytes[hist__life_bucket(100)] -
			    total[6].life_bytes[hist__life_bucket(100)]);
	profile__free(p);
	/* half of each tick's blocks are gone: the verdicts know */
	assert_int_equal(record__verdicts(r, 0, HIST_TICKS - 1, 10, 0, &v, &n), 0);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++) {
		assert_false(v[i].trend.survival_is_bound);
		assert_true(v[i].trend.survival >= 0.45 && v[i].trend.survival < 0.6);
	}
	free(v);
	record__free(r);
	free(text);
	for (int t = 0; t < HIST_TICKS; t++)
		for (int s = 0; s < 3; s++)
			hist__clear(&at[t][s]);
	for (int s = 0; s < 3; s++)
		hist__clear(&now[s]);
}

/* What the version before wrote: another name, and no sections. */
static void first_version(void **state)
{
	uint8_t *old = memdup(file, file_len);
	struct record *r;
	struct profile *p;

	memcpy(old, "MWREC1\n", 8);
	assert_int_equal(record__read(old, file_len, &r), 0);
	assert_int_equal(record__damage(r), 0);
	assert_int_equal(record__profile(r, SIZE_MAX, TICKS - 1, &p), 0);
	assert_int_equal(p->nsamples, STACKS);
	assert_null(p->hist_total);
	profile__free(p);
	record__free(r);
	free(old);
}

static void small_when_nothing_changes(void **state)
{
	struct record_writer *w;
	char name[] = "/tmp/record-XXXXXX", *text;
	int fd = mkstemp(name);
	struct profile *p = snapshot(30);
	ssize_t one, many;

	close(fd);
	assert_int_equal(record_writer__open(name, &w), 0);
	assert_int_equal(record_writer__add(w, p, 0, 0), 0);
	one = util__read_file(name, 1 << 20, &text);
	free(text);
	for (int i = 0; i < 100; i++)
		assert_int_equal(record_writer__add(w, p, 0, 0), 0);
	assert_int_equal(record_writer__close(w), 0);
	many = util__read_file(name, 1 << 20, &text);
	free(text);
	assert_true(many - one < 100 * 120);
	profile__free(p);
	unlink(name);
}

/* Cut at every length: what was whole before the cut is read, and nothing else. */
static void truncated(void **state)
{
	size_t last = 0;

	for (size_t len = 0; len <= file_len; len++) {
		uint8_t *copy = malloc(len + 1); /* so that ASan sees a read beyond it */
		const struct record_tick *ticks;
		struct record *r;
		int err;

		copy = realloc(copy, len ? len : 1);
		memcpy(copy, file, len);
		err = record__read(copy, len, &r);
		if (!err) {
			size_t n = record__ticks(r, &ticks);

			assert_true(n >= last);
			last = n;
			assert_true(n > 0 && record__damage(r) < file_len);
			record__free(r);
		} else {
			assert_int_equal(err, -EBADMSG);
			assert_int_equal(last, 0);
		}
		free(copy);
	}
	assert_int_equal(last, TICKS);
}

static void damaged(void **state)
{
	uint64_t rng = 1;

	for (int i = 0; i < 2000; i++) {
		uint8_t *copy = malloc(file_len);
		const struct record_tick *ticks;
		struct record *r;
		size_t at;

		rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
		at = (rng >> 16) % file_len;
		memcpy(copy, file, file_len);
		copy[at] ^= 1 << (rng >> 60) % 8;
		if (!record__read(copy, file_len, &r)) {
			assert_true(record__ticks(r, &ticks) < TICKS);
			assert_true(record__damage(r) > 0);
			record__free(r);
		}
		free(copy);
	}
}

static void watching(void **state)
{
	struct watch w = {0};
	struct trend t;
	struct watch_entry *e;
	uint64_t keys[STACKS];

	for (int i = 0; i < TICKS; i++) {
		struct profile *p = snapshot(i);

		assert_int_equal(watch__profile(&w, p, i), 0);
		if (i == 30)
			watch__mark(&w);
		if (i == TICKS - 1)
			assert_int_equal(watch__stack_keys(p, keys), 0);
		profile__free(p);
	}
	assert_int_equal(w.n, STACKS);
	/* snapshot() rotates the stacks by the tick */
	e = watch__find(&w, keys[(STACKS - (TICKS - 1) % STACKS) % STACKS]);
	assert_non_null(e);
	assert_int_equal(e->now[PROFILE_INUSE_SPACE], inuse(0, TICKS - 1));
	assert_int_equal(e->mark[PROFILE_INUSE_SPACE], inuse(0, 30));
	assert_true(watch__rate(&w, e, PROFILE_INUSE_SPACE) == 50000);
	watch__trend(&w, e, &t);
	assert_true(t.likely_leak);
	watch__clear(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip),
					   cmocka_unit_test(verdicts),
					   cmocka_unit_test(histograms),
					   cmocka_unit_test(first_version),
					   cmocka_unit_test(small_when_nothing_changes),
					   cmocka_unit_test(truncated),
					   cmocka_unit_test(damaged),
					   cmocka_unit_test(watching)};
	int failed;

	write_recording();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(file);
	return failed;
}
