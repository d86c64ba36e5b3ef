/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A map of generated code that is very large and grows: what was read once is not gone through
 * again for each line more. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/util.h"
#include "elf/jitmap.h"

#define ENTRIES 3500000u
#define REFRESHES 100
#define LINE 24 /* "%011x 10 f%07x\n" */

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void add_line(struct jitmap *m, uint32_t i, const char *name)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%x 10 %s\n", 0x1000 + i * 16, name);

	assert_int_equal(jitmap__add_perf(m, line, (size_t)n), n);
}

/* The first reading is the measure: a hundred refreshes together take less. */
static void what_is_added_costs_what_was_added(void **state)
{
	cleanup_free char *text = malloc((size_t)ENTRIES * LINE + 1);
	struct jitmap m = {0};
	uint64_t first, rest;
	size_t len = 0;
	char name[16];

	assert_non_null(text);
	for (uint32_t i = 0; i < ENTRIES; i++)
		len += (size_t)sprintf(text + len, "%011x 10 f%07x\n", 0x1000 + i * 16, i);
	first = cpu_ns();
	assert_int_equal(jitmap__add_perf(&m, text, len), len);
	assert_string_equal(jitmap__find(&m, 0x1008).name, "f0000000");
	first = cpu_ns() - first;
	rest = cpu_ns();
	for (uint32_t i = 0; i < REFRESHES; i++) {
		snprintf(name, sizeof(name), "g%u", i);
		add_line(&m, i * 7, name);
		assert_string_equal(jitmap__find(&m, 0x1008 + i * 7 * 16).name, name);
	}
	rest = cpu_ns() - rest;
	if (rest >= first)
		fail_msg("%d refreshes took %lu ms, reading all of it %lu ms", REFRESHES,
			 (unsigned long)(rest / 1000000), (unsigned long)(first / 1000000));
	jitmap__clear(&m);
}

static void no_more_than_there_may_be(void **state)
{
	cleanup_free char *text = malloc((size_t)(JITMAP_MAX_ENTRIES + 9) * LINE + 1);
	struct jitmap m = {0};
	size_t len = 0;

	assert_non_null(text);
	for (uint32_t i = 0; i < JITMAP_MAX_ENTRIES + 9; i++)
		len += (size_t)sprintf(text + len, "%011x 10 f%07x\n", 0x1000 + i * 16, i);
	assert_true(jitmap__add_perf(&m, text, len) < 0);
	assert_in_range(m.n, 1, JITMAP_MAX_ENTRIES);
	jitmap__clear(&m);
}

static size_t put_record(uint8_t *to, uint32_t id, const void *body, size_t len)
{
	const uint32_t head[4] = {id, (uint32_t)(sizeof(head) + len)};

	memcpy(to, head, sizeof(head));
	memcpy(to + sizeof(head), body, len);
	return sizeof(head) + len;
}

/* Code that moves has no lines looked up, which would have to be sorted for it: a file of both by
 * turns would have all of them sorted each time. */
static void lines_are_sorted_for_who_asks(void **state)
{
	const struct {
		uint32_t pid, tid;
		uint64_t vma, addr, size, index;
		char name[8];
	} load = {1, 1, 0x1000, 0x1000, 64, 0, "jitted"};
	const struct {
		uint64_t addr, n, at;
		uint32_t line, discrim;
		char file[8];
	} lines = {0x1000, 1, 0x1000, 7, 0, "a.js"};
	struct {
		uint32_t pid, tid;
		uint64_t vma, from, to, size, index;
	} move = {1, 1, 0x1000, 0x9000, 0x8000, 64, 0};
	struct jitmap m = {0};
	uint8_t dump[512];
	size_t len = put_record(dump, 0, &load, sizeof(load));

	for (int i = 0; i < 2; i++) { /* from where nothing is; from where it is */
		len += put_record(dump + len, 2, &lines, sizeof(lines));
		len += put_record(dump + len, 1, &move, sizeof(move));
		move.from = 0x1000;
	}
	assert_int_equal(jitmap__add_dump(&m, dump, len, 0), len);
	assert_false(m.lines_sorted);
	assert_string_equal(jitmap__find(&m, 0x8010).name, "jitted");
	assert_string_equal(jitmap__find(&m, 0x1010).file, "a.js");
	assert_int_equal(jitmap__find(&m, 0x1010).line, 7);
	assert_true(m.lines_sorted);
	jitmap__clear(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_added_costs_what_was_added),
		cmocka_unit_test(no_more_than_there_may_be),
		cmocka_unit_test(lines_are_sorted_for_who_asks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
