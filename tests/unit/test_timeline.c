/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/util.h"
#include "model/timeline.h"
#include "model/timeline_biggest.h"
#include "core/emit.h"
#include "format/timeline_file.h"

static struct timeline_row row(int64_t ms, int64_t rss)
{
	struct timeline_row r = timeline__row(ms);

	r.value[TIMELINE_RSS] = rss;
	return r;
}

static void keeps_peaks(void **state)
{
	struct timeline t;
	bool spike = false, virt = false, trough = false;

	timeline__init(&t, 1, "x", 256);
	for (int i = 0; i < 100000; i++) {
		struct timeline_row r = row(i * 100, 1000 + i % 7);

		if (i == 777)
			r.value[TIMELINE_RSS] = 5000;
		if (i == 54321)
			r.value[TIMELINE_RSS] = 3;
		r.value[TIMELINE_VIRT] = i == 33333 ? 900 : 800;
		assert_int_equal(timeline__append(&t, &r), 0);
		assert_true(t.nrows <= 256);
	}
	assert_int_equal(t.appended, 100000);
	assert_int_equal(t.rows[0].time_unix_ms, 0);
	assert_int_equal(t.rows[t.nrows - 1].time_unix_ms, 9999900);
	assert_true(t.nrows >= 64);
	for (size_t i = 0; i < t.nrows; i++) {
		assert_true(!i || t.rows[i].time_unix_ms >= t.rows[i - 1].time_unix_ms);
		spike |= t.rows[i].time_unix_ms == 77700 && t.rows[i].value[TIMELINE_RSS] == 5000;
		trough |= t.rows[i].value[TIMELINE_RSS] == 3;
		virt |= t.rows[i].value[TIMELINE_VIRT] == 900;
	}
	assert_true(spike);
	assert_true(virt);
	assert_true(trough);
	timeline__clear(&t);
}

static void even_resolution(void **state)
{
	struct timeline t;

	timeline__init(&t, 1, "x", 128);
	for (int i = 0; i < 50000; i++) {
		struct timeline_row r = row(i * 10, (i * 7919) % 1000);

		assert_int_equal(timeline__append(&t, &r), 0);
	}
	for (size_t i = 1; i + 1 < t.nrows; i++)
		assert_true(t.rows[i].time_unix_ms - t.rows[i - 1].time_unix_ms <= 2 * t.bucket_ms);
	timeline__clear(&t);
}

static void clock_stands_or_steps_back(void **state)
{
	struct timeline t;

	timeline__init(&t, 1, "x", 64);
	for (int i = 0; i < 1000; i++) {
		struct timeline_row r = row(i < 500 ? 100 : 50, i);

		assert_int_equal(timeline__append(&t, &r), 0);
		assert_true(t.nrows <= 64);
	}
	for (size_t i = 0; i < t.nrows; i++)
		assert_int_equal(t.rows[i].time_unix_ms, 100);
	timeline__clear(&t);
}

static void csv_and_json(void **state)
{
	struct timeline a, b;
	const struct timeline *both[] = {&a, &b};
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	struct timeline_row r = row(1000, 42);

	timeline__init(&a, 7, "a</script>\x1b[31m", 0);
	timeline__init(&b, 8, "b", 0);
	timeline__append(&a, &r);
	r = row(1500, 43);
	r.value[TIMELINE_INUSE] = -1;
	timeline__append(&b, &r);
	r = row(2000, 44);
	timeline__append(&a, &r);
	assert_int_equal(timeline__mark(&a, 1200, "second"), 0);
	assert_int_equal(timeline__mark(&a, 1100, "first \"mark\""), 0);
	assert_string_equal(a.marks[1].text, "second");
	assert_int_equal(timeline_file__write_csv(f, both, 2), 0);
	fclose(f);
	assert_string_equal(text,
			    "time_unix_ms,pid,virt_bytes,rss_bytes,rss_anon_bytes,rss_file_bytes,"
			    "rss_shmem_bytes,swap_bytes,inuse_bytes,alloc_bytes\n"
			    "1000,7,,42,,,,,,\n1500,8,,43,,,,,-1,\n2000,7,,44,,,,,,\n");
	free(text);
	f = open_memstream(&text, &len);
	assert_int_equal(timeline_file__write_json(f, both, 2), 0);
	fclose(f);
	assert_null(strstr(text, "</script>"));
	assert_null(strchr(text, 0x1b));
	assert_non_null(strstr(text, "\"first \\\"mark\\\"\""));
	assert_non_null(strstr(text, "\"virt_bytes\":null,\"rss_bytes\":43"));
	free(text);
	timeline__clear(&a);
	timeline__clear(&b);
}

