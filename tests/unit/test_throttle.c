/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Groups held up at memory.high, on a tree of files as the kernel has them (the real ones are
 * tested in the kernel matrix). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/log.h"
#include "oom/throttle.h"

#define SEC 1000000000ULL

struct got {
	size_t n;
	struct throttle_event last;
};

static void take(void *arg, const struct throttle_event *e)
{
	struct got *g = arg;

	g->n++;
	g->last = *e;
}

static void put(const char *dir, const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void counts(const char *dir, unsigned high, unsigned stall_us)
{
	char text[256];

	snprintf(text, sizeof(text), "low 0\nhigh %u\nmax 3\noom 0\n", high);
	put(dir, "memory.events", text);
	snprintf(text, sizeof(text),
		 "some avg10=0.00 avg60=0.00 avg300=0.00 total=%u\n"
		 "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		 stall_us);
	put(dir, "memory.pressure", text);
}

static void told_once_a_minute(void **state)
{
	char root[] = "/tmp/memwatch-throttle-XXXXXX", web[256], job[256], cmd[300];
	struct cgroup_mounts m = {.version = 2};
	struct got g = {};
	struct throttle *t;
	uint64_t now = 1000 * SEC;

	assert_non_null(mkdtemp(root));
	snprintf(web, sizeof(web), "%s/web", root);
	snprintf(job, sizeof(job), "%s/web/job", root);
	mkdir(web, 0700);
	mkdir(job, 0700);
	put(web, "memory.high", "max\n");
	counts(web, 99, 1);
	put(job, "memory.high", "1048576\n");
	put(job, "memory.current", "1050000\n");
	counts(job, 7, 1000);
	snprintf(m.memory, sizeof(m.memory), "%s", root);
	assert_int_equal(throttle__new(&m, take, &g, &t), 0);
	throttle__tick(t, now, 5000);
	assert_int_equal(g.n, 0); /* what was before is past */
	counts(job, 51, 250000);
	throttle__tick(t, now += SEC, 6000);
	assert_int_equal(g.n, 0); /* not yet due */
	throttle__tick(t, now += 5 * SEC, 11000);
	assert_int_equal(g.n, 1);
	assert_string_equal(g.last.path, "/web/job");
	assert_int_equal(g.last.high_cnt, 44);
	assert_int_equal(g.last.stall_us, 249000);
	assert_int_equal(g.last.high_bytes, 1048576);
	assert_int_equal(g.last.usage_bytes, 1050000);
	assert_int_equal(g.last.span_ms, 6000);
	for (unsigned i = 0; i < 20; i++) { /* a hundred seconds of it: one more event */
		counts(job, 60 + i, 300000 + 1000 * i);
		throttle__tick(t, now += 5 * SEC, 0);
	}
	assert_int_equal(g.n, 2);
	/* the group goes: nothing of it is kept */
	snprintf(cmd, sizeof(cmd), "rm -rf %s", web);
	assert_int_equal(system(cmd), 0);
	throttle__tick(t, now += 61 * SEC, 0);
	throttle__tick(t, now += 61 * SEC, 0);
	assert_int_equal(g.n, 2);
	throttle__free(t);
	rmdir(root);
	m.version = 1;
	assert_int_equal(throttle__new(&m, take, &g, &t), -EOPNOTSUPP);
}

static void remove_all(const char *root)
{
	char cmd[300];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	assert_int_equal(system(cmd), 0);
}

static void new_group(const char *root, const char *name, unsigned high)
{
	char dir[256];

	snprintf(dir, sizeof(dir), "%s/%s", root, name);
	assert_int_equal(mkdir(dir, 0700), 0);
	put(dir, "memory.high", "1048576\n");
	put(dir, "memory.current", "1050000\n");
	counts(dir, high, 5000);
}

/* A job that came and was held up between two walks: all of it is told, and told once. */
static void all_of_a_new_group(void **state)
{
	char root[] = "/tmp/memwatch-throttle-XXXXXX", job[256];
	struct cgroup_mounts m = {.version = 2};
	struct got g = {};
	struct throttle *t;
	uint64_t now = 1000 * SEC;

	assert_non_null(mkdtemp(root));
	snprintf(m.memory, sizeof(m.memory), "%s", root);
	new_group(root, "old", 900);
	snprintf(job, sizeof(job), "%s/unlimited", root);
	assert_int_equal(mkdir(job, 0700), 0);
	put(job, "memory.high", "max\n");
	counts(job, 70, 1);
	assert_int_equal(throttle__new(&m, take, &g, &t), 0);
	throttle__tick(t, now, 0);
	new_group(root, "job", 44);
	put(job, "memory.high", "1048576\n"); /* what it counted before is not of this limit */
	throttle__tick(t, now += 60 * SEC, 0);
	assert_int_equal(g.n, 1);
	assert_string_equal(g.last.path, "/job");
	assert_int_equal(g.last.high_cnt, 44);
	assert_int_equal(g.last.max_cnt, 3);
	assert_int_equal(g.last.stall_us, 5000);
	assert_int_equal(g.last.span_ms, 60000);
	/* without its limit for a while it is no new group */
	snprintf(job, sizeof(job), "%s/job", root);
	put(job, "memory.high", "max\n");
	throttle__tick(t, now += 60 * SEC, 0);
	put(job, "memory.high", "1048576\n");
	throttle__tick(t, now += 60 * SEC, 0);
	throttle__tick(t, now += 60 * SEC, 0);
	assert_int_equal(g.n, 1);
	throttle__free(t);
	remove_all(root);
}

static void keep_line(void *arg, const char *line, size_t len)
{
	struct textbuf *b = arg;

	textbuf__raw(b, line, len);
}

static size_t count_of(const struct textbuf *b, const char *what)
{
	size_t n = 0;

	for (const char *at = b->text; at && (at = strstr(at, what)); at++)
		n++;
	return n;
}

/* What is not looked at is said, and once. */
static void bounds_are_told(void **state)
{
	char root[] = "/tmp/memwatch-throttle-XXXXXX", name[32], dir[256];
	struct cgroup_mounts m = {.version = 2};
	struct textbuf said = {0};
	struct got g = {};
	struct throttle *t;
	uint64_t now = 1000 * SEC;

	assert_non_null(mkdtemp(root));
	snprintf(m.memory, sizeof(m.memory), "%s", root);
	for (unsigned i = 0; i < THROTTLE_GROUPS; i++) {
		snprintf(name, sizeof(name), "g%u", i);
		new_group(root, name, 1);
	}
	log__divert(keep_line, &said);
	assert_int_equal(throttle__new(&m, take, &g, &t), 0);
	throttle__tick(t, now, 0);
	assert_int_equal(said.len, 0);
	new_group(root, "one", 1);
	new_group(root, "another", 1);
	throttle__tick(t, now += 60 * SEC, 0);
	throttle__tick(t, now += 60 * SEC, 0);
	assert_int_equal(count_of(&said, "that 2 more are held up will not be told"), 1);
	assert_int_equal(count_of(&said, "\n"), 1);
	for (unsigned i = 0; i < THROTTLE_DIRECTORIES; i++) {
		snprintf(dir, sizeof(dir), "%s/g0/%u", root, i);
		assert_int_equal(mkdir(dir, 0700), 0);
	}
	throttle__tick(t, now += 60 * SEC, 0);
	throttle__tick(t, now += 60 * SEC, 0);
	assert_int_equal(count_of(&said, "is looked for in 8192 cgroups"), 1);
	assert_int_equal(count_of(&said, "\n"), 2);
	assert_int_equal(g.n, 0);
	log__divert(NULL, NULL);
	throttle__free(t);
	textbuf__free(&said);
	remove_all(root);
}

static void back_from_a_log(void **state)
{
	struct throttle_event e = {.time_unix_ms = 1795231711383,
				   .path = "/a\x1b\"b",
				   .high_bytes = 5,
				   .usage_bytes = 6,
				   .high_cnt = 7,
				   .max_cnt = 8,
				   .stall_us = 9,
				   .span_ms = 10},
			      back;
	static const char other[] = "{\"schema\":\"memwatch.oom/1\"}";
	struct textbuf b = {};

	assert_int_equal(throttle__json(&b, &e), 0);
	assert_int_equal(throttle__parse(b.text, b.len, &back), 0);
	assert_memory_equal(&e, &back, sizeof(e));
	for (size_t n = 0; n < b.len - 2; n++)
		assert_int_equal(throttle__parse(b.text, n, &back), -EBADMSG);
	assert_int_equal(throttle__parse(other, strlen(other), &back), -ENOMSG);
	b.len = 0;
	assert_int_equal(throttle__text(&b, &e), 0);
	assert_null(strchr(b.text, 0x1b));
	assert_non_null(strstr(b.text, "7 times in 10ms"));
	textbuf__free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told_once_a_minute),
		cmocka_unit_test(all_of_a_new_group),
		cmocka_unit_test(bounds_are_told),
		cmocka_unit_test(back_from_a_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
