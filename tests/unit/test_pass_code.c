/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Passes of the history as bytes, and bytes packed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/util.h"
#include "history/history.h"
#include "history/packed.h"
#include "history/pass_code.h"

static void random_entries(struct pass_state *s, unsigned *seed)
{
	struct pass_entry e[64];
	int64_t id = 0;
	size_t n = rand_r(seed) % 64;

	for (size_t i = 0; i < n; i++) {
		id += (i || rand_r(seed) % 2) ? 1 + rand_r(seed) % 3 : 0;
		e[i].id = id;
		for (int v = 0; v < PASS_VALUES; v++)
			e[i].value[v] = rand_r(seed) % 4
						? (int64_t)(rand_r(seed) % 3) << (rand_r(seed) % 40)
						: TIMELINE_UNKNOWN;
	}
	assert_int_equal(pass_state__set(s, e, n), 0);
}

static void assert_one_comes_back(const struct pass_state *before, const struct pass_state *now,
				  int64_t id, const uint8_t *data, size_t len)
{
	const struct pass_entry *was = pass_state__find(before, id),
				*is = pass_state__find(now, id);
	struct pass_state one = {0};

	if (was)
		assert_int_equal(pass_state__set(&one, was, 1), 0);
	assert_int_equal(pass_code__apply_one(&one, id, data, len), 0);
	assert_int_equal(one.n, is != NULL);
	if (is)
		assert_memory_equal(one.e, is, sizeof(*is));
	pass_state__clear(&one);
}

static void passes_come_back(void **state)
{
	struct pass_state before = {0}, now = {0}, got = {0};
	unsigned seed = 7;

	for (int i = 0; i < 500; i++) {
		uint8_t *data;
		size_t len;

		random_entries(&now, &seed);
		if (i % 10 == 0) {
			before.n = 0;
			got.n = 0;
		}
		assert_int_equal(pass_code__write(&before, &now, &data, &len), 0);
		assert_int_equal(pass_code__apply(&got, data, len), 0);
		assert_int_equal(got.n, now.n);
		if (now.n)
			assert_memory_equal(got.e, now.e, now.n * sizeof(*now.e));
		for (int64_t id = 0; id < 200; id++)
			assert_one_comes_back(&before, &now, id, data, len);
		/* no byte of it can be anything that breaks the reader */
		for (int k = 0; k < 20; k++) {
			struct pass_state other = {0};

			data[rand_r(&seed) % len] ^= 1 << rand_r(&seed) % 8;
			pass_state__set(&other, before.e, before.n);
			pass_code__apply(&other, data, len - rand_r(&seed) % 2);
			other.n = min_of(other.n, (size_t)1);
			pass_code__apply_one(&other, other.n ? other.e->id : k, data,
					     len - rand_r(&seed) % 2);
			pass_state__clear(&other);
		}
		assert_int_equal(pass_state__set(&before, now.e, now.n), 0);
		free(data);
	}
	pass_state__clear(&before);
	pass_state__clear(&now);
	pass_state__clear(&got);
}

/* RSS is the sum of its kinds and its own peak, or it is not, or these are not known. */
static void rss_comes_back_whatever_its_kinds_are(void **state)
{
	static const int64_t of[] = {TIMELINE_UNKNOWN, 0, 4096, 5000, PASS_MAX_VALUE};
	struct pass_entry e[2] = {{.id = 3}};
	struct pass_state before = {.e = &e[0], .n = 1}, now = {.e = &e[1], .n = 1}, got = {0};
	unsigned seed = 3;

	assert_int_equal(pass_state__set(&got, &e[0], 1), 0);
	for (int i = 0; i < 20000; i++) {
		uint8_t *data;
		size_t len;

		e[1] = e[0];
		for (int v = TIMELINE_VIRT; v <= HISTORY_PEAK_RSS; v++) {
			if (rand_r(&seed) % 2)
				e[1].value[v] = of[(size_t)rand_r(&seed) % ARRAY_SIZE(of)];
		}
		assert_int_equal(pass_code__write(&before, &now, &data, &len), 0);
		assert_int_equal(pass_code__apply(&got, data, len), 0);
		assert_memory_equal(got.e, &e[1], sizeof(*e));
		free(data);
		e[0] = e[1];
	}
	pass_state__clear(&got);
}

