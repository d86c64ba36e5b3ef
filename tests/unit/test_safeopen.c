/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is opened that somebody else may have put there, or named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/safeopen.h"

static int open_mine(int fd)
{
	int got = safeopen__memfd(getpid(), (uint64_t)fd);

	if (got >= 0)
		close(got);
	return got < 0 ? got : 0;
}

/* A target is told to make a memory file and says which descriptor it has become: until that is
 * opened it may be any other that the target has, of a file that it may only read. */
static void only_a_fresh_memory_file(void **state)
{
	cleanup_fd int fresh = memfd_create("fresh", MFD_CLOEXEC), used = memfd_create("used", 0);
	char path[] = "/tmp/memwatch-test-XXXXXX", fifo[64];
	cleanup_fd int file = mkstemp(path);
	int pair[2], got;

	assert_true(fresh >= 0 && used >= 0 && file >= 0);
	got = safeopen__memfd(getpid(), (uint64_t)fresh);
	assert_true(got >= 0);
	assert_int_equal(util__write_all(got, "code", 4), 0);
	close(got);
	assert_int_equal(open_mine(fresh), -EPERM); /* it is no new one any more */
	assert_int_equal(util__write_all(used, "x", 1), 0);
	assert_int_equal(open_mine(used), -EPERM);
	assert_int_equal(open_mine(file), -EPERM);
	unlink(path);
	assert_int_equal(open_mine(file), -EPERM); /* without a name as well */
	snprintf(fifo, sizeof(fifo), "%s.fifo", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	close(file);
	file = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	unlink(fifo);
	assert_int_equal(open_mine(file), -EPERM);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_int_equal(open_mine(pair[1]), -EPERM);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(open_mine(pair[0]), -ENOENT);
}

static int look_into(const char *path)
{
	int fd = safeopen__file(path, NULL);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

/* Regular files of the kernel's, which do something when they are opened, read or closed (the
 * worst are of tracefs), are none; neither by a link. Files in memory are. */
static void nothing_that_the_kernel_does(void **state)
{
	static const char *const theirs[] = {"/proc/self/status", "/proc/self/maps",
					     "/sys/kernel/mm/transparent_hugepage/enabled"};
	char path[] = "/tmp/memwatch-test-XXXXXX", memory[32];
	cleanup_fd int file = mkstemp(path), fd = memfd_create("memory", MFD_CLOEXEC);

	assert_true(file >= 0 && fd >= 0);
	assert_int_equal(look_into(path), 0);
	for (size_t i = 0; i < ARRAY_SIZE(theirs); i++) {
		if (access(theirs[i], F_OK))
			continue;
		assert_int_equal(look_into(theirs[i]), -EINVAL);
		unlink(path);
		assert_int_equal(symlink(theirs[i], path), 0);
		assert_int_equal(look_into(path), -EINVAL);
	}
	unlink(path);
	snprintf(memory, sizeof(memory), "/proc/self/fd/%d", fd);
	assert_int_equal(look_into(memory), 0);
	snprintf(memory, sizeof(memory), "/proc/self/fd/%d", file);
	assert_int_equal(look_into(memory), 0); /* without a name */
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(only_a_fresh_memory_file),
					   cmocka_unit_test(nothing_that_the_kernel_does)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
