/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "sys/privilege.h"

static uint64_t effective(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	syscall(SYS_capget, &head, data);
	return data[0].effective | (uint64_t)data[1].effective << 32;
}

/* Each test is a process of its own: what is given up is gone. */
static int in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define FAIL_IF(x)                                 \
	do {                                       \
		if (x)                             \
			return __LINE__ % 250 + 1; \
	} while (0)

static int calls_are_refused(void)
{
	char *argv[] = {(char *)"/bin/true", NULL}, *env[] = {NULL};

	FAIL_IF(privilege__keep(0));
	FAIL_IF(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1);
	FAIL_IF(execve(argv[0], argv, env) != -1 || errno != EPERM);
	FAIL_IF(symlink("/", "/tmp/memwatch-never") != -1 || errno != EPERM);
	FAIL_IF(mknod("/tmp/memwatch-never", S_IFIFO | 0600, 0) != -1 || errno != EPERM);
	FAIL_IF(syscall(SYS_process_vm_writev, getpid(), NULL, 0, NULL, 0, 0) != -1 ||
		errno != EPERM);
	FAIL_IF(setns(0, 0) != -1 || errno != EPERM);
	FAIL_IF(syscall(SYS_keyctl, 0, 0, 0, 0, 0) != -1 || errno != EPERM);
	/* what would fail otherwise in another way, whoever asks */
#ifndef __SANITIZE_ADDRESS__ /* which looks for leaks with it */
	FAIL_IF(ptrace(PTRACE_TRACEME, 0, NULL, NULL) != -1 || errno != EPERM);
#endif
	FAIL_IF(syscall(SYS_mount, NULL, NULL, NULL, 0, NULL) != -1 || errno != EPERM);
	FAIL_IF(syscall(SYS_clock_settime, CLOCK_REALTIME, NULL) != -1 || errno != EPERM);
	FAIL_IF(fchown(-1, 0, 0) != -1 || errno != EPERM);
	FAIL_IF(syscall(SYS_io_uring_setup, 0, NULL) != -1 || errno != EPERM);
	FAIL_IF(syscall(SYS_finit_module, -1, "", 0) != -1 || errno != EPERM);
	return 0;
}

static int kinds_are_raised_one_by_one(void)
{
	uint64_t before = effective(), had = before & 1ULL << CAP_DAC_OVERRIDE;

	privilege__raise(PRIVILEGE_FILES);
	privilege__lower(PRIVILEGE_FILES);
	FAIL_IF(effective() != before); /* nothing before privilege__keep */
	FAIL_IF(privilege__keep(PRIVILEGE(FILES)));
	FAIL_IF(effective() & 1ULL << CAP_DAC_OVERRIDE);
	FAIL_IF(effective() & 1ULL << CAP_SYS_ADMIN);
	before = effective();
	privilege__raise(PRIVILEGE_FILES);
	FAIL_IF(effective() != (before | had));
	privilege__lower(PRIVILEGE_FILES);
	FAIL_IF(effective() != before);
	privilege__raise(PRIVILEGE_PAGE_FRAMES); /* was not kept */
	FAIL_IF(effective() != before);
	return 0;
}

static void refused(void **state)
{
	assert_int_equal(in_child(calls_are_refused), 0);
}

static void raised(void **state)
{
	assert_int_equal(in_child(kinds_are_raised_one_by_one), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(refused), cmocka_unit_test(raised)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
