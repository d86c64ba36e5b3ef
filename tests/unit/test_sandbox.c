/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the filter of those who read hostile bytes lets them map, tried in a process of its own. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/sandbox.h"

#define LEN 4096

/* 0, or what the kernel says. */
static int try_map(int prot, int flags, int fd)
{
	return mmap(NULL, LEN, prot, flags, fd, 0) == MAP_FAILED ? errno : 0;
}

static const struct mapping {
	int prot, flags;
	bool of_file;
	int err;
} mappings[] = {
	{PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, false, 0},
	{PROT_READ | PROT_WRITE, MAP_PRIVATE, true, 0},
	{PROT_READ | PROT_WRITE, MAP_SHARED, true, 0},
	{PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, false, EPERM},
	{PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, false, EPERM},
	{PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, false, EPERM},
	{PROT_READ | PROT_EXEC, MAP_SHARED, true, EPERM},
};

/* No memory that a limit of private memory does not count, and none to be executed. */
static void what_may_be_mapped(void **state)
{
	struct sock_fprog filter;
	cleanup_fd int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(sandbox__compile(SANDBOX_READER, &filter), 0);
	assert_int_equal(ftruncate(fd, LEN), 0);
	for (size_t i = 0; i < ARRAY_SIZE(mappings); i++) {
		const struct mapping *m = &mappings[i];
		int status = 0;
		pid_t pid = fork();

		if (!pid) {
			if (sandbox__apply(&filter))
				syscall(SYS_exit_group, 255);
			syscall(SYS_exit_group, try_map(m->prot, m->flags, m->of_file ? fd : -1));
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) != m->err)
			fail_msg("mapping %zu: %d instead of %d", i, WEXITSTATUS(status), m->err);
	}
	free(filter.filter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_may_be_mapped)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
