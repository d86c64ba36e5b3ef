/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "alert/rules.h"
#include "alert/runner.h"
#include "sys/cgroup.h"
#include "sys/psi.h"

#define MIB 1048576.0

static struct rules_sample sample(double t, double rss)
{
	return (struct rules_sample){.t_s = t,
				     .rss_bytes = (uint64_t)rss,
				     .cgroup_used_bytes = (uint64_t)rss,
				     .cgroup_limit_bytes = (uint64_t)(100 * MIB),
				     .machine_total_bytes = (uint64_t)(1000 * MIB),
				     .machine_available_bytes = (uint64_t)(900 * MIB),
				     .psi_some10 = 0,
				     .psi_full10 = 0};
}

static unsigned step(const struct rules *r, struct rules_state *s, double t, double rss)
{
	struct rules_verdict v[ALERT_RULES];
	struct rules_sample x = sample(t, rss);

	return rules__step(r, s, &x, v);
}

static void parse(void **state)
{
	struct rules r = {};

	assert_false(rules__any(&r));
	assert_int_equal(rules__parse_rss("50%", &r), 0);
	assert_float_equal(r.rss_share, 0.5, 1e-9);
	assert_int_equal(rules__parse_rss("2G", &r), 0);
	assert_int_equal(r.rss_bytes, 2ULL << 30);
	assert_int_equal(rules__parse_cgroup("80%", &r), 0);
	assert_int_equal(rules__parse_growth("10M/min", &r), 0);
	assert_float_equal(r.growth_bytes_s, 10 * MIB / 60, 1e-6);
	assert_int_equal(rules__parse_growth("1K/s", &r), 0);
	assert_float_equal(r.growth_bytes_s, 1024, 1e-6);
	assert_int_equal(rules__parse_growth("60M", &r), 0);
	assert_float_equal(r.growth_bytes_s, MIB, 1e-6);
	assert_int_equal(rules__parse_oom_in("5m", &r), 0);
	assert_float_equal(r.oom_in_s, 300, 1e-6);
	assert_int_equal(rules__parse_psi("full=5.5%", &r), 0);
	assert_true(r.psi_full);
	assert_true(rules__any(&r));
	static const char *const bad[] = {"",	  "%",	  "-1%", "0%",	 "101%",
					  "1e1%", "nan%", "x",	 "50%%", " 5%"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(rules__parse_cgroup(bad[i], &r), -EINVAL);
		assert_int_equal(rules__parse_rss(bad[i], &r), -EINVAL);
		assert_int_equal(rules__parse_growth(bad[i], &r), -EINVAL);
		assert_int_equal(rules__parse_psi(bad[i], &r), -EINVAL);
	}
	assert_int_equal(rules__parse_growth("1M/year", &r), -EINVAL);
	assert_int_equal(rules__parse_growth("99999999999999999999999999999999999999999M/s", &r),
			 -EINVAL);
	assert_int_equal(rules__parse_oom_in("0", &r), -EINVAL);
	assert_int_equal(rules__parse_psi("some", &r), -EINVAL);
}

/* On the edge it fires once; again only after having clearly gone back. */
static void hysteresis(void **state)
{
	struct rules r = {.on = {[ALERT_CGROUP] = true}, .cgroup_share = 0.8};
	struct rules_state s = {};
	unsigned fired = 0;

	for (int i = 0; i < 200; i++)
		fired += !!step(&r, &s, i * 0.25, (i % 2 ? 80.5 : 79.5) * MIB);
	assert_int_equal(fired, 1);
	assert_false(step(&r, &s, 51, 71 * MIB)); /* below 72: armed again at 71 */
	assert_true(step(&r, &s, 52, 81 * MIB));
}

static void rss_of_the_lower_limit(void **state)
{
	struct rules r = {.on = {[ALERT_RSS] = true}, .rss_share = 0.5};
	struct rules_state s = {};

	assert_false(step(&r, &s, 0, 49 * MIB));
	assert_true(step(&r, &s, 1, 50 * MIB)); /* of the cgroup's 100, not the machine's 1000 */
}

