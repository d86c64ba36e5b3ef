/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disk cache of unwind tables: round trip, and everything that must not be believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"
#include "probe/unwind_cache.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct env {
	char dir[64], file[160];
	struct unwind_cache *c;
	struct unwind_table *t;
};

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	struct elfobj *elf = NULL;
	cleanup_fd int fd = open("/proc/self/exe", O_RDONLY);

	snprintf(e->dir, sizeof(e->dir), "/tmp/mw-cache-XXXXXX");
	assert_non_null(mkdtemp(e->dir));
	snprintf(e->file, sizeof(e->file), "%s/unwind/%s.v%d", e->dir, ID, MW_UNWIND_VERSION);
	assert_int_equal(unwind_cache__open(e->dir, &e->c), 0);
	assert_int_equal(elfobj__open_fd(fd, "self", &elf), 0);
	assert_int_equal(unwind_table__from_elf(elf, &e->t), 0);
	elfobj__close(elf);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;
	char cmd[128];

	unwind_cache__close(e->c);
	unwind_table__free(e->t);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", e->dir);
	assert_int_equal(system(cmd), 0);
	free(e);
	return 0;
}

static int load(struct env *e)
{
	struct unwind_table *t = NULL;
	int err = unwind_cache__load(e->c, ID, &t);

	if (!err) {
		assert_int_equal(t->n_words, e->t->n_words);
		assert_memory_equal(t->words, e->t->words, t->n_words * 8);
		unwind_table__free(t);
	}
	return err;
}

static void round_trip(void **state)
{
	struct env *e = *state;
	struct unwind_table *t = NULL;
	char other[256];

	assert_int_equal(load(e), -ENOENT);
	assert_int_equal(unwind_cache__store(e->c, ID, e->t), 0);
	assert_int_equal(load(e), 0);
	/* another file's table under this name */
	snprintf(other, sizeof(other), "%s/unwind/%s.v%d", e->dir, OTHER, MW_UNWIND_VERSION);
	assert_int_equal(rename(e->file, other), 0);
	assert_int_equal(unwind_cache__load(e->c, OTHER, &t), -EBADMSG);
	assert_int_equal(unwind_cache__load(e->c, OTHER, &t), -ENOENT); /* and gone */
}

static void hostile_names(void **state)
{
	struct env *e = *state;
	struct unwind_table *t = NULL;
	static const char *const bad[] = {"",
					  "../../etc/passwd",
					  "0123",
					  "ABCDEF0123456789",
					  "0123456789abcdef/../x",
					  "0123456789abcdef"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(unwind_cache__store(e->c, bad[i], e->t), -EINVAL);
		assert_int_equal(unwind_cache__load(e->c, bad[i], &t), -ENOENT);
	}
}

/* Any byte changed, any length: refused. */
static void damaged_file(void **state)
{
	struct env *e = *state;
	struct stat st;

	assert_int_equal(unwind_cache__store(e->c, ID, e->t), 0);
	assert_int_equal(stat(e->file, &st), 0);
	for (off_t at = 0; at < st.st_size; at += at < 64 ? 1 : 97) {
		cleanup_fd int fd = -1;
		uint8_t b;

		assert_int_equal(unwind_cache__store(e->c, ID, e->t), 0);
		fd = open(e->file, O_RDWR);
		assert_int_equal(pread(fd, &b, 1, at), 1);
		b ^= 0x40;
		assert_int_equal(pwrite(fd, &b, 1, at), 1);
		assert_int_equal(load(e), -EBADMSG);
	}
	for (off_t len = 0; len < st.st_size; len += 1 + st.st_size / 50) {
		assert_int_equal(unwind_cache__store(e->c, ID, e->t), 0);
		assert_int_equal(truncate(e->file, len), 0);
		assert_int_equal(load(e), -EBADMSG);
	}
}

static void not_ours(void **state)
{
	struct env *e = *state;
	char dir[128];

	assert_int_equal(unwind_cache__store(e->c, ID, e->t), 0);
	assert_int_equal(chmod(e->file, 0666), 0);
	assert_int_equal(load(e), -EBADMSG); /* anybody may have written it */
	assert_int_equal(symlink("/etc/passwd", e->file), 0);
	assert_int_equal(load(e), -EBADMSG);
	assert_int_equal(mkfifo(e->file, 0600), 0);
	assert_int_equal(load(e), -EBADMSG); /* and does not wait for a writer */
	snprintf(dir, sizeof(dir), "%s/unwind", e->dir);
	assert_int_equal(chmod(dir, 0777), 0);
	unwind_cache__close(e->c);
	e->c = NULL;
	assert_int_equal(unwind_cache__open(e->dir, &e->c), -EPERM);
	assert_int_equal(chmod(dir, 0700), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_names, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_file, setup, teardown),
		cmocka_unit_test_setup_teardown(not_ours, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
