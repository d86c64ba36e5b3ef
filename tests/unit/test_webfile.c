/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The embedded files are found whole and end with a NUL. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/webfile.h"

static void every_file_is_found(void **state)
{
	for (const struct webfile *w = webfile_table; w->name; w++) {
		assert_ptr_equal(webfile__find(w->name), w);
		assert_true(w->len > 0);
		assert_int_equal(w->data[w->len], 0);
		assert_int_equal(strlen((const char *)w->data), w->len);
	}
}

static void what_is_not_there_is_said(void **state)
{
	assert_null(webfile__find(""));
	assert_null(webfile__find("none.js"));
	assert_int_equal(webfile__put(stdout, "none.js"), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_file_is_found),
		cmocka_unit_test(what_is_not_there_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
