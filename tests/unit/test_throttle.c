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
	assert_int_equal(throttle__left_out(t), 0);
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
		cmocka_unit_test(back_from_a_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
