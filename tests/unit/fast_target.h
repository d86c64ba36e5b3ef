/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fast_target.h - for tests of fast mode's writing into a process: a target that verifies its own
 * memory, with threads, signals, forks and waits; the plan for its C library, which is a copy of
 * the one that there is; the steps in and out again, as often as a busy machine has them tried.
 */
#ifndef TESTS_FAST_TARGET_H
#define TESTS_FAST_TARGET_H

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "elf/allocs.h"
#include "fast/inject.h"
#include "sys/procmap.h"

#define THREADS 3
#define OWN_LIBC "FAST_TEST_LIBC"

struct report {
	uint64_t rounds[THREADS + 1], signals, errors, children;
	int quit;
};
static struct report *rep;

static inline void check_bytes(const uint8_t *p, size_t n, uint8_t v)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != v) {
			__atomic_add_fetch(&rep->errors, 1, __ATOMIC_RELAXED);
			return;
		}
	}
}

static inline void on_signal(int sig)
{
	rep->signals++;
}

/* Doubles are kept over allocations, so that lost vector registers show. */
static inline void churn(uint64_t *rounds, unsigned int seed)
{
	struct {
		uint8_t *p;
		size_t n;
		uint8_t v;
	} b[32] = {0};
	volatile double acc = 1;
	double x[8];

	for (int i = 0; i < 8; i++)
		x[i] = 1.5 + i;
	while (!__atomic_load_n(&rep->quit, __ATOMIC_RELAXED)) {
		int at = rand_r(&seed) % 32;

		check_bytes(b[at].p, b[at].p ? b[at].n : 0, b[at].v);
		b[at].v = rand_r(&seed);
		b[at].n = 1 + rand_r(&seed) % 2000;
		switch (rand_r(&seed) % 4) {
		case 0: b[at].p = realloc(b[at].p, b[at].n); break;
		case 1:
			free(b[at].p);
			b[at].p = calloc(1, b[at].n);
			check_bytes(b[at].p, b[at].n, 0);
			break;
		case 2:
			free(b[at].p);
			if (posix_memalign((void **)&b[at].p, 64, b[at].n))
				abort();
			break;
		default: free(b[at].p); b[at].p = malloc(b[at].n);
		}
		if (!b[at].p)
			abort();
		memset(b[at].p, b[at].v, b[at].n);
		for (int i = 0; i < 8; i++)
			acc += x[i];
		for (int i = 0; i < 8; i++) {
			if (x[i] != 1.5 + i)
				rep->errors++;
		}
		(*rounds)++;
	}
	for (int i = 0; i < 32; i++)
		free(b[i].p);
}

static inline void *thread(void *arg)
{
	stack_t ss = {.ss_sp = malloc(65536), .ss_size = 65536}, old;
	uintptr_t i = (uintptr_t)arg;

	sigaltstack(&ss, &old);
	churn(&rep->rounds[i], i * 77);
	sigaltstack(&old, NULL);
	free(ss.ss_sp);
	return NULL;
}

static inline void target(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_RESTART};
	struct itimerval it = {{0, 2000}, {0, 2000}};
	pthread_t t[THREADS];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGPROF, &sa, NULL);
	setitimer(ITIMER_PROF, &it, NULL);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, thread, (void *)i);
	while (!__atomic_load_n(&rep->quit, __ATOMIC_RELAXED)) {
		pid_t c = fork();
		int status = 1;

		if (!c) {
			for (int i = 0; i < 100; i++)
				free(malloc(i * 10));
			_exit(0);
		}
		while (waitpid(c, &status, 0) < 0 && errno == EINTR)
			;
		if (status)
			rep->errors++;
		rep->children++;
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	exit(0);
}

/* The plan for the C library of a process. */
struct planned {
	struct elfobj *e;
	int fd;
	struct site *sites;
	struct fast_plan plan;
};

