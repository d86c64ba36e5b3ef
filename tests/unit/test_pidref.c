/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "sys/pidref.h"
#include "sys/proc_task.h"

static pid_t start(void)
{
	pid_t pid = fork();

	if (!pid)
		pause();
	return pid;
}

/* What was opened by a number is of the process that was meant only if that is still there. */
static void one_that_ends(void **state)
{
	pid_t pid = start();
	struct pidref p;

	assert_int_equal(pidref__open(pid, proc_task__start_ns(pid), &p), 0);
	assert_true(pidref__is_there(&p));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_false(pidref__is_there(&p));
	pidref__close(&p);
	assert_false(pidref__is_there(&p));
}

static void one_of_another_time(void **state)
{
	uint64_t began;
	pid_t pid = start();
	struct pidref p;

	began = proc_task__start_ns(pid);
	assert_int_equal(pidref__open(pid, began + 10000000, &p), -ESRCH);
	assert_int_equal(pidref__open(pid, began - 10000000, &p), -ESRCH);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(pidref__open(pid, began, &p), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_ends),
		cmocka_unit_test(one_of_another_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
