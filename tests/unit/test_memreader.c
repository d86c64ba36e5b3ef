/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory is read by a process that can be left behind: what it does not answer costs what was asked
 * for, and no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/util.h"
#include "sys/memreader.h"
#include "sys/proc_task.h"
#include "sys/procmem.h"

#ifndef PR_SET_PTRACER
#define PR_SET_PTRACER 0x59616d61
#endif

#define PAGE 4096UL
#define PAGES 400UL /* more than one answer brings */

/* Pages numbered by their first word, as the target has them; the fourth is not there. */
static char *area;

static pid_t start_target(void)
{
	int pair[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(pair), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PTRACER, -1UL, 0, 0, 0); /* where only ancestors may look */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (uint64_t i = 0; i < PAGES; i++)
			memcpy(area + i * PAGE, &i, sizeof(i));
		munmap(area + 3 * PAGE, PAGE);
		if (write(pair[1], "", 1) != 1)
			_exit(1);
		pause();
		execl("/bin/sleep", "sleep", "100", (char *)NULL);
		_exit(1);
	}
	assert_int_equal(read(pair[0], &c, 1), 1);
	close(pair[0]);
	close(pair[1]);
	return pid;
}

static void end_target(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* The process that reads, which is a child of a child. */
static int find_reader(void *arg, pid_t pid)
{
	struct proc_identity id, parent;
	pid_t *ret = arg;

	if (!proc_task__identity(pid, &id) && !strcmp(id.comm, "memwatch-memory") &&
	    id.ppid != getpid() && !proc_task__identity(id.ppid, &parent) &&
	    parent.ppid == getpid())
		*ret = pid;
	return 0;
}

static pid_t reader(void)
{
	pid_t pid = 0;

	proc_task__each_pid(find_reader, &pid);
	assert_true(pid > 0);
	return pid;
}

static uint64_t word_of(struct procmem *m, size_t page)
{
	uint64_t v = UINT64_MAX;

	assert_int_equal(procmem__read_u64(m, (uintptr_t)area + page * PAGE, &v), 0);
	return v;
}

static void whole_or_not(void **state)
{
	cleanup_free char *buf = malloc(PAGES * PAGE);
	pid_t pid = start_target();
	struct procmem *m;
	uint64_t v;

	assert_int_equal(procmem__open(pid, &m), 0);
	assert_int_equal(word_of(m, 5), 5);
	assert_int_equal(procmem__read(m, (uintptr_t)area + 4 * PAGE, buf, (PAGES - 4) * PAGE), 0);
	for (uint64_t i = 4; i < PAGES; i++) /* in more than one call */
		assert_memory_equal(buf + (i - 4) * PAGE, &i, sizeof(i));
	assert_int_equal(procmem__read(m, (uintptr_t)area, buf, 4 * PAGE), -EFAULT);
	assert_int_equal(procmem__read_u64(m, (uintptr_t)area + 4 * PAGE - 4, &v), -EFAULT);
	assert_int_equal(procmem__read_u64(m, UINT64_MAX - 3, &v), -EFAULT);
	procmem__close(m);
	end_target(pid);
}

static void pieces_by_themselves(void **state)
{
	static struct procmem_piece p[3 * MEMREADER_PARTS];
	static uint64_t got[3 * MEMREADER_PARTS];
	pid_t pid = start_target();
	struct procmem *m;

	assert_int_equal(procmem__open(pid, &m), 0);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = (struct procmem_piece){.addr = (uintptr_t)area + i % PAGES * PAGE,
					      .to = &got[i],
					      .len = i % 7 ? sizeof(got[i]) : 0};
	procmem__read_pieces(m, p, ARRAY_SIZE(p));
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		assert_int_equal(p[i].is_read, !p[i].len || i % PAGES != 3);
		assert_int_equal(got[i], p[i].len && i % PAGES != 3 ? i % PAGES : 0);
	}
	procmem__close(m);
	end_target(pid);
}

static void another_image(void **state)
{
	pid_t pid = start_target();
	struct procmem *m;
	uint64_t v;

	assert_int_equal(procmem__open(pid, &m), 0);
	assert_int_equal(word_of(m, 5), 5);
	assert_true(procmem__alive(m));
	end_target(pid);
	assert_false(procmem__alive(m));
	assert_int_equal(procmem__read_u64(m, (uintptr_t)area, &v), -ESRCH);
	procmem__close(m);
	assert_int_equal(procmem__open(pid, &m), -ESRCH);
}

static void after_exec(void **state)
{
	int pair[2];
	struct procmem *m;
	uint64_t v = 5;
	pid_t pid;

	assert_int_equal(pipe(pair), 0);
	pid = fork();
	if (!pid) {
		char c;

		prctl(PR_SET_PTRACER, -1UL, 0, 0, 0);
		if (read(pair[0], &c, 1) == 1)
			execl("/bin/sleep", "sleep", "100", (char *)NULL);
		_exit(1);
	}
	assert_int_equal(procmem__open(pid, &m), 0);
	assert_int_equal(procmem__read_u64(m, (uintptr_t)&v, &v), 0);
	assert_int_equal(write(pair[1], "", 1), 1);
	while (procmem__alive(m))
		usleep(1000);
	assert_int_equal(procmem__read_u64(m, (uintptr_t)&v, &v), -ESRCH);
	procmem__close(m);
	close(pair[0]);
	close(pair[1]);
	end_target(pid);
}

