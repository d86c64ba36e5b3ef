/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * soak - a life of months in minutes: processes come and go under an observer with allocator probes
 * and page faults, libraries are opened and closed, programs are replaced; what memwatch holds is
 * printed and must stay flat after a warm-up. Usage: soak PROCESSES DLOPENS EXECS [all]. all: the
 * observer is system-wide, and the machine's other processes come and go, too; only for a machine
 * on which little else runs. Exit status 0: flat; 1: not.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "model/heap.h"
#include "observe/observer_priv.h"
#include "sys/statm.h"

#define AT_ONCE 16
#define KNOWN_ALLOCS 200 /* of some_work */
#define SLACK 64 /* entries */
#define LIBRARY "libresolv.so.2"

struct sizes {
	uint64_t rss, fds, threads;
	struct footprint_row row[FOOTPRINT_ROWS];
	size_t n;
};

static uint64_t descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void drain(struct observer *o)
{
	for (int i = 0; i < 8; i++) {
		while (observer__poll(o) > 0)
			;
	}
}

/* enough: so many descriptors are not too many; probes are closed beside the loop, which takes its
 * time. */
static void measure(struct observer *o, struct sizes *s, uint64_t enough)
{
	struct statm self;

	drain(o);
	for (int tries = 0; tries < 300; tries++) {
		s->fds = descriptors();
		if (s->fds <= enough)
			break;
		poll(NULL, 0, 100);
	}
	observer__compact(o); /* waste that waits for more of it is none of a leak */
	statm__read(getpid(), &self);
	s->rss = self.rss;
	s->n = observer__footprint(o, s->row);
}

/* --- what is observed; these run in children --- */

static void some_work(void)
{
	void *p[50];

	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 50; i++) {
			p[i] = malloc(1000 + i * 100);
			memset(p[i], 1, 1000);
		}
		for (int i = round == 3 ? 10 : 0; i < 50; i++)
			free(p[i]);
	}
}

static void open_and_close(int n)
{
	for (int i = 0; i < n; i++) {
		void *lib = dlopen(LIBRARY, RTLD_NOW);

		some_work();
		if (lib)
			dlclose(lib);
	}
}

/* The child side: argv = soak child N-EXECS-LEFT. */
static int again(int left)
{
	char number[16], *argv[] = {"soak", "child", number, NULL};

	some_work();
	if (!left)
		return 0;
	snprintf(number, sizeof(number), "%d", left - 1);
	execv("/proc/self/exe", argv);
	return 1;
}

/* --- the observer's side --- */

struct child {
	pid_t pid;
	int go; /* closed: it may run */
};

static struct child start(void (*work)(int), int arg)
{
	struct child c = {0};
	int fd[2];
	char byte;

	if (pipe(fd))
		exit(2);
	c.pid = fork();
	if (!c.pid) {
		close(fd[1]);
		if (read(fd[0], &byte, 1) < 0)
			_exit(1);
		close(fd[0]);
		work(arg);
		_exit(0);
	}
	close(fd[0]);
	c.go = fd[1];
	return c;
}

static void work_some(int n)
{
	some_work();
}

static void work_exec(int n)
{
	again(n);
}

/* An index that another process had before has the new one's numbers, and its stacks. */
static void check(const struct observer *o, const struct target *t, bool is_known)
{
	const struct heap_target *h = &observer__heap(o)->targets[t->index];

	if (!h->late_stacks && !h->implied_frees &&
	    (!is_known || (h->alloc_objects >= KNOWN_ALLOCS && h->alloc_objects < KNOWN_ALLOCS + 50)))
		return;
	fprintf(stderr,
		"soak: index %u: %.0f allocations, %llu without their stack, %llu frees missed\n",
		t->index, h->alloc_objects, (unsigned long long)h->late_stacks,
		(unsigned long long)h->implied_frees);
	exit(1);
}

