/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Twenty shapes of growth, an hour each, at the pace of alerts through the rules: no alarm for
 * those that never reach the limit; for the others an alarm, with the true time inside the
 * interval; and growth is told of those that grow.
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

#include "alert/alert.h"
#include "alert/forecast.h"
#include "alert/rules.h"

#define MIB 1048576.0
#define LIMIT 1000.0 /* MiB */
#define HOUR 3600
#define STEP_S (ALERT_INTERVAL_NS / 1e9)
#define AHEAD_S 300.0
#define RATE 10.0 /* MiB a minute */

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

/* Of growth: what grows by RATE and goes on, what never does for a minute, and what does so for
 * some minutes: told at such a time, or not. */
enum grows { DOES, NEVER, FOR_A_WHILE };

static const struct shape {
	const char *name;
	double (*f)(double t);
	enum grows grows;
} shapes[] = {
#define S(f, grows)          \
	{                    \
#f, f, grows \
	}
	S(flat, NEVER),
	S(noisy, NEVER),
	S(line, DOES),
	S(line_fast, DOES),
	S(line_noisy, DOES),
	S(late_leak, DOES),
	S(stairs, DOES),
	S(exponential, DOES),
	S(saturating, FOR_A_WHILE),
	S(saturating_slow, FOR_A_WHILE),
	S(startup, NEVER),
	S(one_step, NEVER),
	S(some_steps, NEVER),
	S(saw_short, NEVER),
	S(saw_minute, NEVER),
	S(saw_long, FOR_A_WHILE),
	S(saw_growing, DOES),
	S(sine, FOR_A_WHILE),
	S(bursts, NEVER),
	S(released, FOR_A_WHILE),
	S(accelerating, DOES),
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static double reached(double (*f)(double))
{
	seed = 1;
	for (double t = 0; t < 3 * HOUR; t += STEP_S) {
		if (f(t) >= LIMIT)
			return t;
	}
	return INFINITY;
}

/* The shape is what a process has resident, what its group uses, and what is used of the machine.
 */
static struct rules_sample sample_of(double t, double mib)
{
	return (struct rules_sample){.t_s = 1000 + t,
				     .rss_bytes = (uint64_t)(mib * MIB),
				     .cgroup_used_bytes = (uint64_t)(mib * MIB),
				     .cgroup_limit_bytes = (uint64_t)(LIMIT * MIB),
				     .machine_total_bytes = (uint64_t)(LIMIT * MIB),
				     .machine_available_bytes =
					     (uint64_t)(fmax(LIMIT - mib, 0) * MIB),
				     .psi_some10 = -1,
				     .psi_full10 = -1};
}

/* Whether what was told is true: the end comes, within the interval. */
static int check_forecast(const struct shape *s, const char *who, double t, double end,
			  const struct rules_verdict *v)
{
	bool right = end - t >= v->from_s && end - t <= v->to_s;

	print_message("%-16s %s at %7.2f s: in %.0f s (%.0f to %.0f), truly %.0f%s\n", s->name, who,
		      t, v->value, v->from_s, v->to_s, end - t, right ? "" : "  WRONG");
	return !right;
}

/* Other horizons than that of the rules, by the same verdicts, with the edge that rules have. */
static struct {
	double ahead_s;
	int over, back;
	bool firing;
} others[] = {{10}, {30}, {1200}};
#define OTHERS (sizeof(others) / sizeof(others[0]))

/* Whether it begins to fire. */
static bool edge_of(size_t i, double in_s)
{
	others[i].over = in_s <= others[i].ahead_s ? others[i].over + 1 : 0;
	others[i].back = in_s > 2 * others[i].ahead_s ? others[i].back + 1 : 0;
	if (others[i].firing ? others[i].back < 120 : others[i].over < 3)
		return false;
	others[i].firing = !others[i].firing;
	return others[i].firing;
}

static int forecast_shape(const struct shape *shape, enum rules_scope scope)
{
	struct rules r = {.on = {[ALERT_OOM_IN] = true}, .oom_in_s = AHEAD_S};
	const char *who = scope == RULES_GROUP ? "group  " : "machine";
	struct rules_state *s = calloc(1, sizeof(*s));
	double end = reached(shape->f);
	struct rules_verdict v[ALERT_RULES];
	int wrong = 0, alarms = 0;

	for (size_t i = 0; i < OTHERS; i++)
		others[i].firing = false, others[i].over = others[i].back = 0;
	seed = 1;
	for (double t = 0; t < HOUR && t < end; t += STEP_S) {
		struct rules_sample x = sample_of(t, shape->f(t));

		if (rules__step(&r, scope, s, &x, v)) {
			alarms++;
			wrong += check_forecast(shape, who, t, end, &v[ALERT_OOM_IN]);
		}
		for (size_t i = 0; i < OTHERS; i++) {
			if (edge_of(i, v[ALERT_OOM_IN].value))
				wrong += check_forecast(shape, "other  ", t, end, &v[ALERT_OOM_IN]);
		}
	}
	if (end < HOUR && !alarms) {
		print_message("%-16s %s: no alarm before %.0f s  WRONG\n", shape->name, who, end);
		wrong++;
	}
	free(s);
	return wrong;
}

static void twenty_shapes(void **state)
{
	int wrong = 0;

	for (size_t i = 0; i < SHAPES; i++) {
		wrong += forecast_shape(&shapes[i], RULES_GROUP);
		wrong += forecast_shape(&shapes[i], RULES_MACHINE);
	}
	assert_int_equal(wrong, 0);
}

static int grow_shape(const struct shape *shape)
{
	struct rules r = {.on = {[ALERT_GROWTH] = true},
			  .growth_bytes_s = RATE * MIB / 60,
			  .growth_per_s = 60};
	struct rules_state *s = calloc(1, sizeof(*s));
	double end = fmin(HOUR, reached(shape->f) + 60);
	struct rules_verdict v[ALERT_RULES];
	int wrong = 0, alarms = 0;

	seed = 1;
	for (double t = 0; t < end; t += STEP_S) {
		struct rules_sample x = sample_of(t, shape->f(t));
		bool right;

		if (!rules__step(&r, RULES_PROCESS, s, &x, v))
			continue;
		alarms++;
		right = shape->grows == DOES || (shape->grows == FOR_A_WHILE && t >= 60 &&
						 shape->f(t) - shape->f(t - 60) >= RATE);
		print_message("%-16s grows   at %7.2f s: %.1f MiB/min%s\n", shape->name, t,
			      v[ALERT_GROWTH].value / MIB * 60, right ? "" : "  WRONG");
		wrong += !right;
	}
	if (shape->grows == DOES && !alarms) {
		print_message("%-16s grows, and there was no alarm  WRONG\n", shape->name);
		wrong++;
	}
	free(s);
	return wrong;
}

static void growth_of_twenty_shapes(void **state)
{
	int wrong = 0;

	for (size_t i = 0; i < SHAPES; i++)
		wrong += grow_shape(&shapes[i]);
	assert_int_equal(wrong, 0);
}

/* What others take: jobs that begin, fill for some time, hold and are gone, never near the limit.
 */
#define JOBS 6
static double busy(double t)
{
	static struct {
		double begin, fill, hold, size;
	} job[JOBS];
	double sum = 250 + 5 * noise();

	for (int i = 0; i < JOBS; i++) {
		double age;

		if (t == 0 || t > job[i].begin + job[i].fill + job[i].hold) {
			job[i].begin = t + 20 * (1 + noise());
			job[i].fill = 15 + 14 * noise();
			job[i].hold = 15 + 14 * noise();
			job[i].size = 50 + 45 * noise();
		}
		age = t - job[i].begin;
		if (age > 0)
			sum += job[i].size * fmin(age / job[i].fill, 1);
	}
	return sum;
}

/* Four processes that keep what they have, one of them with a little noise, in a group and on a
 * machine where others are busy: nobody grows, and no end is in sight. */
static void steady_among_busy(void **state)
{
	struct rules r = {.on = {[ALERT_GROWTH] = true, [ALERT_OOM_IN] = true, [ALERT_RSS] = true},
			  .growth_bytes_s = RATE * MIB / 60,
			  .growth_per_s = 60,
			  .oom_in_s = AHEAD_S,
			  .rss_share = 0.5};
	struct rules_state *p = calloc(4, sizeof(*p)), *g = calloc(1, sizeof(*g)),
			   *m = calloc(1, sizeof(*m));
	struct rules_verdict v[ALERT_RULES];

	seed = 7;
	for (double t = 0; t < HOUR; t += STEP_S) {
		double all = busy(t);

		for (int i = 0; i < 4; i++) {
			struct rules_sample x = sample_of(t, all);

			x.rss_bytes = (uint64_t)((20 + 10 * i + (i == 3) * noise()) * MIB);
			assert_int_equal(rules__step(&r, RULES_PROCESS, &p[i], &x, v), 0);
		}
		struct rules_sample x = sample_of(t, all);

		if (rules__step(&r, RULES_GROUP, g, &x, v) ||
		    rules__step(&r, RULES_MACHINE, m, &x, v))
			fail_msg("at %.2f s: in %.0f s, of %.0f MiB", t, v[ALERT_OOM_IN].value,
				 all);
	}
	free(p);
	free(g);
	free(m);
}

/* What may be asked for can be foretold: a day ahead. */
static void a_day_ahead(void **state)
{
	static struct forecast f;
	struct forecast_verdict v;
	struct rules r = {0};
	double t = 0;

	assert_int_equal(rules__parse(ALERT_OOM_IN, "24h", &r), 0);
	assert_true(rules__parse(ALERT_OOM_IN, "25h", &r) < 0);
	for (; t < 40.0 * HOUR; t += STEP_S)
		forecast__add(&f, t, MIB * (100 + t / 100));
	forecast__judge(&f, MIB * (100 + 63.0 * HOUR / 100), &v);
	assert_true(v.in_s > 22.0 * HOUR && v.in_s < 24.0 * HOUR);
	assert_true(v.span_s > 1.6 * 23 * HOUR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(twenty_shapes),
		cmocka_unit_test(growth_of_twenty_shapes),
		cmocka_unit_test(steady_among_busy),
		cmocka_unit_test(a_day_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
