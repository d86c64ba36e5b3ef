/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hostmaps.c [-n N] [LIB...] - what an unprivileged program can make a profiler look at: loads
 * every LIB and calls its hostile_alloc() if it has one; maps N pages of its own file executable,
 * so that no two of them merge. Says "ready"; for each line on stdin calls every library once more
 * and says "ok"; from the line "storm" on it does nothing but map code and unmap it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAX_LIBS 64

typedef void *(*alloc_fn)(size_t n);

static void map_pages(int n)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	for (int i = 0; i < n; i++) {
		/* two pages of the file in turn: neighbours are never one mapping */
		if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, i & 1 ? 0 : 4096) ==
		    MAP_FAILED) {
			perror("mmap");
			exit(1);
		}
	}
}

static void storm(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	for (;;)
		munmap(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0), 4096);
}

__attribute__((noinline)) void honest_function(int n, alloc_fn *fn)
{
	for (int i = 0; i < n; i++)
		memset(fn[i](5000), 1, 5000);
	memset(malloc(7000), 1, 7000);
}

int main(int argc, char **argv)
{
	alloc_fn fn[MAX_LIBS];
	char line[16];
	int n = 0, i = 1;

	if (argc > 2 && !strcmp(argv[1], "-n")) {
		map_pages(atoi(argv[2]));
		i = 3;
	}
	for (; i < argc && n < MAX_LIBS; i++) {
		void *lib = dlopen(argv[i], RTLD_NOW);

		if (!lib) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		fn[n] = (alloc_fn)dlsym(lib, "hostile_alloc");
		n += fn[n] != NULL;
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "storm\n"))
			storm();
		honest_function(n, fn);
		puts("ok");
		fflush(stdout);
	}
	return 0;
}
