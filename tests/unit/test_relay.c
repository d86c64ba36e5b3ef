/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/relay.h"

/* What arrives of `text`, written in pieces of n bytes, at a terminal or not. */
static void check(const char *text, size_t n, bool terminal, const char *wanted)
{
	int ends[2], end;
	struct relay r;
	char got[256] = "";

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(relay__new(&r, ends[1], &end), 0);
	assert_false(r.terminal); /* a pipe */
	r.terminal = terminal;
	for (size_t at = 0, len = strlen(text); at < len; at += n) {
		assert_int_equal(util__write_all(end, text + at, min_of(n, len - at)), 0);
		relay__pass(&r);
		assert_true(r.fd >= 0);
	}
	close(end);
	relay__pass(&r);
	assert_int_equal(r.fd, -1);
	close(ends[1]);
	assert_true(read(ends[0], got, sizeof(got) - 1) >= 0);
	assert_string_equal(got, wanted);
	close(ends[0]);
	relay__close(&r);
}

static void what_steers_a_terminal(void **state)
{
	static const char text[] = "a\tb\r\n\x1b]0;x\a \x7f \xc2\x9b\x33\xc2\xa0 \xc3\xa9\b";

	for (size_t n = 1; n < sizeof(text); n++) {
		check(text, n, true, "a\tb\r\n?]0;x? ? \xc2?\x33\xc2\xa0 \xc3\xa9?");
		check(text, n, false, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_steers_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
