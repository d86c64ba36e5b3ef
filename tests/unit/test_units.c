/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include "core/units.h"

static void parse_sizes(void **state)
{
	uint64_t v;

	assert_int_equal(units__parse_size("512K", &v), 0);
	assert_int_equal(v, 512 << 10);
	assert_int_equal(units__parse_size("1.5GiB", &v), 0);
	assert_int_equal(v, 3ULL << 29);
	assert_int_equal(units__parse_size("1", &v), 0);
	assert_int_equal(v, 1);
	assert_int_equal(units__parse_size("10MB", &v), 0);
	assert_int_equal(v, 10 << 20);
	static const char *const bad[] = {"",	 "K",	"-1",	"1x", "1KK",
					  "nan", "inf", "0x10", " 1", "1 K"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(units__parse_size(bad[i], &v), -EINVAL);
	assert_int_equal(units__parse_size("99999999E", &v), -ERANGE);
}

static void parse_percents(void **state)
{
	static const char *const bad[] = {"",	  "nan", "inf", "0x10", "-1", "0",
					  "0.0%", "2%%", "2 %", "1e9",	"%",  "100001"};
	double v;

	assert_int_equal(units__parse_percent("2%", &v), 0);
	assert_float_equal(v, 2, 1e-9);
	assert_int_equal(units__parse_percent("0.5", &v), 0);
	assert_float_equal(v, 0.5, 1e-9);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(units__parse_percent(bad[i], &v) < 0);
}

static void parse_times(void **state)
{
	uint64_t v;

	assert_int_equal(units__parse_time("30", &v), 0);
	assert_int_equal(v, 30000000000ULL);
	assert_int_equal(units__parse_time("1.5m", &v), 0);
	assert_int_equal(v, 90000000000ULL);
	assert_int_equal(units__parse_time("250ms", &v), 0);
	assert_int_equal(v, 250000000ULL);
	assert_int_equal(units__parse_time("5 m", &v), -EINVAL);
	assert_int_equal(units__parse_time("-5", &v), -EINVAL);
	assert_int_equal(units__parse_time("1e300h", &v), -ERANGE);
}

static void print_units(void **state)
{
	char b[UNITS_LEN];

	assert_string_equal(units__size(b, sizeof(b), 512), "512B");
	assert_string_equal(units__size(b, sizeof(b), 1536), "1.50kB");
	assert_string_equal(units__size(b, sizeof(b), -(3LL << 30)), "-3.00GB");
	assert_string_equal(units__time(b, sizeof(b), 302000000000ULL), "5m02s");
	assert_string_equal(units__time(b, sizeof(b), 850000000ULL), "850ms");
	assert_string_equal(units__time(b, sizeof(b), 7000000ULL), "7ms");
	assert_string_equal(units__time(b, sizeof(b), 9990000ULL), "9.9ms");
	assert_string_equal(units__time(b, sizeof(b), 800000ULL), "0.8ms");
	assert_string_equal(units__time(b, sizeof(b), 12345ULL), "0.0123ms");
	assert_string_equal(units__time(b, sizeof(b), 0), "0ms");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_sizes), cmocka_unit_test(parse_percents),
		cmocka_unit_test(parse_times), cmocka_unit_test(print_units)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