/* Known kinds and the peak cost nothing but RSS's own change: whole pages. */
static void what_is_expected_takes_no_room(void **state)
{
	struct pass_entry e[2] = {{.id = 1}};
	struct pass_state before = {.e = &e[0], .n = 1}, now = {.e = &e[1], .n = 1};
	uint8_t *data;
	size_t len;

	e[1] = e[0];
	e[1].value[TIMELINE_RSS_ANON] = e[1].value[TIMELINE_RSS] = 20 * 4096;
	e[1].value[HISTORY_PEAK_RSS] = 20 * 4096;
	assert_int_equal(pass_code__write(&before, &now, &data, &len), 0);
	/* {by pages, 1 entry, id, mask, 20 pages} */
	assert_int_equal(len, 5);
	assert_memory_equal(data, "\2\1\2\4\120", 5);
	free(data);
}

/* As versions before 4 wrote them: id 0 with 6 and 1, id 5 with 9; then id 0 with 7, no 5 any more.
 */
static void passes_of_before_are_read(void **state)
{
	struct pass_state all = {0}, one = {0};

	assert_int_equal(pass_code__apply(&all, "\0\2\0\3\16\4\12\4\24", 9), 0);
	assert_int_equal(all.n, 2);
	assert_int_equal(all.e[0].value[0], 6);
	assert_int_equal(all.e[0].value[1], 1);
	assert_int_equal(all.e[0].value[2], TIMELINE_UNKNOWN);
	assert_int_equal(all.e[1].id, 5);
	assert_int_equal(all.e[1].value[2], 9);
	assert_int_equal(pass_code__apply_one(&one, 5, "\0\2\0\3\16\4\12\4\24", 9), 0);
	assert_int_equal(one.n, 1);
	assert_memory_equal(one.e, &all.e[1], sizeof(*one.e));
	assert_int_equal(pass_code__apply(&all, "\0\2\0\1\2\13", 6), 0);
	assert_int_equal(all.n, 1);
	assert_int_equal(all.e[0].value[0], 7);
	assert_int_equal(all.e[0].value[1], 1);
	assert_int_equal(pass_code__apply_one(&one, 5, "\0\2\0\1\2\13", 6), 0);
	assert_int_equal(one.n, 0);
	pass_state__clear(&all);
	pass_state__clear(&one);
}

static void packed_bytes_come_back(void **state)
{
	uint8_t in[5000] = {0}, *out, *back;
	size_t n, m;

	for (size_t len = 0; len < sizeof(in); len += 499) {
		memset(in, 'x', len / 2);
		assert_int_equal(packed__write(in, len, &out, &n), 0);
		assert_true(n <= len + 1);
		assert_int_equal(packed__read(out, n, &back, &m), 0);
		assert_int_equal(m, len);
		assert_memory_equal(back, in, len);
		free(back);
		assert_int_equal(packed__read(out, 0, &back, &m), -EBADMSG);
		free(out);
	}
	/* a length that nothing fulfils */
	assert_int_equal(packed__read("\1\377\377\377\377xx", 7, &back, &m), -EBADMSG);
	assert_int_equal(packed__read("\1\10\0\0\0xx", 7, &back, &m), -EBADMSG);
}

/* --- the file --- */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_come_back),
		cmocka_unit_test(rss_comes_back_whatever_its_kinds_are),
		cmocka_unit_test(what_is_expected_takes_no_room),
		cmocka_unit_test(passes_of_before_are_read),
		cmocka_unit_test(packed_bytes_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