static void escapes(void **state)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	emit__xml(f, "<a href='x'>&\"\x01");
	putc('|', f);
	emit__json(f, "</script>\n\\");
	putc('|', f);
	emit__json(f, "");
	putc('|', f);
	emit__dot(f, "a\"b\nc\\\x1b");
	fclose(f);
	assert_string_equal(text,
			    "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\\x01|"
			    "\"\\u003c/script\\u003e\\u000a\\\\\"|\"\"|\"a\\\"b\\nc\\\\\\\\x1b\"");
	free(text);
}

static void every_ending_is_written(void **state)
{
	char dir[] = "/tmp/memwatch-timeline-XXXXXX", endings[] = TIMELINE_FILE_ENDINGS, path[64];
	struct timeline_row r = row(1000, 42);
	struct timeline t;
	const struct timeline *all[] = {&t};
	char *save = NULL;
	int n = 0;

	assert_non_null(mkdtemp(dir));
	timeline__init(&t, 7, "x", 0);
	timeline__append(&t, &r);
	for (char *e = strtok_r(endings, " ", &save); e; e = strtok_r(NULL, " ", &save), n++) {
		snprintf(path, sizeof(path), "%s/x%s", dir, e);
		assert_int_equal(timeline_file__save(path, all, 1), 0);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(n, 4);
	snprintf(path, sizeof(path), "%s/x.txt", dir);
	assert_int_equal(timeline_file__save(path, all, 1), -EINVAL);
	timeline__clear(&t);
	assert_int_equal(rmdir(dir), 0);
}

/* Of thousands the biggest stay, the sum of the others is what they had at each moment. */
static void biggest(void **state)
{
	enum { N = 1000, ROWS = 5 };
	struct timeline *t = calloc(N, sizeof(*t));
	const struct timeline **list = calloc(N, sizeof(*list));
	struct timeline_biggest b;

	for (size_t i = 0; i < N; i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%zu", i);
		timeline__init(&t[i], i + 1, name, 0);
		for (int k = 0; k < ROWS; k++) {
			struct timeline_row row = timeline__row(1000 + k * 1000);

			row.value[TIMELINE_RSS] = (int64_t)(i + 1) * 4096;
			assert_int_equal(timeline__append(&t[i], &row), 0);
		}
		list[i] = &t[i];
	}
	assert_int_equal(timeline_biggest__new(&b, list, 20, 20), 0);
	assert_int_equal(b.n, 20);
	assert_string_equal(b.rest.name, "");
	assert_ptr_equal(b.t[0], list[0]);
	timeline_biggest__free(&b);
	assert_int_equal(timeline_biggest__new(&b, list, N, 20), 0);
	assert_int_equal(b.n, 20);
	assert_ptr_equal(b.t[0], list[N - 1]);
	assert_string_equal(b.rest.name, "980 others together");
	for (size_t i = 0; i < b.rest.nrows; i++)
		assert_int_equal(b.rest.rows[i].value[TIMELINE_RSS], 4096LL * 980 * 981 / 2);
	assert_int_equal(b.rest.rows[0].value[TIMELINE_INUSE], TIMELINE_UNKNOWN);
	timeline_biggest__free(&b);
	for (size_t i = 0; i < N; i++) /* as large as a file may say that they are */
		t[i].rows[0].value[TIMELINE_RSS] = (int64_t)1 << 60;
	assert_int_equal(timeline_biggest__new(&b, list, N, 20), 0);
	assert_true(b.rest.rows[0].value[TIMELINE_RSS] > (int64_t)1 << 60);
	timeline_biggest__free(&b);
	for (size_t i = 0; i < N; i++)
		timeline__clear(&t[i]);
	free(t);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(keeps_peaks),
					   cmocka_unit_test(even_resolution),
					   cmocka_unit_test(clock_stands_or_steps_back),
					   cmocka_unit_test(csv_and_json),
					   cmocka_unit_test(escapes),
					   cmocka_unit_test(every_ending_is_written),
					   cmocka_unit_test(biggest)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
