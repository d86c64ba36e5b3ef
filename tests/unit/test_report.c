/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/util.h"
#include "format/inflate.h"
#include "format/output.h"
#include "format/protowire.h"
#include "report/filter.h"
#include "report/graph.h"
#include "report/keytab.h"
#include "report/load.h"
#include "report/measure.h"
#include "report/merge.h"
#include "report/picture.h"
#include "report/report.h"
#include "core/rx.h"

static void labels(void **state)
{
	static const struct {
		int64_t v;
		const char *from, *to, *want;
	} t[] = {
		{0, "bytes", "auto", "0"},
		{1023, "bytes", "auto", "1023B"},
		{1536, "bytes", "minimum", "1.50kB"},
		{-3145728, "bytes", "auto", "-3MB"},
		{1, "bytes", "MB", "0"}, /* rounds to 0.00 */
		{5 << 20, "bytes", "kB", "5120kB"},
		{17, "count", "minimum", "17"},
		{17, "widgets", "auto", "17"},
		{17, "widgets", "MB", "17MB"}, /* as pprof does */
		{1500000, "nanoseconds", "auto", "1.50ms"},
		{30000000000, "nanoseconds", "auto", "30s"},
		{INT64_MIN, "bytes", "B", "-9223372036854775808B"},
	};
	char b[MEASURE_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_string_equal(measure__label(b, sizeof(b), t[i].v, t[i].from, t[i].to),
				    t[i].want);
}

static void percents(void **state)
{
	char b[MEASURE_LEN];

	assert_string_equal(measure__percent(b, sizeof(b), 1, 1), "  100%");
	assert_string_equal(measure__percent(b, sizeof(b), 9996, 10000), "  100%");
	assert_string_equal(measure__percent(b, sizeof(b), 1, 3), "33.33%");
	assert_string_equal(measure__percent(b, sizeof(b), -1, 200), "  0.5%");
	assert_string_equal(measure__percent(b, sizeof(b), 1, 10000000), "1e-05%");
	assert_string_equal(measure__percent(b, sizeof(b), 5, 0), "    0%");
}

static void durations(void **state)
{
	static const struct {
		int64_t ns;
		const char *want;
	} t[] = {{0, "0s"},
		 {999, "999ns"},
		 {1500, "1.5\u00b5s"},
		 {2000000, "2ms"},
		 {1000000000, "1s"},
		 {61500000000, "1m1.5s"},
		 {3600000000000, "1h0m0s"},
		 {-5000000000, "-5s"}};
	char b[MEASURE_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_string_equal(measure__duration(b, sizeof(b), t[i].ns), t[i].want);
}

static void expressions(void **state)
{
	struct rx *rx;
	char why[100];

	assert_int_equal(rx__new("(", &rx, why, sizeof(why)), -EINVAL);
	assert_true(*why);
	assert_int_equal(rx__new("^(a|b)+\\d$", &rx, NULL, 0), 0);
	assert_true(rx__match(rx, "abab7"));
	assert_false(rx__match(rx, "abab7\n"));
	assert_false(rx__match(rx, "\xff\xfe"));
	rx__free(rx);
	/* Would take ages without a limit. */
	assert_int_equal(rx__new("^(a+)+$", &rx, NULL, 0), 0);
	assert_false(rx__match(rx, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"));
	rx__free(rx);
	rx__free(NULL);
}

static int count_known(const char *endings, bool (*known)(const char *path))
{
	cleanup_free char *copy = strdup(endings);
	char path[32], *save = NULL;
	int n = 0;

	for (char *e = strtok_r(copy, " ", &save); e; e = strtok_r(NULL, " ", &save), n++) {
		snprintf(path, sizeof(path), "x%s", e);
		assert_true(known(path));
	}
	return n;
}

static bool is_picture(const char *path)
{
	return picture__format(path);
}

static void endings_that_are_named_are_written(void **state)
{
	assert_int_equal(count_known(output__endings(), output__known), 6);
	assert_int_equal(count_known(PICTURE_ENDINGS, is_picture), 6);
	assert_false(output__known("x.png"));
	assert_false(is_picture("x.html"));
}

static void wrong_tag_filters_are_named(void **state)
{
	const struct filter wrong = {.tag_focus = "comm=a,("};
	const struct filter many = {.tag_ignore = "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,"
						  "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"};
	struct profile *p;
	unsigned unmatched;
	char why[100] = "";

	assert_int_equal(profile__new(&p), 0);
	assert_int_equal(filter__apply(p, &wrong, &unmatched, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "tagfocus: '(' is no regular expression: "));
	assert_int_equal(filter__apply(p, &many, &unmatched, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "tagignore: more than 32 expressions");
	profile__free(p);
}

static void keys(void **state)
{
	struct keytab t = {0};
	uint32_t id, key[3];
	bool fresh;

	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 3000; i++) {
			key[0] = i;
			key[1] = key[2] = 7;
			assert_int_equal(keytab__add(&t, key, i % 4, &id, &fresh), 0);
		}
	}
	assert_int_equal(t.index.n, 1 + 3 * 750); /* all empty keys are one */
	keytab__free(&t);
}

static void wire(void **state)
{
	static const uint8_t msg[] = {0x08, 0x96, 0x01, 0x12, 0x02, 'h',
				      'i',  0x1a, 0x02, 0x01, 0x7f};
	static const uint8_t cut[] = {0x12, 0x05, 'h'}, endless[] = {0x08, 0xff, 0xff};
	struct protowire w = protowire__of(msg, sizeof(msg));
	uint64_t v, sum = 0;

	assert_int_equal(protowire__next(&w), 1);
	assert_int_equal(w.field, 1);
	assert_int_equal(w.num, 150);
	assert_int_equal(protowire__next(&w), 1);
	assert_int_equal(w.len, 2);
	assert_int_equal(protowire__next(&w), 1);
	for (struct protowire_list l = protowire__list(&w); protowire__list_next(&l, &v);)
		sum += v;
	assert_int_equal(sum, 128);
	assert_int_equal(protowire__next(&w), 0);
	w = protowire__of(cut, sizeof(cut));
	assert_int_equal(protowire__next(&w), -EBADMSG);
	w = protowire__of(endless, sizeof(endless));
	assert_int_equal(protowire__next(&w), -EBADMSG);
}

/* One function per name in `names` (leaf first), each its own location. */
static void add(struct profile *p, const char *const *names, size_t n, const int64_t v[4])
{
	uint32_t loc[8];

	for (size_t i = 0; i < n; i++)
		assert_int_equal(profile__pseudo_location(p, names[i], &loc[i]), 0);
	assert_int_equal(profile__sample(p, loc, n, v, NULL, 0), 0);
}

#define ADD(p, v, ...)                                  \
	do {                                            \
		const char *const _n[] = {__VA_ARGS__}; \
		add(p, _n, ARRAY_SIZE(_n), v);          \
	} while (0)
#define V(...) ((const int64_t[4]){__VA_ARGS__})

static struct profile *heap(void)
{
	struct profile *p;

	assert_int_equal(profile__new(&p), 0);
	assert_int_equal(profile__set_heap_types(p, 1), 0);
	return p;
}

static void merging(void **state)
{
	struct profile *p[2] = {heap(), heap()}, *m;
	const char *why;

	ADD(p[0], V(1, 10, 1, 10), "leaf", "main");
	ADD(p[0], V(2, 20, 2, 20), "leaf", "main");
	ADD(p[0], V(0, 0, 0, 0), "nothing", "main");
	ADD(p[1], V(1, 10, 1, 10), "other", "main");
	ADD(p[1], V(4, 40, 3, 30), "leaf", "main");
	profile__loss(p[0], "full", 2, 0);
	profile__loss(p[1], "full", 3, 0);
	assert_int_equal(merge__profiles(p, 2, &m, &why), 0);
	assert_int_equal(m->nsamples, 2);
	assert_int_equal(m->samples[0].value[PROFILE_INUSE_SPACE], 60);
	assert_int_equal(m->nlocations, 3); /* "nothing" went with its sample */
	assert_int_equal(m->losses[0].count, 5);
	profile__free(m);
	/* A profile minus itself is empty. */
	profile__free(p[0]);
	p[0] = heap();
	ADD(p[0], V(1, 10, 1, 10), "other", "main");
	ADD(p[0], V(4, 40, 3, 30), "leaf", "main");
	assert_int_equal(merge__subtract(&p[0], p[1], &why), 0);
	assert_int_equal(p[0]->nsamples, 0);
	assert_true(p[0]->difference);
	p[1]->nvalues = 2;
	m = p[0];
	assert_int_equal(merge__subtract(&p[0], p[1], &why), -EINVAL);
	assert_ptr_equal(p[0], m);
	assert_int_equal(merge__profiles(p, 2, &m, &why), -EINVAL);
	assert_non_null(strstr(why, "sample types"));
	profile__free(p[0]);
	profile__free(p[1]);
}

/*
 * main→cache: 5 blocks live before, all freed since, 2 new ones live: the difference says -3.
 * main→leak: 3 before, 8 now. main→churn: allocates much, keeps nothing.
 */
static void survivors(void **state)
{
	struct profile *then = heap(), *now = heap(), *s;
	const char *why;

	ADD(then, V(5, 500, 5, 500), "cache", "main");
	ADD(then, V(3, 300, 3, 300), "leak", "main");
	ADD(now, V(7, 700, 2, 200), "cache", "main");
	ADD(now, V(8, 800, 8, 800), "leak", "main");
	ADD(now, V(90, 9000, 0, 0), "churn", "main");
	then->pid = now->pid = 9;
	assert_int_equal(merge__survivors(then, now, &s, &why), 0);
	assert_int_equal(s->nsamples, 3);
	for (size_t i = 0; i < 3; i++) {
		const int64_t *v = s->samples[i].value;
		const struct profile_location *l = &s->locations[s->stack[s->samples[i].stack0]];
		const char *name = profile__text(s, s->functions[s->lines[l->line0].function].name);
		bool leak = !strcmp(name, "leak");

		assert_int_equal(v[PROFILE_INUSE_SPACE], leak ? 500 : 0);
		assert_int_equal(v[PROFILE_ALLOC_SPACE], leak			  ? 500
							 : !strcmp(name, "cache") ? 200
										  : 9000);
	}
	assert_non_null(
		strstr(profile__text(s, s->comments[0]), "at least 500B, at most 700B of 9.47kB"));
	profile__free(s);
	profile__free(then);
	then = heap();
	then->pid = 10;
	assert_int_equal(merge__survivors(then, now, &s, &why), -EINVAL);
	assert_non_null(strstr(why, "process"));
	profile__free(then);
	profile__free(now);
}

static void dropping(void **state)
{
	struct profile *p = heap();

	ADD(p, V(1, 1, 1, 1), "malloc", "operator new(unsigned long)", "user", "main");
	ADD(p, V(1, 1, 1, 1), "operator()(int)", "main");
	ADD(p, V(1, 1, 1, 1), "malloc"); /* all of the stack: it stays */
	assert_int_equal(filter__drop_frames(p), 0);
	assert_int_equal(p->samples[0].nstack, 2);
	assert_int_equal(p->samples[1].nstack, 2);
	assert_int_equal(p->samples[2].nstack, 1);
	profile__string(p, "(", &p->drop_frames);
	assert_int_equal(filter__drop_frames(p), -EINVAL);
	profile__free(p);
}

static char *printed(struct profile *p, const struct report_options *o,
		     int (*fn)(struct report *, FILE *))
{
	char *text = NULL, why[64];
	size_t len;
	FILE *f = open_memstream(&text, &len);
	struct report r;

	assert_int_equal(report__begin(&r, p, o, REPORT_TOP, why, sizeof(why)), 0);
	assert_int_equal(fn(&r, f), 0);
	report__end(&r);
	fclose(f);
	return text;
}

/* Recursion counts once for cum; flat belongs to the leaf. */
static void top(void **state)
{
	struct report_options o = {
		.type = PROFILE_INUSE_SPACE, .top = -1, .node_fraction = -1, .edge_fraction = -1};
	struct profile *p = heap();
	char *text;

	ADD(p, V(1, 0, 0, 3000), "f", "f", "main");
	ADD(p, V(1, 0, 0, 1000), "g\x1b", "main");
	text = printed(p, &o, report__top);
	assert_string_equal(text, "Type: inuse_space\n"
				  "Showing nodes accounting for 4000B, 100% of 4000B total\n"
				  "      flat  flat%   sum%        cum   cum%\n"
				  "     3000B 75.00% 75.00%      3000B 75.00%  f\n"
				  "     1000B 25.00%   100%      1000B 25.00%  g\\x1b\n"
				  "         0     0%   100%      4000B   100%  main\n");
	free(text);
	profile__free(p);
}

static void paths(void **state)
{
	assert_string_equal(graph__trim_path("/a/b/c.c", "/a", NULL), "b/c.c");
	assert_string_equal(graph__trim_path("/a/b/c.c", "/x:/a/b/", NULL), "c.c");
	assert_string_equal(graph__trim_path("/ab/c.c", "/a", NULL), "/ab/c.c");
	assert_string_equal(graph__trim_path("/proc/self/cwd/./x.c", NULL, NULL), "x.c");
	assert_string_equal(graph__trim_path("/far/away/project/src/x.c", NULL, "/home/me/project"),
			    "src/x.c");
}

/* What is written can be read again, in both formats, and says the same. */
static void round_trips(void **state)
{
	static const enum output_format format[] = {OUTPUT_PPROF, OUTPUT_JSON};

	for (size_t i = 0; i < ARRAY_SIZE(format); i++) {
		struct profile *p = heap(), *q;
		const char *why = "";
		char *text = NULL;
		size_t len;
		FILE *f = open_memstream(&text, &len);

		ADD(p, V(3, 30, 2, 20), "leaf\n\"<", "main");
		ADD(p, V(1, INT64_MAX, -1, -5), "[mmap]");
		p->pid = 42;
		p->time_ns = 1700000000123000000;
		p->duration_ns = 5000000000;
		profile__string(p, "prog", &p->comm);
		p->totals = (struct profile_totals){4, 40, 3, 25, 1, 15};
		profile__loss(p, "ring full", 7, 0);
		assert_int_equal(output__write_stream(p, f, format[i], -1), 0);
		fclose(f);
		assert_int_equal(load__buffer(text, len, &q, &why), 0);
		assert_int_equal(q->nsamples, 2);
		assert_int_equal(q->samples[0].value[PROFILE_INUSE_SPACE], 20);
		assert_int_equal(q->samples[1].value[PROFILE_ALLOC_SPACE], INT64_MAX);
		assert_int_equal(q->samples[1].value[PROFILE_INUSE_SPACE], -5);
		assert_int_equal(q->pid, 42);
		assert_int_equal(q->time_ns, p->time_ns);
		assert_int_equal(q->duration_ns, p->duration_ns);
		assert_string_equal(profile__text(q, q->comm), "prog");
		assert_true(q->totals.free_bytes == 25);
		assert_int_equal(q->losses[0].count, 7);
		assert_int_equal(profile__find_type(q, NULL), PROFILE_INUSE_SPACE);
		/* Every cut of it is refused or read, and nothing else happens. */
		for (size_t cut = 0; cut < len; cut++) {
			struct profile *half;
			char *copy = malloc(cut + 1);

			memcpy(copy, text, cut);
			if (!load__buffer(copy, cut, &half, &why))
				profile__free(half);
			free(copy);
		}
		free(text);
		profile__free(p);
		profile__free(q);
	}
}

/* A unit that nobody knows is the profile's own text, and reports add texts to the profile. */
static void units_outlive_new_texts(void **state)
{
	static const char unit[] = "widgets";
	struct report_options o = {.type = 3, .top = -1};
	struct profile *p = heap();
	cleanup_free char *text = NULL;
	struct report r;
	char why[128];
	size_t len;
	FILE *f = open_memstream(&text, &len);

	profile__string(p, unit, &p->sample_type[3].unit);
	for (int i = 0; i < 4000; i++) {
		struct profile_label l = {.num = i};

		profile__string(p, "request", &l.key);
		ADD(p, V(1, 10, 1, 10), "leaf", "main");
		p->samples[i].label0 = p->nlabels;
		p->samples[i].nlabels = 1;
		assert_int_equal(array_reserve(p->labels, p->labels_cap, p->nlabels + 1), 0);
		p->labels[p->nlabels++] = l;
	}
	assert_int_equal(report__begin(&r, p, &o, REPORT_TREE, why, sizeof(why)), 0);
	assert_int_equal(report__print(&r, REPORT_TREE, f), 0);
	assert_int_equal(report__print(&r, REPORT_TAGS, f), 0);
	assert_int_equal(report__print(&r, REPORT_DOT, f), 0);
	fclose(f);
	assert_non_null(strstr(text, "Total 40000.0widgets"));
	report__end(&r);
	profile__free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labels),
		cmocka_unit_test(percents),
		cmocka_unit_test(durations),
		cmocka_unit_test(expressions),
		cmocka_unit_test(wrong_tag_filters_are_named),
		cmocka_unit_test(endings_that_are_named_are_written),
		cmocka_unit_test(keys),
		cmocka_unit_test(wire),
		cmocka_unit_test(units_outlive_new_texts),
		cmocka_unit_test(merging),
		cmocka_unit_test(survivors),
		cmocka_unit_test(dropping),
		cmocka_unit_test(top),
		cmocka_unit_test(paths),
		cmocka_unit_test(round_trips),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