/* Processes from their attach to their end, all at once, and let go. */
static void lives(struct observer *o, void (*work)(int), int arg, int n)
{
	struct child c[AT_ONCE];
	const struct target *t[AT_ONCE];

	for (int i = 0; i < n; i++) {
		c[i] = start(work, arg);
		if (observer__add(o, c[i].pid, &t[i])) {
			fprintf(stderr, "soak: failed to attach to %d: %s\n", c[i].pid,
				observer__error());
			exit(1);
		}
	}
	for (int i = 0; i < n; i++)
		close(c[i].go);
	for (int i = 0; i < n; i++) {
		while (waitpid(c[i].pid, NULL, WNOHANG) == 0) {
			struct pollfd p = {.fd = observer__fd(o), .events = POLLIN};

			poll(&p, 1, 2);
			observer__poll(o);
		}
	}
	drain(o);
	for (int i = 0; i < n; i++) {
		check(o, t[i], work == work_some);
		observer__remove_target(o, t[i]);
	}
}

static void print(const char *when, const struct sizes *s)
{
	uint64_t entries = 0, bytes = 0;

	for (size_t i = 0; i < s->n; i++) {
		entries += s->row[i].in_kernel ? s->row[i].entries : 0;
		bytes += s->row[i].in_kernel ? 0 : s->row[i].bytes;
	}
	printf("%-28s RSS %7.1f MiB, tables %6.2f MiB, %4llu descriptors, %6llu entries in the "
	       "kernel\n",
	       when, s->rss / 1048576.0, bytes / 1048576.0, (unsigned long long)s->fds,
	       (unsigned long long)entries);
	fflush(stdout);
}

/* Flat: no table has more than half as much again as after the warm-up, and some. */
static int compare(const struct sizes *was, const struct sizes *is)
{
	int bad = 0;

	for (size_t i = 0; i < is->n; i++) {
		const struct footprint_row *a = &was->row[i], *b = &is->row[i];

		if (b->entries > a->entries + a->entries / 2 + SLACK ||
		    b->bytes > a->bytes + a->bytes / 2 + (1 << 20)) {
			printf("NOT FLAT: %s: %llu entries, %llu bytes; were %llu, %llu\n", b->name,
			       (unsigned long long)b->entries, (unsigned long long)b->bytes,
			       (unsigned long long)a->entries, (unsigned long long)a->bytes);
			bad = 1;
		}
	}
	if (is->rss > was->rss + was->rss / 4 + (4 << 20) || is->fds > was->fds + 16) {
		printf("NOT FLAT: RSS %llu, %llu descriptors; were %llu, %llu\n",
		       (unsigned long long)is->rss, (unsigned long long)is->fds,
		       (unsigned long long)was->rss, (unsigned long long)was->fds);
		bad = 1;
	}
	return bad;
}

static void processes(struct observer *o, int n)
{
	for (int i = 0; i < n; i += AT_ONCE)
		lives(o, work_some, 0, AT_ONCE);
}

int main(int argc, char **argv)
{
	struct observer_opts opts = {
		.sample_bytes = 1, .fault_period = 64, .faults_all = argc == 5};
	struct sizes warm, now;
	struct observer *o = NULL;
	int n, dls, execs, bad = 0;

	if (argc == 3 && !strcmp(argv[1], "child"))
		return again(atoi(argv[2]));
	if (argc < 4)
		return 2;
	n = atoi(argv[1]), dls = atoi(argv[2]), execs = atoi(argv[3]);
	if (observer__new(&opts, &o)) {
		fprintf(stderr, "soak: %s\n", observer__error());
		return 2;
	}
	processes(o, n / 4);
	lives(o, open_and_close, dls / 4, 1);
	lives(o, work_exec, execs / 4, 1);
	measure(o, &warm, descriptors() + 16);
	print("after the warm-up", &warm);
	processes(o, n - n / 4);
	measure(o, &now, warm.fds + 16);
	print("after the processes", &now);
	bad |= compare(&warm, &now);
	lives(o, open_and_close, dls, 1);
	measure(o, &now, warm.fds + 16);
	print("after dlopen and dlclose", &now);
	bad |= compare(&warm, &now);
	lives(o, work_exec, execs, 1);
	measure(o, &now, warm.fds + 16);
	print("after the execs", &now);
	bad |= compare(&warm, &now);
	for (size_t i = 0; i < now.n; i++)
		printf("  %-28s %10llu bytes %8llu entries%s\n", now.row[i].name,
		       (unsigned long long)now.row[i].bytes, (unsigned long long)now.row[i].entries,
		       now.row[i].in_kernel ? " (kernel)" : "");
	observer__free(o);
	printf(bad ? "not flat\n" : "flat\n");
	return bad;
}
