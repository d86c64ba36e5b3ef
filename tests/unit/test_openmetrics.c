/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/util.h"
#include "format/openmetrics.h"

static void write_all(struct openmetrics *m)
{
	const struct openmetrics_label odd[] = {
		{"comm", "a\"b\\c\nd\033[1me\xff"}, {"unit", NULL}, {"pid", "7"}};

	openmetrics__gauge(m, "x_bytes", "bytes", "Bytes of x.");
	openmetrics__sample(m, 9007199254740992.0 / 2, odd, ARRAY_SIZE(odd));
	openmetrics__sample(m, 0.25, NULL, 0);
	openmetrics__gauge(m, "empty", NULL, "Nothing of this is written.");
	openmetrics__counter(m, "y_seconds", "seconds", "Time of y.");
	openmetrics__sample(m, -1, NULL, 0);
	openmetrics__gauge(m, "z_ratio", "ratio", "What is not known.");
	openmetrics__sample(m, INFINITY, NULL, 0);
	openmetrics__sample(m, NAN, NULL, 0);
	openmetrics__end(m);
}

static void openmetrics_text(void **state)
{
	struct textbuf b = {0};
	struct openmetrics m = {.b = &b};

	write_all(&m);
	assert_string_equal(
		b.text, "# HELP x_bytes Bytes of x.\n# TYPE x_bytes gauge\n# UNIT x_bytes bytes\n"
			"x_bytes{comm=\"a\\\"b\\\\c\\nd?[1me?\",pid=\"7\"} 4503599627370496\n"
			"x_bytes 0.25\n"
			"# HELP y_seconds Time of y.\n# TYPE y_seconds counter\n"
			"# UNIT y_seconds seconds\ny_seconds_total 0\n"
			"# HELP z_ratio What is not known.\n# TYPE z_ratio gauge\n"
			"# UNIT z_ratio ratio\nz_ratio +Inf\nz_ratio NaN\n# EOF\n");
	textbuf__free(&b);
}

static void classic_text(void **state)
{
	struct textbuf b = {0};
	struct openmetrics m = {.b = &b, .classic = true};

	write_all(&m);
	assert_non_null(strstr(b.text, "# HELP y_seconds_total Time of y.\n"
				       "# TYPE y_seconds_total counter\ny_seconds_total 0\n"));
	assert_null(strstr(b.text, "# UNIT"));
	assert_null(strstr(b.text, "# EOF"));
	textbuf__free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(openmetrics_text),
					   cmocka_unit_test(classic_text)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
