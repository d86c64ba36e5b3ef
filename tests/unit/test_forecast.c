/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Twenty shapes of growth, an hour each, a sample a second, through the pure engine: no alarm for
 * those that never reach the limit; for the others an alarm, with the true time inside the
 * interval.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "alert/forecast.h"

#define LIMIT 1000.0 /* MiB, say */
#define HOUR 3600
#define AHEAD_S 300.0

static uint32_t seed;
static double noise(void) /* -1 to 1 */
{
	seed = seed * 1664525 + 1013904223;
	return (double)(seed >> 8) / (1 << 23) - 1;
}

static double flat(double t)
{
	return 800;
}
static double noisy(double t)
{
	return 700 + 60 * noise();
}
static double line(double t)
{
	return 100 + t * 0.5;
}
static double line_fast(double t)
{
	return 100 + t * 9;
}
static double line_noisy(double t)
{
	return 100 + t * 0.6 + 20 * noise();
}
static double late_leak(double t)
{
	return t < 1800 ? 300 : 300 + (t - 1800) * 0.8;
}
static double stairs(double t)
{
	return 100 + floor(t / 60) * 30;
}
static double exponential(double t)
{
	return 50 * exp(t / 800);
}
static double saturating(double t)
{
	return 900 * (1 - exp(-t / 500));
}
static double saturating_slow(double t)
{
	return 950 * (1 - exp(-t / 1500));
}
static double startup(double t)
{
	return t < 30 ? 100 + 20 * t : 700;
}
static double one_step(double t)
{
	return t < 1000 ? 300 : 800;
}
static double some_steps(double t)
{
	return 200 + (t > 500) * 200 + (t > 1700) * 250 + (t > 2900) * 150;
}
static double saw_short(double t)
{
	return 300 + fmod(t, 20) * 20;
}
static double saw_minute(double t)
{
	return 250 + fmod(t, 60) * 6;
}
static double saw_long(double t)
{
	return 100 + fmod(t, 900) * 0.55;
}
static double saw_growing(double t)
{
	return 100 + fmod(t, 30) * 10 + t * 0.25;
}
static double sine(double t)
{
	return 500 + 300 * sin(t / 300);
}
static double bursts(double t)
{
	return fmod(t, 400) < 40 ? 850 : 200 + 10 * noise();
}
static double released(double t)
{
	return t < 600 ? 200 + t * 0.7 : t < 660 ? 200 : 350;
}
static double accelerating(double t)
{
	return 100 + t * t * 1e-4;
}

static const struct {
	const char *name;
	double (*f)(double t);
} shapes[] = {
#define S(f)          \
	{             \
#f, f \
	}
	S(flat),	 S(noisy),	 S(line),	 S(line_fast),	S(line_noisy),
	S(late_leak),	 S(stairs),	 S(exponential), S(saturating), S(saturating_slow),
	S(startup),	 S(one_step),	 S(some_steps),	 S(saw_short),	S(saw_minute),
	S(saw_long),	 S(saw_growing), S(sine),	 S(bursts),	S(released),
	S(accelerating),
};

static double reached(double (*f)(double))
{
	seed = 1;
	for (int t = 0; t < 3 * HOUR; t++) {
		if (f(t) >= LIMIT)
			return t;
	}
	return INFINITY;
}

static void twenty_shapes(void **state)
{
	int wrong = 0;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		double end = reached(shapes[i].f);
		struct forecast *f = calloc(1, sizeof(*f));
		struct forecast_verdict v = {};
		int alarms = 0, held = 0;
		double first = -1;

		seed = 1;
		for (int t = 0; t < HOUR && t < end; t++) {
			forecast__add(f, t, shapes[i].f(t));
			forecast__judge(f, LIMIT, &v);
			held = v.in_s <= AHEAD_S ? held + 1 : 0;
			if (held != 3 || first >= 0)
				continue;
			alarms++;
			first = t;
			print_message("%-16s at %4d s: in %.0f s (%.0f to %.0f), truly %.0f\n",
				      shapes[i].name, t, v.in_s, v.from_s, v.to_s, end - t);
			if (!(end - t >= v.from_s && end - t <= v.to_s)) {
				print_message("   WRONG\n");
				wrong++;
			}
		}
		if (end < HOUR && !alarms) {
			print_message("%-16s no alarm before %.0f s WRONG\n", shapes[i].name, end);
			wrong++;
		}
		free(f);
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(twenty_shapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
