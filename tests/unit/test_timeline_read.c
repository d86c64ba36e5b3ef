/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "format/timeline_file.h"
#include "format/timeline_read.h"

#define HEAD                                                                                   \
	"time_unix_ms,pid,virt_bytes,rss_bytes,rss_anon_bytes,rss_file_bytes,rss_shmem_bytes," \
	"swap_bytes,inuse_bytes,alloc_bytes\n"
#define BEGIN "{\"schema\":\"memwatch.timeline/1\","
#define ROWS 9000 /* more than a timeline of a run keeps */

/* Two processes with all kinds of values. */
static void make(struct timeline t[2])
{
	timeline__init(&t[0], 7, "a \"b\"\n", ROWS);
	timeline__init(&t[1], 4000000000u, "", ROWS);
	for (int i = 0; i < ROWS; i++) {
		struct timeline_row row = timeline__row(1700000000000 + i * 10);

		row.value[TIMELINE_VIRT] = (int64_t)1 << 46;
		row.value[TIMELINE_RSS] = i * 4096;
		if (i % 3)
			row.value[TIMELINE_INUSE] = -i;
		assert_int_equal(timeline__append(&t[i & 1], &row), 0);
	}
	assert_int_equal(timeline__mark(&t[0], 1700000000005, "exec é"), 0);
}

typedef int (*write_fn)(FILE *f, const struct timeline *const *t, size_t n);

static char *written(write_fn write, const struct timeline t[2], size_t *len)
{
	const struct timeline *all[] = {&t[0], &t[1]};
	char *text;
	FILE *f = open_memstream(&text, len);

	assert_int_equal(write(f, all, 2), 0);
	fclose(f);
	return text;
}

static void round_trip(void **state)
{
	static const write_fn writers[] = {timeline_file__write_csv, timeline_file__write_json};
	struct timeline t[2];
	char why[200];

	make(t);
	for (int k = 0; k < 2; k++) {
		struct timelines back;
		size_t len;
		char *text = written(writers[k], t, &len);

		assert_true(timeline_read__is(text, len));
		assert_int_equal(timeline_read__buffer(text, len, &back, why, sizeof(why)), 0);
		assert_int_equal(back.n, 2);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(back.line[i].pid, t[i].pid);
			assert_int_equal(back.line[i].nrows, t[i].nrows);
			assert_memory_equal(back.line[i].rows, t[i].rows,
					    t[i].nrows * sizeof(t[i].rows[0]));
		}
		assert_string_equal(back.line[0].name, k ? t[0].name : "");
		assert_int_equal(back.line[0].nmarks, k);
		if (k)
			assert_string_equal(back.line[0].marks[0].text, "exec é");
		timelines__clear(&back);
		free(text);
	}
	timeline__clear(&t[0]);
	timeline__clear(&t[1]);
}

static int reads(const char *text)
{
	struct timelines t;
	char why[200] = "";
	int err = timeline_read__buffer(text, strlen(text), &t, why, sizeof(why));

	assert_int_equal(*why != 0, err != 0);
	timelines__clear(&t);
	return err;
}

static void refused(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"x",
		HEAD "1,2,3",
		HEAD "1,2,3,4,5,6,7,8,9,10,11",
		HEAD ",2,3,4,5,6,7,8,9,10",
		HEAD "1,,3,4,5,6,7,8,9,10",
		HEAD "1,-2,3,4,5,6,7,8,9,10",
		HEAD "1,2,3,x,5,6,7,8,9,10",
		HEAD "1,2,-,4,5,6,7,8,9,10",
		HEAD "99999999999999999999,2,3,4,5,6,7,8,9,10",
		HEAD "-1,2,3,4,5,6,7,8,9,10",
		HEAD "900719925474099999,2,3,4,5,6,7,8,9,10",
		HEAD "1,2,3,9000000000000000000,5,6,7,8,9,10",
		"time_unix_ms,pid,other\n",
		BEGIN "}",
		BEGIN "\"processes\":{}}",
		BEGIN "\"processes\":[",
		BEGIN "\"processes\":[1]}",
		BEGIN "\"processes\":[{\"pid\":-1}]}",
		BEGIN "\"processes\":[{\"pid\":1,\"rows\":[{}]}]}",
		BEGIN "\"processes\":[]",
		BEGIN "1:2}",
		BEGIN "\"processes\":[{\"pid\":1}] \"x\"}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (reads(bad[i]) != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
	}
	assert_int_equal(reads(HEAD), 0);
	assert_int_equal(reads(HEAD "1,2,3,4,5,6,7,8,,\r\n\n"), 0);
	assert_int_equal(reads(" " BEGIN "\"processes\" : [ ] , \"more\":[1]}\n"), 0);
	assert_int_equal(reads(BEGIN "\"processes\":[{\"pid\":1,\"rows\":7,\"marks\":null}]}"), 0);
}

/* Whatever a byte becomes: it is taken or refused. */
static void damaged(void **state)
{
	static const write_fn writers[] = {timeline_file__write_csv, timeline_file__write_json};
	struct timeline t[2];

	make(t);
	t[0].nrows = t[1].nrows = 4;
	srand(1);
	for (int k = 0; k < 2; k++) {
		size_t len;
		char *text = written(writers[k], t, &len);

		for (int i = 0; i < 20000; i++) {
			size_t at = (size_t)rand() % len,
			       cut = rand() % 8 ? len : (size_t)rand() % len;
			char was = text[at], *copy = malloc(cut + 1);
			struct timelines back;
			char why[200];

			text[at] = (char)rand();
			memcpy(copy, text, cut); /* of its own size: what is read beyond it shows */
			copy = realloc(copy, cut ? cut : 1);
			timeline_read__buffer(copy, cut, &back, why, sizeof(why));
			timelines__clear(&back);
			free(copy);
			text[at] = was;
		}
		free(text);
	}
	timeline__clear(&t[0]);
	timeline__clear(&t[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip), cmocka_unit_test(refused),
					   cmocka_unit_test(damaged)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