/* meanwhile: what happens to the process between the look at its mappings and that at its code. */
static inline int plan_libc_while(int pid, void (*meanwhile)(int pid), struct planned *out,
				  char *why)
{
	struct procmap *maps;
	struct procmem *mem;
	struct alloc_func *funcs;
	size_t n;
	bool found = false;
	int err = 0;

	memset(out, 0, sizeof(*out));
	assert_int_equal(procmap__read(pid, &maps), 0);
	assert_int_equal(procmem__open(pid, &mem), 0);
	if (meanwhile)
		meanwhile(pid);
	for (size_t i = 0; i < maps->n && !found; i++) {
		const struct procmap_entry *e = &maps->entries[i];
		const char *name = strrchr(e->path, '/');
		uint64_t vaddr;
		int fd;

		if (!(e->prot & PROCMAP_X) || !name || strncmp(name, "/libc.so", 8))
			continue;
		fd = open(e->path, O_RDONLY | O_CLOEXEC);
		out->fd = dup(fd);
		assert_int_equal(elfobj__open_fd(fd, e->path, &out->e), 0);
		assert_int_equal(allocs__find(out->e, &funcs, &n), 0);
		assert_int_equal(site__choose(out->e, funcs, n, &out->sites), 0);
		free(funcs);
		assert_true(elfobj__off_to_vaddr(out->e, e->offset, &vaddr));
		err = fast_plan__read(out->e, out->sites, n, e->start - vaddr, &out->plan);
		if (!err)
			err = fast_plan__check(&out->plan, mem);
		strcpy(why, out->plan.why);
		found = true;
	}
	procmap__free(maps);
	procmem__close(mem);
	assert_true(found);
	return err;
}

static inline bool plan_libc(int pid, struct planned *out, char *why)
{
	return !plan_libc_while(pid, NULL, out, why) && !*why;
}

static inline void unplan(struct planned *p)
{
	fast_plan__fini(&p->plan);
	free(p->sites);
	close(p->fd);
	elfobj__close(p->e);
}

/* On a busy machine a thread may take longer to stop than a process is held up for. */
static inline bool must_wait(int err)
{
	return err == -ETIMEDOUT || err == -EAGAIN;
}

static inline int map_in(pid_t pid, struct planned *p, struct fast *f, char *why)
{
	int err;

	do
		err = fast__map(pid, NULL, &p->plan, p->fd, 4096, f, why);
	while (must_wait(err));
	return err;
}

static inline int patch_in(const struct fast *f, char *why)
{
	int err;

	do
		err = fast__patch(f, why);
	while (must_wait(err));
	return err;
}

static inline int take_out(const struct fast *f, char *why)
{
	int err;

	do
		err = fast__unpatch(f, why);
	while (must_wait(err));
	return err;
}

static inline pid_t start_target(void)
{
	pid_t pid;

	rep = mmap(NULL, sizeof(*rep), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (!pid)
		target();
	while (!rep->children || !rep->rounds[THREADS - 1])
		usleep(1000);
	return pid;
}

/* Goes on, and everything it has is right. */
static inline void check_target(pid_t pid, const char *when)
{
	uint64_t rounds[THREADS], children = rep->children;

	memcpy(rounds, rep->rounds, sizeof(rounds));
	for (int i = 0; i < 120000; i++) { /* as long as a busy machine may take */
		bool all = rep->children > children;
		int status;

		for (int k = 0; k < THREADS; k++)
			all &= rep->rounds[k] > rounds[k] + 20;
		if (waitpid(pid, &status, WNOHANG))
			fail_msg("%s: the target died, status %x", when, status);
		if (rep->errors)
			fail_msg("%s: %lu errors", when, (unsigned long)rep->errors);
		if (all)
			return;
		usleep(1000);
	}
	fail_msg("%s: the target hangs", when);
}

static inline void end_target(pid_t pid)
{
	int status;

	rep->quit = 1;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(rep->errors, 0);
	munmap(rep, sizeof(*rep));
}

/* Others, on the same machine, may have probes on the C library's functions at any time: it is a
 * copy of it that is written into here. The directory of that, or NULL. */
static inline char *copy_libc(void)
{
	char *dir = strdup("/tmp/memwatch-libc-XXXXXX"), command[PATH_MAX * 2];
	struct procmap *maps;
	bool found = false;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(procmap__read(getpid(), &maps), 0);
	for (size_t i = 0; i < maps->n && !found; i++) {
		const char *path = maps->entries[i].path, *name = strrchr(path, '/');

		if (!name || strncmp(name, "/libc.so", 8))
			continue;
		snprintf(command, sizeof(command), "cp '%s' '%s%s'", path, dir, name);
		found = !system(command);
	}
	procmap__free(maps);
	assert_true(found);
	return dir;
}

/* Runs this program anew with that copy, and returns its status. */
static inline int run_with_own_libc(char **argv)
{
	char *dir = copy_libc(), command[PATH_MAX];
	int status = -1;
	pid_t pid;

	setenv(OWN_LIBC, dir, 1);
	setenv("LD_LIBRARY_PATH", dir, 1);
	pid = fork();
	if (!pid) {
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	free(dir);
	return system(command) || !WIFEXITED(status) ? 1 : WEXITSTATUS(status);
}

#endif