/* What a helper is given: it leads to this memory and to no other, and ends with the helper. */
static void for_a_helper(void **state)
{
	cleanup_free char *buf = malloc(PAGES * PAGE);
	pid_t pid = start_target(), before;
	struct memreader_meter *meter;
	struct procmem *m, *h;
	char *window;
	uint64_t v;
	int fd;

	assert_int_equal(procmem__open(pid, &m), 0);
	fd = procmem__hand_over(m, &meter);
	assert_true(fd >= 0);
	assert_int_equal(procmem__adopt(fd, &h), 0);
	assert_int_equal(word_of(h, 5), 5);
	assert_int_equal(procmem__read(h, (uintptr_t)area + 4 * PAGE, buf, (PAGES - 4) * PAGE), 0);
	for (uint64_t i = 4; i < PAGES; i++)
		assert_memory_equal(buf + (i - 4) * PAGE, &i, sizeof(i));
	assert_int_equal(procmem__read(h, (uintptr_t)area, buf, 4 * PAGE), -EFAULT);
	assert_true(procmem__alive(h));
	window = procmem__window(h);
	assert_int_equal(procmem__read(h, (uintptr_t)area + 7 * PAGE, window, 9 * PAGE), 0);
	assert_int_equal(word_of(h, 5), 5); /* and lets the window be */
	for (uint64_t i = 7; i < 16; i++)
		assert_memory_equal(window + (i - 7) * PAGE, &i, sizeof(i));
	assert_true(memreader_meter__cpu_ns(meter) > 0);
	before = memreader_meter__pid(meter);
	end_target(pid);
	assert_false(procmem__alive(h));
	assert_int_equal(procmem__read_u64(h, (uintptr_t)area + 5 * PAGE, &v), -ESRCH);
	procmem__close(h);
	while (!kill(before, 0))
		usleep(1000);
	memreader_meter__free(meter);
	procmem__close(m);
}

/* What reads for a helper dies: the helper is told. */
static void for_a_helper_and_dies(void **state)
{
	struct memreader_meter *meter;
	pid_t pid = start_target();
	struct procmem *m, *h;
	uint64_t v;

	assert_int_equal(procmem__open(pid, &m), 0);
	assert_int_equal(procmem__adopt(procmem__hand_over(m, &meter), &h), 0);
	assert_int_equal(word_of(h, 5), 5);
	kill(memreader_meter__pid(meter), SIGKILL);
	assert_int_equal(procmem__read_u64(h, (uintptr_t)area, &v), -EPIPE);
	assert_int_equal(procmem__read(h, (uintptr_t)area, procmem__window(h), PAGE), -EPIPE);
	procmem__close(h);
	memreader_meter__free(meter);
	procmem__close(m);
	end_target(pid);
}

/* A reader for a helper, which is left alone with it at once, and cannot end. 0 or -errno. */
static int leave_one(const struct procmem *m, pid_t *ret)
{
	struct memreader_meter *meter;
	int fd = procmem__hand_over(m, &meter);

	if (fd < 0)
		return fd;
	while (!memreader_meter__pid(meter))
		usleep(1000);
	*ret = memreader_meter__pid(meter);
	kill(*ret, SIGSTOP);
	memreader_meter__free(meter);
	close(fd);
	return 0;
}

/* Readers that do not end with their helpers are not without number. */
static void for_helpers_that_are_gone(void **state)
{
	pid_t pid = start_target(), left[64];
	struct procmem *m;
	size_t n = 0;
	int err = 0;

	assert_int_equal(procmem__open(pid, &m), 0);
	while (!err && n < ARRAY_SIZE(left)) {
		err = leave_one(m, &left[n]);
		n += !err;
	}
	assert_int_equal(err, -ETIMEDOUT);
	for (size_t i = 0; i < n; i++)
		kill(left[i], SIGKILL);
	while (!kill(left[0], 0))
		usleep(1000);
	assert_int_equal(leave_one(m, &left[0]), 0);
	kill(left[0], SIGKILL);
	procmem__close(m);
	end_target(pid);
}

static void one_that_dies(void **state)
{
	pid_t pid = start_target(), before;
	struct procmem *m;

	assert_int_equal(procmem__open(pid, &m), 0);
	assert_int_equal(word_of(m, 5), 5);
	before = reader();
	kill(before, SIGKILL);
	while (!kill(before, 0)) /* its parent lets it go */
		usleep(1000);
	assert_int_equal(word_of(m, 6), 6);
	assert_int_not_equal(reader(), before);
	procmem__close(m);
	end_target(pid);
}

static void one_that_waits(void **state)
{
	pid_t pid = start_target(), left;
	struct procmem *m, *again;
	uint64_t v;

	assert_int_equal(procmem__open(pid, &m), 0);
	assert_int_equal(word_of(m, 5), 5);
	left = reader();
	kill(left, SIGSTOP);
	assert_int_equal(procmem__read_u64(m, (uintptr_t)area, &v), -ETIMEDOUT);
	assert_int_equal(procmem__read_u64(m, (uintptr_t)area, &v), -ETIMEDOUT); /* not asked for */
	assert_int_equal(procmem__open(pid, &again), 0);
	assert_int_equal(word_of(again, 6), 6); /* by another */
	kill(left, SIGKILL);
	procmem__close(again);
	procmem__close(m);
	end_target(pid);
}

static int start(void **state)
{
	area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memreader__start();
	return area == MAP_FAILED;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_or_not),
		cmocka_unit_test(pieces_by_themselves),
		cmocka_unit_test(for_a_helper),
		cmocka_unit_test(another_image),
		cmocka_unit_test(for_helpers_that_are_gone),
		cmocka_unit_test(after_exec),
		cmocka_unit_test(one_that_dies),
		cmocka_unit_test(one_that_waits),
		cmocka_unit_test(for_a_helper_and_dies),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
