/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <cmocka.h>

#include "sys/meminfo.h"
#include "sys/proc_task.h"

static void kinds(void **state)
{
	struct meminfo m;

	meminfo__parse(
		"MemTotal:       16303428 kB\nMemFree:  12 kB\nSwapCached: 7 kB\nCached: 5 kB\n"
		"ShmemHugePages: 9 kB\nHugePages_Total: 3\nCommitted_AS: 1 kB",
		&m);
	assert_int_equal(m.total, 16303428ULL << 10);
	assert_int_equal(m.free, 12 << 10);
	assert_int_equal(m.cached, 5 << 10); /* not SwapCached */
	assert_int_equal(m.commit, 1 << 10);
	assert_true(m.shmem == MEMINFO_UNKNOWN && m.available == MEMINFO_UNKNOWN);
	meminfo__parse("", &m);
	assert_true(m.total == MEMINFO_UNKNOWN);
}

static void this_machine(void **state)
{
	struct meminfo m;

	assert_int_equal(meminfo__read(&m), 0);
	assert_true(m.total > m.free && m.available != MEMINFO_UNKNOWN);
	assert_true(meminfo__read_fd(-1, &m) < 0);
	assert_true(m.total == MEMINFO_UNKNOWN);
}

static void names(void **state)
{
	char name[16] = "";

	assert_int_equal(prctl(PR_SET_NAME, "a (b)\nc"), 0);
	assert_int_equal(proc_task__comm(getpid(), name, sizeof(name)), 0);
	assert_string_equal(name, "a (b)\nc");
	assert_true(proc_task__comm(1 << 30, name, sizeof(name)) < 0);
	assert_string_equal(name, "a (b)\nc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(kinds), cmocka_unit_test(this_machine),
					   cmocka_unit_test(names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
