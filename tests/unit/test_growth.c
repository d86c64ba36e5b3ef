/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a victim's growth is told: shapes of it, 64 points in 5 min 15 s. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "oom/growth.h"

#define N OOM_POINTS

static double jump(int i)
{
	return i == N - 1 ? 155.99 : 25.2 + 0.1 * (i % 3);
}
static double line(int i)
{
	return 10 + 90.0 * i / (N - 1);
}
static double shallow(int i)
{
	return 100 + 10.0 * i / (N - 1);
}
static double startup_and_jump(int i)
{
	return i == 0 ? 2 : i < 60 ? 100 : 100 + 75 * (i - 59);
}
static double tooth_and_jump(int i)
{
	return i == 30 ? 150 : i == N - 1 ? 300 : 50;
}
static double teeth(int i)
{
	return 50 + 50.0 * (i % 8) / 7;
}
static double half_a_tooth(int i)
{
	return i < 60 ? teeth(i) : 30 - 10.0 * (i - 60);
}
static double shrinking(int i)
{
	return 150 - 130.0 * i / (N - 1);
}
static double tooth_that_came_down(int i)
{
	return i == 30 ? 150 : 50;
}
static double saturating(int i)
{
	return i < 12 ? 10 + 190.0 * i / 12 : 200;
}
static double smoothly_saturating(int i)
{
	return 200 - 190 * exp(-i / 12.0);
}
static double doubling(int i)
{
	return 10 * pow(2, i / 12.6);
}
static double steps(int i)
{
	return 10 + 29 * (i / 6);
}
static double steady(int i)
{
	return 99 + i % 2;
}

static char *told(double (*shape)(int i))
{
	struct oom_point p[N] = {0};
	struct textbuf b = {0};

	for (int i = 0; i < N; i++) {
		p[i].time_unix_ms = 1000000 + 5000 * i;
		p[i].rss_bytes = (uint64_t)llround(shape(i) * 1048576);
	}
	growth__text(&b, p, N);
	assert_int_equal(b.err, 0);
	return b.text;
}

static void says(double (*shape)(int i), const char *want)
{
	char *text = told(shape);

	assert_string_equal(text, want);
	free(text);
}

static void shapes(void **state)
{
	says(jump,
	     "  grew      flat for 5m10s, then from 25.40MB to 155.99MB in 5.0s (1.53GB/min)\n");
	says(line, "  grew      from 10.00MB to 100.00MB in 5m15s (17.14MB/min)\n");
	says(shallow, "  grew      from 100.00MB to 110.00MB in 5m15s (1.90MB/min)\n");
	says(startup_and_jump, "  grew      flat for 4m50s, then from 100.00MB to 400.00MB in "
			       "20.0s (900.00MB/min)\n");
	says(shrinking, "  fell      from 150.00MB to 20.00MB in 5m15s (24.76MB/min)\n");
	says(saturating, "  grew      from 10.00MB to 200.00MB in 1m00s (190.00MB/min), then flat "
			 "for 4m15s\n");
	says(steady, "  grew      not in the last 5m15s: 100.00MB throughout\n");
}

/* What came back down is neither growth nor flat. */
static void turns(void **state)
{
	says(tooth_and_jump, "  grew      flat for 2m35s, then from 50.00MB to 300.00MB in 5.0s "
			     "(2.93GB/min); between 50.00MB and 300.00MB in the last 5m15s\n");
	says(teeth, "  grew      from 50.00MB to 100.00MB in 35.0s (85.71MB/min); between 50.00MB "
		    "and 100.00MB in the last 5m15s\n");
	says(tooth_that_came_down,
	     "  fell      from 150.00MB to 50.00MB in 5.0s (1.17GB/min), then flat for 2m40s; "
	     "between 50.00MB and 150.00MB in the last 5m15s\n");
}

/* Nowhere flat, or flat for a part of which nothing else could be said. */
static void curves(void **state)
{
	char *text = told(doubling);

	assert_non_null(strstr(text, "  grew      from 10.00MB to 3"));
	assert_null(strstr(text, "flat"));
	free(text);
	text = told(steps);
	assert_null(strstr(text, "flat"));
	free(text);
	text = told(smoothly_saturating);
	assert_non_null(strstr(text, "  grew      from 10.00MB to 19"));
	assert_non_null(strstr(text, ", then flat for "));
	free(text);
	text = told(half_a_tooth);
	assert_non_null(strstr(text, "  fell      "));
	assert_null(strstr(text, "-"));
	free(text);
}

/* Records are read from files that anybody may have written. */
static void anything(void **state)
{
	struct oom_point p[N] = {0};

	for (uint64_t seed = 1; seed < 3000; seed++) {
		struct textbuf b = {0};
		uint64_t x = seed;

		for (int i = 0; i < N; i++) {
			x = x * 6364136223846793005ULL + 1442695040888963407ULL;
			p[i].time_unix_ms = (int64_t)(seed % 3 ? x : x >> 40);
			p[i].rss_bytes = seed % 5 ? x >> (x % 64) : x;
		}
		for (size_t n = 0; n <= N; n += 1 + seed % 7)
			growth__text(&b, p, n);
		textbuf__free(&b);
	}
	p[3].rss_bytes = OOM_UNKNOWN;
	for (size_t n = 0; n < 2; n++) {
		struct textbuf b = {0};

		growth__text(&b, p, n ? N : 1);
		assert_null(b.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shapes),
		cmocka_unit_test(turns),
		cmocka_unit_test(curves),
		cmocka_unit_test(anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
