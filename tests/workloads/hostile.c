/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hostile.c LIBRARY NAME - loads the library, maps it as data too, and takes the name. For each
 * line on stdin it calls the library's hostile_alloc() 100 times with 64 KiB and says "ok".
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

int main(int argc, char **argv)
{
	void *(*alloc)(size_t), *lib = argc > 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	volatile char *p;
	char line[16];

	if (!lib || !(alloc = (void *(*)(size_t))dlsym(lib, "hostile_alloc")))
		return 1;
	p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, open(argv[1], O_RDONLY), 0);
	if (p == MAP_FAILED || !*p)
		return 1;
	prctl(PR_SET_NAME, argv[2]);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		for (int i = 0; i < 100; i++)
			memset(alloc(65536), 1, 65536);
		puts("ok");
		fflush(stdout);
	}
	return 0;
}
