/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/status, from texts of real kernels and of this process; what it was started as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/boot.h"
#include "sys/proc_image.h"
#include "sys/proc_status.h"
#include "sys/proc_task.h"

static void a_thread_in_a_container(void **state)
{
	char text[] =
		"Name:\tNSpid:\t7\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t4711\nNgid:\t0\n"
		"Pid:\t4712\nPPid:\t1\nTracerPid:\t99\nUid:\t1000\t1001\t1000\t1000\n"
		"NStgid:\t4711\t12\nNSpid:\t4712\t13\nVmPeak:\t    2048 kB\n"
		"VmSize:\t    1024 kB\nVmLck:\t       4 kB\nVmHWM:\t     512 kB\n"
		"RssAnon:\t     100 kB\nRssFile:\t      50 kB\nRssShmem:\t       8 kB\n"
		"VmPTE:\t      40 kB\nVmSwap:\t      12 kB\nThreads:\t3\nSeccomp:\t2\n"
		"x86_Thread_features:\tshstk \n";
	static const uint64_t want[PROC_SIZES] = {2048, 1024, 4, 512, 100, 50, 8, 40, 12};
	struct proc_status s;

	proc_status__parse(text, &s);
	assert_int_equal(s.tgid, 4711);
	assert_int_equal(s.ns_pid, 13);
	assert_int_equal(s.tracer, 99);
	assert_int_equal(s.uid, 1000);
	assert_int_equal(s.euid, 1001);
	assert_int_equal(s.threads, 3);
	assert_true(s.filters && s.shadow_stack && s.has_memory);
	for (int i = 0; i < PROC_SIZES; i++)
		assert_int_equal(s.size[i], want[i] << 10);
}

static void a_kernel_thread(void **state)
{
	char text[] = "Name:\tkthreadd\nTgid:\t2\nPid:\t2\nTracerPid:\t0\nUid:\t0\t0\t0\t0\n"
		      "Threads:\t1\nSeccomp:\t0\nx86_Thread_features:\t\n";
	struct proc_status s;

	proc_status__parse(text, &s);
	assert_int_equal(s.tgid, 2);
	assert_int_equal(s.ns_pid, 0);
	assert_false(s.filters || s.shadow_stack || s.has_memory || s.tracer);
}

/* What stands behind the list of its groups is read, too. */
static void a_process_of_very_many_groups(void **state)
{
	static gid_t groups[65536];
	struct proc_status s;
	int to[2], from[2];
	pid_t pid;

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		groups[i] = 4000000000u + (gid_t)i;
	assert_int_equal(pipe(to) || pipe(from), 0);
	pid = fork();
	if (!pid) {
		char c = setgroups(ARRAY_SIZE(groups), groups) ? 'n' : 'y';

		if (write(from[1], &c, 1) == 1 && read(to[0], &c, 1) == 1)
			_exit(0);
		_exit(1);
	}
	char may = 'n';

	assert_int_equal(read(from[0], &may, 1), 1);
	assert_int_equal(proc_status__read(pid, &s), 0);
	assert_int_equal(write(to[1], "x", 1), 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	for (int i = 0; i < 2; i++) {
		close(to[i]);
		close(from[i]);
	}
	assert_true(s.has_memory && s.threads == 1 && s.size[PROC_VM_SIZE]);
	if (may == 'n') /* not root's */
		skip();
}

static void this_process(void **state)
{
	cleanup_free char *command = NULL, *arguments = NULL;
	char path[4096], exe[4096], boot[BOOT_ID];
	struct proc_status s;
	uint64_t entry;
	ssize_t n;
	int fd, adj;

	assert_int_equal(proc_status__read(getpid(), &s), 0);
	assert_int_equal(s.tgid, getpid());
	assert_int_equal(s.uid, getuid());
	assert_true(s.size[PROC_VM_SIZE] >= s.size[PROC_RSS_ANON] && s.size[PROC_RSS_ANON]);
	assert_int_equal(proc_status__read(0x7ffffff0, &s), -ESRCH);

	n = proc_image__arguments(getpid(), 4096, &arguments);
	command = proc_image__command(getpid(), 4096);
	assert_true(n > 1 && !arguments[n - 1]);
	assert_non_null(command);
	assert_int_equal(strlen(command), n - 1);
	assert_null(proc_image__command(0x7ffffff0, 4096));
	proc_image__put_command(getpid(), path, sizeof(path));
	assert_string_equal(path, command);
	proc_image__put_command(getpid(), path, 5);
	assert_true(strlen(path) == 4 && !strncmp(path, command, 4));
	proc_image__put_command(0x7ffffff0, path, sizeof(path));
	assert_string_equal(path, "");

	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[max_of(n, 0)] = 0;
	proc_image__path(getpid(), path, sizeof(path));
	assert_string_equal(path, exe);
	fd = proc_image__open(getpid());
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(proc_image__open(0x7ffffff0), -ESRCH);

	assert_int_equal(proc_image__auxv(getpid(), AT_ENTRY, &entry), 0);
	assert_int_equal(entry, getauxval(AT_ENTRY));
	assert_int_equal(proc_image__auxv(getpid(), 0xfffff, &entry), -ENOENT);

	assert_int_equal(proc_task__comm(getpid(), path, sizeof(path)), 0);
	assert_true(*path && !strchr(path, '\n'));
	assert_int_equal(proc_task__oom_score_adj(getpid(), &adj), 0);
	assert_true(adj >= -1000 && adj <= 1000);
	assert_int_equal(proc_task__oom_score_adj(0x7ffffff0, &adj), -ESRCH);

	assert_int_equal(boot__id(boot), 0);
	assert_int_equal(strlen(boot), 36);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_in_a_container),
		cmocka_unit_test(a_kernel_thread),
		cmocka_unit_test(a_process_of_very_many_groups),
		cmocka_unit_test(this_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