/* When the machine's memory cannot be read there is no share of it, and no end of it. */
static void machine_unknown(void **state)
{
	struct rules r = {.on = {[ALERT_RSS] = true, [ALERT_OOM_IN] = true},
			  .rss_share = 0.5,
			  .oom_in_s = 3600};
	struct rules_verdict v[ALERT_RULES];
	struct rules_state s = {};

	for (int i = 0; i < 100; i++) {
		struct rules_sample x = {.t_s = i * 0.25,
					 .rss_bytes = i * 10 * MIB,
					 .cgroup_limit_bytes = RULES_NO_LIMIT,
					 .machine_total_bytes = i < 90 ? 1000 * MIB : 0,
					 .machine_available_bytes = i < 90 ? 1000 * MIB : 0,
					 .psi_some10 = -1,
					 .psi_full10 = -1};

		if (i < 90)
			x.rss_bytes = 0;
		assert_int_equal(rules__step(&r, &s, &x, v), 0);
	}
}

/* A spike, even of many samples, is no growth; a steady leak is. */
static void robust_growth(void **state)
{
	struct rules r = {.on = {[ALERT_GROWTH] = true}, .growth_bytes_s = MIB / 60};
	struct rules_state s = {};
	unsigned fired = 0;

	for (int i = 0; i < 400; i++)
		fired += !!step(&r, &s, i * 0.25, (i % 40 < 8 ? 50 : 10) * MIB);
	assert_int_equal(fired, 0);
	memset(&s, 0, sizeof(s));
	for (int i = 0; i < 400; i++)
		fired += !!step(&r, &s, i * 0.25, 10 * MIB + i * 0.25 * 2 * MIB / 60);
	assert_int_equal(fired, 1);
}

/* A collector's saw-tooth of a minute rises for a long time and does not grow. */
static void saw_tooth(void **state)
{
	struct rules r = {.on = {[ALERT_GROWTH] = true}, .growth_bytes_s = 10 * MIB / 60};
	struct rules_state s = {};
	unsigned late = 0;

	for (int i = 0; i < 240 * 10; i++) {
		unsigned f = step(&r, &s, i * 0.25, (20 + (i % 240) * 0.25) * MIB * 0.5);

		if (i > 2 * 240)
			late += !!f;
	}
	assert_int_equal(late, 0);
}

static void forecast(void **state)
{
	struct rules r = {.on = {[ALERT_OOM_IN] = true}, .oom_in_s = 20};
	struct rules_state s = {};
	struct rules_verdict v[ALERT_RULES];
	int at = -1;

	/* 1 MiB/s from 10 MiB, with noise, to 100 MiB: reached at t = 90 */
	for (int i = 0; i < 360 && at < 0; i++) {
		double t = i * 0.25;
		struct rules_sample x = sample(t, (10 + t + (i * 7 % 5 - 2) * 0.2) * MIB);

		if (rules__step(&r, &s, &x, v)) {
			at = i;
			assert_false(v[ALERT_OOM_IN].machine_limit);
			assert_true(fabs(v[ALERT_OOM_IN].value - (90 - t)) < 0.2 * (90 - t));
		}
	}
	assert_true(at * 0.25 > 65 && at * 0.25 < 76);
}

static void no_limit_no_forecast(void **state)
{
	struct rules r = {.on = {[ALERT_OOM_IN] = true}, .oom_in_s = 1000};
	struct rules_state s = {};
	struct rules_verdict v[ALERT_RULES];

	for (int i = 0; i < 100; i++) {
		struct rules_sample x = sample(i * 0.25, (10 + i) * MIB);

		x.cgroup_limit_bytes = RULES_NO_LIMIT;
		assert_false(rules__step(&r, &s, &x, v));
		assert_true(isinf(v[ALERT_OOM_IN].value));
	}
}

