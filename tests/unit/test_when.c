/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "core/when.h"

/* 2026-03-10 12:30:00 UTC */
#define NOW 1773145800000LL

static int64_t at(const char *text)
{
	int64_t ms = -1;

	assert_int_equal(when__parse(text, NOW, &ms), 0);
	return ms;
}

static void in_zone(const char *tz)
{
	setenv("TZ", tz, 1);
	tzset();
}

static void forms(void **state)
{
	in_zone("UTC");
	assert_int_equal(at("2h"), NOW - 7200000);
	assert_int_equal(at("3d"), NOW - 3 * 86400000LL);
	assert_int_equal(at("now"), NOW);
	assert_int_equal(at("@1700000000"), 1700000000000LL);
	assert_int_equal(at("today"), 1773100800000LL);
	assert_int_equal(at("yesterday"), 1773100800000LL - 86400000);
	assert_int_equal(at("yesterday 17:00"), 1773100800000LL - 86400000 + 17 * 3600000);
	assert_int_equal(at("12:00"), NOW - 1800000);
	assert_int_equal(at("17:00"), NOW + 4 * 3600000 + 1800000 - 86400000); /* not yet today */
	assert_int_equal(at("2026-01-31"), 1769817600000LL);
	assert_int_equal(at("2026-01-31 08:00"), 1769817600000LL + 8 * 3600000);
	assert_int_equal(at("2026-01-31T08:00:01.250"), 1769817600000LL + 8 * 3600000 + 1250);
	assert_int_equal(at("2026-01-31 08:00 +0100"), 1769817600000LL + 7 * 3600000);
	assert_int_equal(at("2026-01-31T08:00:00-03:30"), 1769817600000LL + 41400000);
}

static void one_zone(void **state)
{
	char text[WHEN_LEN];
	int64_t back;

	in_zone("Europe/Berlin");
	assert_int_equal(at("2026-01-31 08:00"), 1769817600000LL + 7 * 3600000);
	assert_int_equal(at("2026-07-01 08:00"), 1782885600000LL); /* summer: UTC+2 */
	assert_int_equal(at("2026-01-31T08:00:00Z"), 1769817600000LL + 8 * 3600000);
	assert_string_equal(when__local(text, sizeof(text), NOW + 7),
			    "2026-03-10 13:30:00.007 +0100");
	assert_string_equal(when__utc(text, sizeof(text), NOW + 7), "2026-03-10T12:30:00.007Z");
	/* What is printed can be read. */
	assert_int_equal(when__parse(when__local(text, sizeof(text), NOW + 7), 0, &back), 0);
	assert_int_equal(back, NOW + 7);
	assert_string_equal(when__utc(text, sizeof(text), -1), "1969-12-31T23:59:59.999Z");
}

static void refused(void **state)
{
	static const char *const bad[] = {"",
					  "x",
					  "25:00",
					  "12:60",
					  "12:",
					  "2026-13-01",
					  "2026-1",
					  "2026-01-31 ",
					  "@",
					  "@x",
					  "@99999999999999999999",
					  "2026-01-31 08:00 CET",
					  "2026-01-31T08:00+99:00",
					  "yesterdayish",
					  "-5m"};
	int64_t ms;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(when__parse(bad[i], NOW, &ms), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms),
		cmocka_unit_test(one_zone),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
