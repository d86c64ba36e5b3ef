/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fast mode's writing into a process: a target that verifies its own memory, with threads, signals,
 * forks and waits, is patched and unpatched, the writer killed at every step.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "elf/allocs.h"
#include "fast/inject.h"
#include "sys/procmap.h"

#if defined(__x86_64__)

#define THREADS 3

struct report {
	uint64_t rounds[THREADS + 1], signals, errors, children;
	int quit;
};
static struct report *rep;

static void check_bytes(const uint8_t *p, size_t n, uint8_t v)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != v) {
			__atomic_add_fetch(&rep->errors, 1, __ATOMIC_RELAXED);
			return;
		}
	}
}

static void on_signal(int sig)
{
	rep->signals++;
}

/* Doubles are kept over allocations, so that lost vector registers show. */
static void churn(uint64_t *rounds, unsigned int seed)
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

static void *thread(void *arg)
{
	stack_t ss = {.ss_sp = malloc(65536), .ss_size = 65536}, old;
	uintptr_t i = (uintptr_t)arg;

	sigaltstack(&ss, &old);
	churn(&rep->rounds[i], i * 77);
	sigaltstack(&old, NULL);
	free(ss.ss_sp);
	return NULL;
}

static void target(void)
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
	struct site *sites;
	struct fast_plan plan;
};

/* meanwhile: what happens to the process between the look at its mappings and that at its code. */
static int plan_libc_while(int pid, void (*meanwhile)(int pid), struct planned *out, char *why)
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

static bool plan_libc(int pid, struct planned *out, char *why)
{
	return !plan_libc_while(pid, NULL, out, why) && !*why;
}

static void unplan(struct planned *p)
{
	fast_plan__fini(&p->plan);
	free(p->sites);
	elfobj__close(p->e);
}

static pid_t start_target(void)
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
static void check_target(pid_t pid, const char *when)
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

static void end_target(pid_t pid)
{
	int status;

	rep->quit = 1;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(rep->errors, 0);
	munmap(rep, sizeof(*rep));
}

static bool same_code(int pid, const struct fast_plan *plan)
{
	struct procmem *mem;
	bool same = true;

	assert_int_equal(procmem__open(pid, &mem), 0);
	for (size_t i = 0; i < plan->n; i++) {
		const struct entry *e = &plan->funcs[i].stub.entry;
		uint8_t now[ENTRY_LOOK];

		if (!plan->funcs[i].hooked)
			continue;
		assert_int_equal(procmem__read(mem, e->addr, now, e->back - e->addr), 0);
		same &= !memcmp(now, e->code, e->back - e->addr);
	}
	procmem__close(mem);
	return same;
}

static void goes_in_and_out(void **state)
{
	int cycles = getenv("FAST_CYCLES") ? atoi(getenv("FAST_CYCLES")) : 5;
	pid_t pid = start_target();
	struct fast_left left;
	char why[FAST_WHY];
	struct planned p;

	if (!plan_libc(pid, &p, why))
		fail_msg("libc: %s", why);
	assert_true(p.plan.hooked >= 6);
	for (int i = 0; i < cycles; i++) {
		struct fast f;

		if (fast__map(pid, NULL, &p.plan, 4096, &f, why))
			fail_msg("map: %s", why);
		assert_true(same_code(pid, &p.plan));
		if (fast__patch(&f, why))
			fail_msg("patch: %s", why);
		assert_false(same_code(pid, &p.plan));
		check_target(pid, "patched");
		if (fast__unpatch(&f, why))
			fail_msg("unpatch: %s", why);
		assert_true(same_code(pid, &p.plan));
		fast__fini(&f);
		assert_int_equal(fast__clean(pid, NULL, true, &left, why), 0);
		assert_int_equal(left.patched, 0);
	}
	check_target(pid, "at the end");
	if (geteuid() == 0)
		assert_int_equal(left.regions, 1); /* used again */
	unplan(&p);
	end_target(pid);
}

static int word[2]; /* pipe: the child is told to go on by its end, and tells by its end */
static int news[2];

/* A child that waits, then calls exec. */
static pid_t start_waiting(void)
{
	char c;
	pid_t pid;

	assert_int_equal(pipe2(word, O_CLOEXEC), 0);
	assert_int_equal(pipe2(news, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(word[1]);
		close(news[0]);
		if (!read(word[0], &c, 1))
			execlp("sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	close(word[0]);
	close(news[1]);
	return pid;
}

static void let_exec(int pid)
{
	char c;

	close(word[1]);
	assert_int_equal(read(news[0], &c, 1), 0); /* closed by its exec */
	close(news[0]);
}

static void let_end(int pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(word[1]);
	close(news[0]);
}

/* One that calls exec or ends while it is looked at is gone, not refused. */
static void gone_is_not_refused(void **state)
{
	void (*const how[])(int) = {let_exec, let_end};

	for (int i = 0; i < 2; i++) {
		pid_t pid = start_waiting();
		char why[FAST_WHY];
		struct planned p;

		assert_int_equal(plan_libc_while(pid, how[i], &p, why), -ESRCH);
		assert_string_equal(why, "");
		unplan(&p);
		if (how[i] == let_exec) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
	}
}

static int steps_left;

static void kill_at_step(const char *what)
{
	log_debug("fast: %d steps left, %s", --steps_left, what);
	if (!steps_left)
		raise(SIGKILL);
}

/* An injector of its own, which kills itself at a step. Its status. */
static int inject_killed(pid_t pid, int step)
{
	pid_t c = fork();
	int status;

	if (!c) {
		struct planned p;
		struct fast f;
		char why[FAST_WHY];

		log__set_level(getenv("FAST_LOG") ? LOG_DEBUG : LOG_ERROR);
		if (!plan_libc(pid, &p, why))
			_exit(3);
		steps_left = step;
		remote__on_step = kill_at_step;
		if (fast__map(pid, NULL, &p.plan, 4096, &f, why) || fast__patch(&f, why) ||
		    fast__unpatch(&f, why)) {
			fprintf(stderr, "step %d: %s\n", step, why);
			_exit(2);
		}
		_exit(0);
	}
	waitpid(c, &status, 0);
	return status;
}

/* Each time a target that nothing was mapped into yet, so that every step comes up. */
static bool killed_at(int step)
{
	char why[FAST_WHY], when[64];
	pid_t pid = start_target();
	struct fast_left left;
	struct planned p;
	int status;

	if (!plan_libc(pid, &p, why))
		fail_msg("libc: %s", why);
	status = inject_killed(pid, step);
	snprintf(when, sizeof(when), "killed at step %d", step);
	check_target(pid, when);
	if (fast__clean(pid, NULL, false, &left, why))
		fail_msg("%s: clean: %s", when, why);
	assert_true(same_code(pid, &p.plan));
	check_target(pid, when);
	unplan(&p);
	end_target(pid);
	if (WIFEXITED(status))
		assert_int_equal(WEXITSTATUS(status), 0);
	else
		assert_int_equal(WTERMSIG(status), SIGKILL);
	return WIFSIGNALED(status);
}

static void killed_at_every_step(void **state)
{
	int step = 1;

	while (step < 200 && killed_at(step))
		step++;
	print_message("killed at %d steps\n", step - 1);
	assert_true(step > 30 && step < 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gone_is_not_refused),
		cmocka_unit_test(goes_in_and_out),
		cmocka_unit_test(killed_at_every_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void)
{
	return 0;
}
#endif
