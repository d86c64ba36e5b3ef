/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mm.c - does what it is told with its address space and says so. One command a line on stdin:
 *   grow MiB | shrink | reserve GiB | file PATH | share MiB | cow MiB | cowwrite | huge MiB |
 *   saw MiB N | spike MiB | heapspike MiB | threads N | drop MiB | advise MiB | pageout MiB |
 *   loop MiB | exec | exit
 * Answers "ok COMMAND" when it is done.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define MB(n) ((size_t)(n) << 20)

static char *kept[1024];
static size_t kept_len[1024];
static int nkept;

static char *map(size_t len, int flags)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	if (flags & MAP_PRIVATE)
		madvise(p, len, MADV_NOHUGEPAGE);
	return p;
}

static __attribute__((noinline)) void touch(char *p, size_t len)
{
	for (size_t i = 0; i < len; i += 4096)
		p[i] = 1;
}

__attribute__((noinline)) void keeps(size_t len)
{
	char *p = map(len, MAP_PRIVATE);

	touch(p, len);
	kept[nkept] = p;
	kept_len[nkept++] = len;
}

/* Of malloc, and given back at once. */
static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Runs for some ticks of the kernel while it is high: a peak is known to a tick. */
__attribute__((noinline)) void heap_spike(size_t len)
{
	char *p = malloc(len);
	double end;

	touch(p, len);
	for (end = cpu_ms() + 40; cpu_ms() < end;)
		p[len / 2]++;
	free(p);
}

__attribute__((noinline)) void drops(size_t len)
{
	char *p = map(len, MAP_PRIVATE);

	touch(p, len);
	munmap(p, len);
}

__attribute__((noinline)) void advises(size_t len)
{
	char *p = map(len, MAP_PRIVATE);

	touch(p, len);
	madvise(p, len, MADV_DONTNEED);
}

/* Into swap, if there is any. */
static void pages_out(size_t len)
{
	char *p = map(len, MAP_PRIVATE);

	for (size_t i = 0; i < len; i++) /* the kernel keeps no swap for pages of one value */
		p[i] = i * 2654435761u >> 13;
	madvise(p, len, MADV_PAGEOUT);
}

static void huge(size_t len)
{
	char *p = map(len + MB(2), MAP_PRIVATE);

	p = (char *)(((unsigned long)p + MB(2) - 1) & ~(MB(2) - 1));
	madvise(p, len, MADV_HUGEPAGE);
	touch(p, len);
}

static void map_file(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	volatile char sum = 0;
	char *p;

	if (fd < 0 || fstat(fd, &st))
		abort();
	p = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	for (long i = 0; i < st.st_size; i += 4096)
		sum += p[i];
	close(fd);
}

static void *sleeper(void *arg)
{
	pause();
	return arg;
}

static int to_child[2], from_child[2];

static void cow(size_t len)
{
	char *p = map(len, MAP_PRIVATE), c;
	pid_t pid;

	touch(p, len);
	if (pipe(to_child) || pipe(from_child))
		abort();
	pid = fork();
	if (!pid) {
		close(to_child[1]); /* so that it ends with its parent */
		while (read(to_child[0], &c, 1) == 1) {
			touch(p, len);
			if (write(from_child[1], "k", 1) != 1)
				break;
		}
		_exit(0);
	}
	printf("child %d\n", pid);
}

int main(int argc, char **argv)
{
	char line[512], word[32], arg[400], c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		int n = 0;
		long v;

		arg[0] = 0;
		if (sscanf(line, "%31s %399s %d", word, arg, &n) < 1)
			continue;
		v = atol(arg);
		if (!strcmp(word, "grow"))
			keeps(MB(v));
		else if (!strcmp(word, "shrink") && nkept)
			nkept--, munmap(kept[nkept], kept_len[nkept]);
		else if (!strcmp(word, "reserve"))
			mmap(NULL, (size_t)v << 30, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		else if (!strcmp(word, "file"))
			map_file(arg);
		else if (!strcmp(word, "share"))
			touch(map(MB(v), MAP_SHARED), MB(v));
		else if (!strcmp(word, "cow"))
			cow(MB(v));
		else if (!strcmp(word, "cowwrite")) {
			if (write(to_child[1], "w", 1) != 1 || read(from_child[0], &c, 1) != 1)
				abort();
		} else if (!strcmp(word, "huge"))
			huge(MB(v));
		else if (!strcmp(word, "spike") || !strcmp(word, "drop"))
			drops(MB(v));
		else if (!strcmp(word, "heapspike"))
			heap_spike(MB(v));
		else if (!strcmp(word, "advise"))
			advises(MB(v));
		else if (!strcmp(word, "pageout"))
			pages_out(MB(v));
		else if (!strcmp(word, "saw")) {
			for (int i = 0; i < n; i++) {
				char *p = map(MB(v), MAP_PRIVATE);

				for (int k = 0; k < 20; k++) {
					touch(p + MB(v) / 20 * k, MB(v) / 20);
					usleep(20000);
				}
				munmap(p, MB(v));
			}
		} else if (!strcmp(word, "steps")) { /* MiB at each of n steps */
			for (int i = 0; i < n; i++) {
				keeps(MB(v));
				usleep(100000);
			}
		} else if (!strcmp(word, "threads")) {
			for (long i = 0; i < v; i++) {
				pthread_t t;

				pthread_create(&t, NULL, sleeper, NULL);
			}
			usleep(100000);
		} else if (!strcmp(word, "exec"))
			execl("/proc/self/exe", "mm", NULL);
		else if (!strcmp(word, "exit"))
			return 0;
		printf("ok %s\n", word);
	}
	return 0;
}