static void split(void **state)
{
	static const struct {
		const char *text;
		const char *word[6];
	} ok[] = {
		{"a", {"a"}},
		{"  a  b\tc ", {"a", "b", "c"}},
		{"a 'b c' \"d e\" f\\ g", {"a", "b c", "d e", "f g"}},
		{"x $(y) `z` ;| *", {"x", "$(y)", "`z`", ";|", "*"}},
		{"a '' \"\"", {"a", "", ""}},
		{"a '\\n' \"\\\"\"", {"a", "\\n", "\""}},
	};
	static const char *const bad[] = {"", "  ", "a 'b", "a \"b", "''"};
	char **argv;

	for (size_t i = 0; i < sizeof(ok) / sizeof(ok[0]); i++) {
		size_t n = 0;

		assert_int_equal(runner__split(ok[i].text, &argv), 0);
		for (; ok[i].word[n]; n++)
			assert_string_equal(argv[n], ok[i].word[n]);
		assert_null(argv[n]);
		free(argv);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(runner__split(bad[i], &argv), -EINVAL);
}

static void cooldown(void **state)
{
	static const char *const env[] = {NULL};
	struct runner *r;

	assert_int_equal(runner__new("/nonexistent", 1, 1, &r), -ENOENT);
	assert_int_equal(runner__new("true", 5000000000ULL, 3600000000000ULL, &r), 0);
	assert_int_equal(runner__start(r, 1, env, "{}", 2), 0);
	assert_int_equal(runner__start(r, 1, env, "{}", 2), -EAGAIN);
	assert_int_equal(runner__start(r, 2, env, "{}", 2), 0);
	runner__finish(r);
	assert_int_equal(runner__start(r, 1, env, "{}", 2), -EAGAIN);
	/* More keys than are kept: those that end first are forgotten. */
	for (uint32_t key = 3; key < 300; key++) {
		assert_int_equal(runner__start(r, key, env, "{}", 2), 0);
		runner__finish(r);
	}
	assert_int_equal(runner__start(r, 299, env, "{}", 2), -EAGAIN);
	assert_int_equal(runner__start(r, 50, env, "{}", 2), -EAGAIN);
	assert_int_equal(runner__start(r, 1, env, "{}", 2), 0);
	runner__free(r);
}

static void cgroups(void **state)
{
	static const char v1[] =
		"25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
		"26 25 0:23 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n"
		"27 25 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
	static const char v2[] = "26 25 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
	struct cgroup_mounts m;
	char path[64];
	uint64_t v;

	cgroup__parse_mounts(v1, false, &m);
	assert_int_equal(m.version, 1);
	assert_string_equal(m.memory, "/sys/fs/cgroup/memory");
	cgroup__parse_mounts(v2, true, &m);
	assert_int_equal(m.version, 2);
	cgroup__parse_mounts("nonsense\n - \n a - b\n", true, &m);
	assert_int_equal(m.version, 0);
	assert_int_equal(
		cgroup__parse_path("9:name=systemd:/\n4:cpu,memory:/a:b\n0::/u\n", 1, path, 64), 0);
	assert_string_equal(path, "/a:b");
	assert_int_equal(cgroup__parse_path("4:memory:/a\n0::/u\n", 2, path, 64), 0);
	assert_string_equal(path, "/u");
	assert_int_equal(cgroup__parse_path("x\n::\n", 2, path, 64), -ENOENT);
	assert_int_equal(cgroup__parse_path("0::/longer\n", 2, path, 3), -ENAMETOOLONG);
	assert_int_equal(cgroup__parse_value("max\n", &v), 0);
	assert_true(v == CGROUP_NO_LIMIT);
	assert_int_equal(cgroup__parse_value("9223372036854771712\n", &v), 0);
	assert_true(v == CGROUP_NO_LIMIT);
	assert_int_equal(cgroup__parse_value("4096\n", &v), 0);
	assert_int_equal(v, 4096);
	assert_int_equal(cgroup__parse_value("-1\n", &v), -EBADMSG);
}

static void pressure(void **state)
{
	struct psi p;

	assert_int_equal(psi__parse("some avg10=1.50 avg60=0.20 avg300=0.00 total=123\n"
				    "full avg10=0.50 avg60=0.10 avg300=0.00 total=45\n",
				    &p),
			 0);
	assert_true(p.valid);
	assert_float_equal(p.some.avg10, 1.5, 1e-9);
	assert_int_equal(p.full.total_us, 45);
	assert_int_equal(psi__parse("some avg10=1.50", &p), -EBADMSG);
	assert_false(p.valid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse),
		cmocka_unit_test(hysteresis),
		cmocka_unit_test(rss_of_the_lower_limit),
		cmocka_unit_test(machine_unknown),
		cmocka_unit_test(robust_growth),
		cmocka_unit_test(saw_tooth),
		cmocka_unit_test(forecast),
		cmocka_unit_test(no_limit_no_forecast),
		cmocka_unit_test(split),
		cmocka_unit_test(cooldown),
		cmocka_unit_test(cgroups),
		cmocka_unit_test(pressure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
