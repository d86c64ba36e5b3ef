/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

#include "core/lines.h"

static const struct lines_limits small = {16, 4096};

static char *file_of(const void *data, size_t len)
{
	char path[] = "/tmp/memwatch-lines-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
	return strdup(path);
}

static void expect(const char *data, size_t len, const char *const *want, uint64_t damaged)
{
	char *path = file_of(data, len), *line;
	struct lines *l;
	size_t n;

	assert_int_equal(lines__open(path, &small, &l), 0);
	for (; *want; want++) {
		assert_int_equal(lines__next(l, &line, &n), 1);
		assert_string_equal(line, *want);
		assert_int_equal(n, strlen(*want));
	}
	assert_int_equal(lines__next(l, &line, &n), 0);
	assert_int_equal(lines__damaged(l), damaged);
	lines__close(l);
	unlink(path);
	free(path);
}

static void whole_and_damaged(void **state)
{
	static const char plain[] = "one\n\ntwo\nthree";
	static const char longer[] = "one\n0123456789abcdefg\ntwo\n0123456789abcdef\n";
	static const char nuls[] = "one\n\0\0\0\ntwo\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

	expect(plain, sizeof(plain) - 1, (const char *[]){"one", "", "two", "three", NULL}, 0);
	expect(longer, sizeof(longer) - 1, (const char *[]){"one", "two", "0123456789abcdef", NULL},
	       1);
	expect(nuls, sizeof(nuls) - 1, (const char *[]){"one", "two", NULL}, 2);
	expect("", 0, (const char *[]){NULL}, 0);
}

/* What a crash leaves ends where the next writer began, whether or not there is a newline. */
static void good_behind_nuls(void **state)
{
	static const char behind[] = "one\n\0\0\0two\nthree\n";
	static const char torn[] = "one\ntor\0\0two\n\0\0three";
	static const char both[] = "one\n\0two\0\0three\nfour\n";
	char *far = malloc(3000);

	expect(behind, sizeof(behind) - 1, (const char *[]){"one", "two", "three", NULL}, 1);
	expect(torn, sizeof(torn) - 1, (const char *[]){"one", "two", "three", NULL}, 2);
	expect(both, sizeof(both) - 1, (const char *[]){"one", "three", "four", NULL}, 1);
	/* longer than a line may be, and torn off within one that is too long */
	for (size_t n = 0; n < 60; n++) {
		memset(far, 'x', 1000);
		memset(far + 1000, 0, 1000 + n);
		memcpy(far + 2000 + n, "two\nthree\n", 10);
		expect(far, 2010 + n, (const char *[]){"two", "three", NULL}, 1);
	}
	free(far);
}

/* Ten thousand bytes without an end of line, of which 4096 are read. */
static void bounded(void **state)
{
	char *data = malloc(10000), *path, *line;
	struct lines *l;
	size_t n;

	memset(data, 'x', 10000);
	memcpy(data, "one\n", 4);
	path = file_of(data, 10000);
	assert_int_equal(lines__open(path, &small, &l), 0);
	assert_int_equal(lines__next(l, &line, &n), 1);
	assert_int_equal(lines__next(l, &line, &n), 0);
	assert_int_equal(lines__damaged(l), 1);
	assert_true(lines__cut(l));
	lines__close(l);
	unlink(path);
	free(path);
	free(data);
}

static void compressed(void **state)
{
	char path[] = "/tmp/memwatch-lines-XXXXXX", *line;
	struct lines *l;
	struct stat st;
	size_t n;
	gzFile f;

	close(mkstemp(path));
	f = gzopen(path, "wb");
	gzputs(f, "one\ntwo\n");
	gzclose(f);
	assert_int_equal(lines__open(path, &small, &l), 0);
	assert_int_equal(lines__next(l, &line, &n), 1);
	assert_string_equal(line, "one");
	assert_int_equal(lines__next(l, &line, &n), 1);
	assert_string_equal(line, "two");
	assert_int_equal(lines__next(l, &line, &n), 0);
	lines__close(l);
	/* A cut archive is read as far as it goes. */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size - 6), 0);
	assert_int_equal(lines__open(path, &small, &l), 0);
	while (lines__next(l, &line, &n) > 0)
		;
	assert_true(lines__cut(l));
	lines__close(l);
	unlink(path);
}

/* Nothing that has no end, or that waits for somebody. */
static void only_files(void **state)
{
	static const char *const paths[] = {"/dev/zero", "/dev/full", "/dev/null", "/tmp"};
	char fifo[] = "/tmp/memwatch-lines-fifo-XXXXXX";
	struct lines *l;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_in_set(-lines__open(paths[i], &small, &l),
			      ((const LargestIntegralType[]){EINVAL, EISDIR}), 2);
	close(mkstemp(fifo));
	unlink(fifo);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(lines__open(fifo, &small, &l), -EINVAL);
	unlink(fifo);
	assert_int_equal(lines__open("/nonexistent/file", &small, &l), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_and_damaged), cmocka_unit_test(good_behind_nuls),
		cmocka_unit_test(bounded),	     cmocka_unit_test(compressed),
		cmocka_unit_test(only_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
